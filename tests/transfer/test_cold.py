"""The last rungs: no agent, then no human, then the voicemail. Somebody is always there to hear."""

from __future__ import annotations

import pytest
import trio

from relay.sim.brains import Scripted, call, reply, say
from relay.sim.person import Person, Script
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.ulaw import tone
from tests.shell.house import QUESTION, brief_clips
from tests.transfer.exchange import BILLING, HUMAN, OURS, Exchange, open_exchange

CLIPS = brief_clips()
VOICE = tone(500, 6000)
TAKES_IT = (Act(press="1", prompt="To take the call"), Act(say=VOICE, prompt="", after_s=3.0))


async def wait(person: Person) -> None:
    await trio.sleep(60)
    person.hang_up()


async def ask(person: Person) -> None:
    await person.hear_until_silence()
    await person.say(QUESTION)
    await trio.sleep(8)
    person.hang_up()


def leaves_a_message(exchange: Exchange) -> Script:
    """Wait for the beep, speak, and hang up."""

    async def script(person: Person) -> None:
        with trio.fail_after(120):
            while "recording" not in exchange.placed.log.kinds():  # noqa: ASYNC110 - Twilio's log
                await trio.sleep(0.1)
        await person.say(VOICE)
        person.hang_up()

    return script


def said_to(exchange: Exchange) -> str:
    """What Twilio itself said to the caller."""
    return " ".join(text for text, _ in exchange.placed.prompts.ended)


async def test_without_a_model_the_human_is_asked_first_and_then_bridged(autojump_clock) -> None:
    human = HumanPhone(acts=TAKES_IT)
    async with open_exchange(Scripted(), human, refuse="no route") as exchange:
        await exchange.call(wait)
    assert CLIPS["apology"].mulaw in exchange.heard(exchange.placed.line)
    assert exchange.outcome()[0] == "transferred"
    assert human.calls[0].bridged_at is not None


@pytest.mark.parametrize(
    "human",
    [
        HumanPhone(outcome="busy"),
        HumanPhone(outcome="no-answer"),
        HumanPhone(outcome="voicemail", says=tone(300, 5000)),
        HumanPhone(acts=(Act(press="2", prompt="To take the call"),)),
        HumanPhone(),
    ],
    ids=["busy", "no-answer", "voicemail", "declines", "no-key"],
)
async def test_a_human_who_does_not_take_it_leaves_the_voicemail(
    autojump_clock, human: HumanPhone
) -> None:
    async with open_exchange(Scripted(), human, refuse="no route") as exchange:
        await exchange.call(leaves_a_message(exchange))
    assert "Please leave your name and your message" in said_to(exchange)
    assert all(record.bridged_at is None for record in human.calls), "no voicemail hears them"
    assert exchange.outcome() == ("message", "voicemail")
    assert exchange.notices().count("voicemail") >= 1


async def test_who_hangs_up_while_the_human_is_rung_has_left(autojump_clock) -> None:
    human = HumanPhone(answer_after_s=15.0)

    async def give_up(person: Person) -> None:
        with trio.fail_after(60):
            while not human.calls:  # noqa: ASYNC110 - the exchange's list
                await trio.sleep(0.1)
        await trio.sleep(5)
        person.hang_up()

    async with open_exchange(Scripted(), human, refuse="no route") as exchange:
        await exchange.call(give_up)
    assert exchange.outcome() == ("abandoned", "human_canceled")
    assert "leave your name" not in said_to(exchange)


async def test_out_of_hours_nobody_is_rung_by_the_ladder(autojump_clock) -> None:
    human = HumanPhone(acts=TAKES_IT)
    async with open_exchange(Scripted(), human, refuse="no route", there=False) as exchange:
        await exchange.call(leaves_a_message(exchange))
    assert human.calls == []
    assert exchange.outcome()[0] == "message"


async def test_out_of_hours_the_agent_says_so_and_goes_on(autojump_clock) -> None:
    human = HumanPhone(acts=TAKES_IT)
    brain = Scripted(
        reply(say("I ring them.", ms=900), call("transfer_to_human", reason="asked")),
        reply(say("Nobody is there now.", ms=900)),
        heard=["A human, please."],
    )

    async with open_exchange(brain, human, there=False) as exchange:
        await exchange.call(ask)
    assert human.calls == []
    (stream,) = exchange.legs
    (output,) = stream.session.outputs().values()
    assert '"reason":"closed"' in output


async def test_the_0_key_out_of_hours_and_without_a_model_leads_to_the_voicemail(
    autojump_clock,
) -> None:
    human = HumanPhone(acts=TAKES_IT)
    async with open_exchange(Scripted(), human, refuse="no route", there=False) as exchange:

        async def press(person: Person) -> None:
            await person.hear_voice()
            person.press("0")
            await leaves_a_message(exchange)(person)

        await exchange.call(press)
    assert human.calls == []
    assert exchange.outcome()[0] == "message"


@pytest.mark.parametrize("number", [HUMAN, BILLING, f"sip:{HUMAN}@pbx.example.com"])
async def test_a_human_who_calls_is_not_rung_by_the_agent(autojump_clock, number: str) -> None:
    human = HumanPhone(acts=TAKES_IT)
    brain = Scripted(
        reply(say("I ring them.", ms=900), call("transfer_to_human", reason="asked")),
        reply(say("That is you.", ms=900)),
        heard=["A human, please."],
    )
    async with open_exchange(brain, human) as exchange:
        await exchange.call(ask, number)
    assert human.calls == []
    (stream,) = exchange.legs
    (output,) = stream.session.outputs().values()
    assert '"reason":"loop"' in output


@pytest.mark.parametrize(
    "loop", [{"From": OURS}, {"ForwardedFrom": HUMAN}, {"ForwardedFrom": BILLING}]
)
async def test_a_transfer_that_comes_back_to_us_is_no_call_for_the_agent(
    autojump_clock, loop: dict[str, str]
) -> None:
    human = HumanPhone(acts=TAKES_IT)
    async with open_exchange(Scripted(), human) as exchange:
        await exchange.call(leaves_a_message(exchange), **loop)
    assert exchange.legs == []
    assert human.calls == []
    assert "leave your name" in said_to(exchange)
