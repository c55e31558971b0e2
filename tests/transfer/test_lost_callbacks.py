"""Status callbacks that never come, or twice and late: what Twilio does not tell is asked."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from relay.sim.brains import Scripted
from relay.sim.person import Person
from relay.sim.twilio_courier import Deliveries
from relay.sim.twilio_dial import HumanPhone
from tests.transfer.exchange import open_exchange
from tests.transfer.test_warm import (
    CLIPS,
    SORRY,
    accepts,
    ask_and_hear_of_nobody,
    ask_and_stay,
    brain,
)

DELIVERIES: dict[str, Deliveries] = {
    "never": lambda _url, _form: (),
    "twice and late": lambda _url, _form: (0.0, 7.0),
    "late and past others": lambda url, _form: (len(url) % 5 + 0.5,),
}
LATER_S = 100.0  # a call is asked about when it is a minute old, by who looks twice a minute

everyhow = pytest.mark.parametrize("deliveries", DELIVERIES.values(), ids=list(DELIVERIES))


@everyhow
async def test_a_transfer_needs_no_status_callback(autojump_clock, deliveries: Deliveries) -> None:
    async with open_exchange(brain(), accepts(), deliveries=deliveries) as exchange:
        await exchange.call(ask_and_stay)
        await trio.sleep(LATER_S)
        assert CLIPS["connecting"].mulaw in exchange.heard(exchange.placed.line)
        assert exchange.outcome() == ("transferred", "human_accepted")
        assert exchange.ends() == 1
        assert exchange.orphans() == []
        assert exchange.asked == [], "its stream has said how it ended"


@everyhow
async def test_a_human_who_does_not_answer_is_not_waited_for_for_ever(
    autojump_clock, deliveries: Deliveries
) -> None:
    human = HumanPhone(outcome="no-answer")
    more = {"idle_prompt_s": 100.0, "deliveries": deliveries}
    async with open_exchange(brain(SORRY), human, **more) as exchange:
        await exchange.call(partial(ask_and_hear_of_nobody, exchange, within_s=LATER_S))
        await trio.sleep(LATER_S)
        (stream,) = exchange.legs
        told = [i.text for i in stream.session.conversation if i.role == "system"]
        assert "nobody answered" in told[-1]
        assert exchange.outcome()[0] == "resolved"
        assert exchange.orphans() == []


@everyhow
async def test_a_caller_who_hangs_up_without_a_stream_leaves_an_outcome(
    autojump_clock, deliveries: Deliveries
) -> None:
    """There is no room for the call and nobody at the desk: it hears the voicemail's announcement,
    and how it ends is Twilio's alone to say."""

    async def give_up(person: Person) -> None:
        await trio.sleep(2)
        person.hang_up()

    never = deliveries is DELIVERIES["never"]
    more = {"there": False, "deliveries": deliveries}
    async with open_exchange(Scripted(), HumanPhone(), **more) as exchange:
        exchange.board.drain()
        await exchange.call(give_up)
        assert exchange.outcome()[0] == ("" if never else "abandoned")
        await trio.sleep(LATER_S)
        assert exchange.outcome() == ("abandoned", "ended_without_stream")
        assert exchange.asked == ([exchange.placed.sid] if never else [])
        assert exchange.orphans() == []
