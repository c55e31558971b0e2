"""Many calls in one process: each hears its own, and one that breaks breaks alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import trio

from relay.core.policy import Clip
from relay.core.records import CallEnded, OwnerNotice
from relay.shell.kit import CallFacts
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.ulaw import tone
from relay.sim.voice import to_mulaw
from relay.tools import registry
from tests.shell.house import (
    House,
    Placed,
    brief_clips,
    open_house,
    short_clips,
    strongest_hz,
)
from tests.shell.test_functions import BOOKING, Slow

CALLS = 20
GREETING_MS = 600


def voice_hz(n: int) -> float:
    """Which tone caller n speaks in. All are further apart than a second's spectrum can blur."""
    return 400 + 60 * n


def agent_hz(n: int) -> float:
    return 1800 + 60 * n


async def converse(placed: Placed, n: int, start_s: float) -> None:
    await placed.greeted()
    await trio.sleep(start_s)
    await placed.say(tone(voice_hz(n), 1000))
    await placed.answered()
    placed.hang_up()
    await placed.ended()


async def test_twenty_calls_at_once_do_not_mix(autojump_clock):
    dice = random.Random(7)
    async with open_house(clips=short_clips(GREETING_MS)) as house:
        calls = []
        async with trio.open_nursery() as nursery:
            for n in range(CALLS):
                brain = Scripted(
                    reply(say(f"Answer {n}.", ms=1000, hz=agent_hz(n))), heard=[f"Question {n}?"]
                )
                placed = house.ring(brain)
                calls.append((placed, brain))
                nursery.start_soon(converse, placed, n, dice.uniform(0, 0.2))
    for n, (placed, brain) in enumerate(calls):
        check_own(placed, brain, n)
    assert len({placed.session.id for placed, _ in calls}) == CALLS


def check_own(placed: Placed, brain: Scripted, n: int) -> None:
    """What call n said and heard is call n's own, at both of its ends and in its rows."""
    (turn,) = brain.turns
    assert strongest_hz(to_mulaw(turn.pcm)) == pytest.approx(voice_hz(n), abs=3)
    (item,) = placed.spoken_items()
    answer, heard = placed.converted(item), placed.heard()
    assert heard.endswith(answer)
    assert strongest_hz(answer) == pytest.approx(agent_hz(n), abs=3)
    greeting = short_clips(GREETING_MS)["greeting"].mulaw
    assert heard.startswith(greeting)
    between = heard[len(greeting) : -len(answer)]
    assert set(between) == {0xFF}, "and nothing else was heard"
    assert placed.said()[1:] == [("caller", f"Question {n}?"), ("agent", f"Answer {n}.")]
    assert placed.outcome().outcome == "resolved"


class Poisoned(dict[str, Clip]):
    """Clips of which some are traps: a bug in our own house, met in the middle of a call."""

    def __init__(self, clips: Mapping[str, Clip], *traps: str) -> None:
        super().__init__(clips)
        self._traps = traps or ("goodbye", "one_moment")

    def __getitem__(self, name: str) -> Clip:
        if name in self._traps:
            raise ZeroDivisionError("a bug")
        return super().__getitem__(name)


async def crash_in_the_core(house: House) -> Placed:
    kit = replace(house.kit, clips=Poisoned(brief_clips()))
    placed = house.ring(Scripted(reply(call("end_call")), heard=["Bye."]), kit=kit)
    await placed.greeted()
    await placed.say()
    return placed


async def crash_in_the_settings(house: House) -> Placed:
    def settings(facts: CallFacts) -> object:
        raise KeyError(facts.caller)

    return house.ring(kit=replace(house.kit, settings=settings))


async def crash_in_the_dial(house: House) -> Placed:
    def dial(_facts: CallFacts) -> object:
        raise TypeError("a bug")

    return house.ring(kit=replace(house.kit, dial=dial))


@pytest.mark.parametrize("crash", [crash_in_the_core, crash_in_the_settings, crash_in_the_dial])
async def test_a_bug_in_one_call_ends_that_call_alone(autojump_clock, crash):
    async with open_house(crashes=1) as house:
        neighbours = []
        async with trio.open_nursery() as nursery:
            for n in range(3):
                brain = Scripted(
                    reply(say(f"Answer {n}.", ms=6000, hz=agent_hz(n))), heard=[f"Question {n}?"]
                )
                neighbours.append(house.ring(brain))
                nursery.start_soon(converse, neighbours[-1], n, 0.2)
            broken = await crash(house)
            await broken.ended()
    assert broken.chosen == ["fallback"]
    assert broken.disposition() == "fallback"
    assert (broken.leg.ended.by, broken.leg.ended.code) == ("relay", 1011)
    assert broken.leg.ended.reason == "relay error"
    (ended,) = broken.rows(CallEnded)
    assert (ended.outcome, ended.reason) == ("failed", "fallback: crashed")
    assert [notice.ref for notice in broken.rows(OwnerNotice)] == ["failed"]
    for n, placed in enumerate(neighbours):
        (item,) = placed.spoken_items()
        assert placed.heard().endswith(placed.converted(item))
        assert placed.said()[-1] == ("agent", f"Answer {n}.")
        assert placed.line.heard.gaps() == []


async def test_a_booking_that_has_begun_outlives_the_call_that_breaks(autojump_clock):
    """The "one moment" that a slow booking wants is what breaks the call."""
    brain = Scripted(reply(BOOKING), heard=["Book it."])
    async with open_house(business=lambda inner: Slow(inner, 2.0), crashes=1) as house:
        kit = replace(house.kit, clips=Poisoned(brief_clips()))
        placed = house.ring(brain, kit=kit)
        await placed.greeted()
        await placed.say()
        await placed.ended()
    assert len(house.bookings.requests) == 1
    assert placed.disposition() == "fallback"


async def test_a_bug_that_a_webhook_meets_ends_its_call_and_not_the_webhook(autojump_clock):
    """A human presses the key, and what the caller is to hear of it is what breaks the call."""
    rings = reply(say("I ring them.", ms=500), call("transfer_to_human", reason="a bill"))
    brain = Scripted(rings, reply(say("It rings.")), heard=["A human."])
    async with open_house(crashes=1) as house:
        kit = replace(house.kit, clips=Poisoned(brief_clips(), "connecting"))
        placed = house.ring(brain, kit=kit)
        await placed.greeted()
        await placed.say()
        await placed.answered(2)
        assert await kit.humans.pressed(house.phone.attempt, "1"), "the human gets an answer"
        await placed.ended()
        await trio.sleep(1)
    assert placed.disposition() == "fallback"
    assert (placed.leg.ended.by, placed.leg.ended.code) == ("relay", 1011)
    assert placed.outcome().reason == "fallback: crashed"
    assert "no longer on the line" in house.phone.redirected["CAleg1"]


async def test_a_tool_that_raises_ends_nothing(autojump_clock):
    async def explode(_arguments, _ports):
        raise ZeroDivisionError("a secret")

    tools = dict(registry())
    tools["lookup_hours"] = replace(tools["lookup_hours"], invoke=explode)
    brain = Scripted(
        reply(call("lookup_hours", day="friday")), reply(say("Sorry.")), heard=["When?"]
    )
    async with open_house(tools=tools, tool_crashes=1) as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.answered(2)
        placed.hang_up()
    (output,) = placed.session.outputs().values()
    assert "secret" not in output
    assert '"error":"failed"' in output
    assert placed.outcome().outcome == "resolved"
