"""A warm transfer from end to end: what both ears hear, what the rows say, who is left behind."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from relay.sim.brains import Scripted, call, reply, say
from relay.sim.person import Person
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.twilio_rest import BROKEN, LOST, REFUSED, TOO_MANY, RestFault
from relay.sim.ulaw import is_silent, tone
from tests.depth import some
from tests.shell.house import QUESTION, brief_clips
from tests.transfer.exchange import Exchange, open_exchange

CLIPS = brief_clips()
RINGS = reply(say("I ring them.", ms=1500), call("transfer_to_human", reason="a bill"))
COMPANY = reply(say("It rings. What is the bill about?", ms=2500, hz=660))
NOBODY = "Nobody is there. May I take a message?"
SORRY = reply(say(NOBODY, ms=2000, hz=880))
SUMMARY = reply(say("Ann has a question about a bill."))
TALK = tone(550, 20_000)


def brain(*more) -> Scripted:
    return Scripted(RINGS, COMPANY, *more, heard=["A human, please."] * 9, privately=[SUMMARY] * 3)


def accepts(*more: Act, press_s: float = 0.3, talk: bytes = TALK) -> HumanPhone:
    """A human who presses 1 and talks on and on."""
    key = Act(press="1", prompt="To take the call", after_s=press_s)
    return HumanPhone(acts=(key, Act(say=talk, prompt="One moment"), *more))


async def ask_and_stay(person: Person) -> None:
    """Ask for a human, and talk to whoever comes."""
    await person.hear_until_silence()
    await person.say(QUESTION)
    await trio.sleep(16)
    await person.say(TALK)
    await trio.sleep(2)
    person.hang_up()


async def ask_and_hear_of_nobody(
    exchange: Exchange, person: Person, within_s: float = 60.0
) -> None:
    """Ask for a human, hear from the agent that there is none, and wait for what else may come."""
    await person.hear_until_silence()
    await person.say(QUESTION)
    with trio.fail_after(within_s):
        while ("agent", NOBODY) not in exchange.legs[-1].said():  # noqa: ASYNC110 - the rows tell
            await trio.sleep(0.5)
    await trio.sleep(5)
    person.hang_up()


def events(exchange: Exchange, kind: str) -> list[float]:
    (room,) = exchange.cloud.conferences
    return [at for at, event, _ in room.happened if event == kind]


async def test_both_are_brought_together_and_neither_waits_in_silence(autojump_clock) -> None:
    human = accepts()
    async with open_exchange(brain(), human) as exchange:
        await exchange.call(ask_and_stay)
    said = [text for text, _ in leg_log(exchange)]
    assert any("Ann has a question about a bill." in text for text in said)
    assert any("To take the call, press 1." in text for text in said)
    (joined,) = events(exchange, "conference-start")
    caller, callee = exchange.placed.line, exchange.human_line
    told = CLIPS["connecting"].mulaw
    heard = exchange.heard(caller)
    assert told in heard
    told_at = caller.time(heard.index(told) + len(told))
    assert longest_silence(caller, told_at, joined + 3) <= 1.5
    moment_at = ends_of(exchange, "One moment")
    assert joined - moment_at <= 1.5
    assert not is_silent(callee.heard.read(callee.sample(joined), callee.sample(joined + 5)))
    assert exchange.outcome()[0] == "transferred"
    assert exchange.orphans() == []
    assert "failed" not in exchange.notices()


def leg_log(exchange: Exchange) -> list[tuple[str, float]]:
    """What Twilio said to the human."""
    (leg,) = (c for c in exchange.cloud.calls.values() if c is not exchange.placed)
    return leg.prompts.ended


def ends_of(exchange: Exchange, part: str) -> float:
    return next(at for text, at in leg_log(exchange) if part in text)


def longest_silence(line, start: float, end: float) -> float:
    """The longest time without a sound at an ear, in seconds."""
    quiet = longest = 0
    for at in range(line.sample(start), line.sample(end), 160):
        quiet = quiet + 160 if is_silent(line.heard.read(at, at + 160)) else 0
        longest = max(longest, quiet)
    return longest / 8000


@pytest.mark.parametrize(
    ("human", "why"),
    [
        (HumanPhone(outcome="busy"), "their line is busy"),
        (HumanPhone(outcome="no-answer"), "nobody answered"),
        (HumanPhone(outcome="failed"), "could not be reached"),
        (HumanPhone(outcome="voicemail", says=tone(300, 6000)), "cannot take the call"),
        (HumanPhone(acts=(Act(press="2", prompt="To take the call"),)), "cannot take the call"),
        (HumanPhone(acts=(Act(hang_up=True, prompt="", after_s=0.1),)), "cannot take the call"),
        (HumanPhone(), "cannot take the call"),  # listens, and presses nothing
    ],
    ids=["busy", "no-answer", "failed", "voicemail", "declines", "hangs-up", "no-key"],
)
async def test_who_does_not_come_leaves_the_caller_with_the_agent(
    autojump_clock, human: HumanPhone, why: str
) -> None:
    # The caller keeps quiet; after a while the agent would say goodbye.
    async with open_exchange(brain(SORRY), human, idle_prompt_s=60.0) as exchange:
        await exchange.call(partial(ask_and_hear_of_nobody, exchange))
    (stream,) = exchange.legs
    told = [i.text for i in stream.session.conversation if i.role == "system"]
    assert why in told[-1]
    assert stream.converted(stream.spoken_items()[2]) in exchange.heard(exchange.placed.line)
    assert exchange.cloud.conferences == []
    assert exchange.orphans() == []
    assert exchange.outcome()[0] == "resolved"


async def test_who_drops_the_caller_at_once_sends_them_back(autojump_clock) -> None:
    human = accepts(Act(hang_up=True, prompt="One moment", after_s=4.0), talk=b"")
    async with open_exchange(brain(SORRY), human) as exchange:
        await exchange.call(partial(ask_and_hear_of_nobody, exchange))
    _, second = exchange.legs
    told = [(i.role, i.text) for i in second.session.conversation]
    assert ("user", "A human, please.") in told, "what was said before is known"
    assert any("has hung up at once" in text for _, text in told)
    heard = exchange.heard(exchange.placed.line)
    assert CLIPS["back"].mulaw in heard
    assert CLIPS["greeting"].mulaw in heard
    assert heard.count(CLIPS["greeting"].mulaw) == 1
    assert second.converted(second.spoken_items()[0]) in heard
    assert exchange.outcome()[0] == "resolved"
    assert exchange.orphans() == []


async def ask_and_stay_long(person: Person) -> None:
    await person.hear_until_silence()
    await person.say(QUESTION)
    await trio.sleep(40)
    person.hang_up()


async def test_a_real_talk_ends_when_the_human_hangs_up(autojump_clock) -> None:
    human = accepts(Act(hang_up=True, prompt="One moment", after_s=15.0))
    async with open_exchange(brain(), human) as exchange:
        call_ = await exchange.call(ask_and_stay_long)
    assert len(exchange.legs) == 1
    assert call_.ended_by == "relay"
    assert exchange.outcome()[0] == "transferred"


@pytest.mark.parametrize(
    "gone_s", some([0.001, 0.1, 0.2, 0.5, 1.0, 1.3, 1.4, 1.5, 1.6, 2.0, 3.0], one_in=2)
)
async def test_a_human_who_hangs_up_around_the_key_costs_nobody_the_call(
    autojump_clock, gone_s: float
) -> None:
    """From the key to three seconds behind it: the caller is back with the agent."""
    key = Act(press="1", prompt="To take the call")
    gone = Act(hang_up=True, prompt="To take the call", after_s=gone_s)
    async with open_exchange(brain(SORRY, SORRY), HumanPhone(acts=(key, gone))) as exchange:
        await exchange.call(partial(ask_and_hear_of_nobody, exchange))
    assert exchange.orphans() == []
    last = exchange.legs[-1]
    told = [i.text for i in last.session.conversation if i.role == "system"]
    assert any("hung up" in text or "cannot take the call" in text for text in told), told
    assert ("agent", NOBODY) in last.said()


@pytest.mark.parametrize(
    "stay_s", some([0.5, 2.0, 3.0, 3.6, 4.4, 6.0, 8.0, 13.0, 14.0, 14.5, 15.0, 20.0], one_in=2)
)
async def test_a_caller_who_hangs_up_at_any_moment_leaves_nobody_behind(
    autojump_clock, stay_s: float
) -> None:
    async def leave(person: Person) -> None:
        await person.hear_until_silence()
        await person.say(QUESTION)
        await trio.sleep(stay_s)
        person.hang_up()

    async with open_exchange(brain(), accepts(talk=b"")) as exchange:
        call_ = await exchange.call(leave)
    assert exchange.orphans() == []
    for each in exchange.cloud.calls.values():
        assert each.ended_at <= call_.ended_at + 5.0, "who waits for nobody is told within 5 s"
    assert exchange.ends() == 1


# ---- Twilio's REST API as it is -------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "rung"),
    [
        ([TOO_MANY], 1),
        ([REFUSED, REFUSED], 1),
        ([BROKEN], 0),  # who knows whether it rings: nobody is rung twice
        ([RestFault(status=400, code=21217)], 0),
    ],
    ids=["429", "no-connection", "500", "bad-number"],
)
async def test_a_rest_api_that_errs_rings_once_or_is_told(
    autojump_clock, faults: list[RestFault], rung: int
) -> None:
    human = accepts()
    async with open_exchange(brain(SORRY), human, idle_prompt_s=60.0) as exchange:
        exchange.rest.fail("calls.create", *faults)
        await exchange.call(ask_and_stay_long)
    assert len(human.calls) == rung
    assert exchange.orphans() == []
    if rung:
        assert exchange.outcome()[0] == "transferred"


async def test_an_answer_that_got_lost_is_not_dialled_again(autojump_clock) -> None:
    human = accepts()
    async with open_exchange(brain(), human) as exchange:
        exchange.rest.fail("calls.create", LOST)
        await exchange.call(ask_and_stay)
    assert len(human.calls) == 1
    assert exchange.outcome()[0] == "transferred", "what it rings is heard of by its callbacks"
    assert exchange.orphans() == []


async def test_a_leg_that_cannot_be_ended_at_once_ends_all_the_same(autojump_clock) -> None:
    async def leave(person: Person) -> None:
        await person.hear_until_silence()
        await person.say(QUESTION)
        await trio.sleep(5)
        person.hang_up()

    async with open_exchange(brain(), HumanPhone(answer_after_s=10.0)) as exchange:
        exchange.rest.fail("calls.update", BROKEN, BROKEN)
        await exchange.call(leave)
    assert exchange.orphans() == []
