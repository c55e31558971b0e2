"""The callers' scripts and stop-watches, against an agent of tones whose every delay is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from relay.demo import callers
from relay.demo.caller import HUMAN_S, TURNS_MS, Caller, Spoken, Timing, pronounce
from relay.demo.callers import lines
from relay.demo.scenario import draw
from relay.sim.line import FRAME, PER_MS, Line
from relay.sim.person import Person
from relay.sim.phrases import plain
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_dial import DialRecord, HumanPhone
from relay.sim.ulaw import tone

EDGE_MS, VOICE_MS = 100, 1000
PLACES = (
    *("other_day", "day", "book", "yes", "bye"),
    *("about", "umbrella", "human", "meanwhile", "message"),
)


def phrase(name: str) -> Spoken:
    edge = b"\xff" * (EDGE_MS * PER_MS)
    first = EDGE_MS * PER_MS
    return Spoken(name, edge + tone(300, VOICE_MS) + edge, first, first + VOICE_MS * PER_MS)


@dataclass(slots=True)
class Stand:
    """A caller, a line, and an agent that answers what it is told to, so many ms late."""

    line: Line = field(default_factory=Line)
    timing: Timing = field(default_factory=Timing)
    told: list[tuple[str, str]] = field(default_factory=list)
    rung: HumanPhone = field(default_factory=HumanPhone)
    call: PhoneCall = field(init=False)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        number = Number("+15125550100", "https://relay.demo/twilio/incoming")
        self.call = PhoneCall(number, "+14155550123", "AC" + "0" * 32, line=self.line)
        self.caller = Caller(
            Person(self.line),
            self.call,
            self.rung,
            {name: phrase(name) for name in PLACES},
            lambda who, what: self.told.append((who, what)),
            self.timing,
        )

    async def greet(self, after_ms: int) -> None:
        self.call.answer()
        await trio.sleep(after_ms / 1000)
        self.line.heard.play(tone(440, 2000), self.line.sample())

    async def answer(self, late_ms: int, ms: int) -> None:
        """Wait for the next thing that is said, to its last voice, and answer it."""
        end = await self._next_words()
        await trio.sleep_until(self.line.time(end - EDGE_MS * PER_MS) + late_ms / 1000)
        self.line.heard.play(tone(440, ms), self.line.sample())

    async def yield_after(self, ms: int) -> None:
        """Fall silent so long after the caller's next voice begins."""
        onset = await self._next_words() - (VOICE_MS + EDGE_MS) * PER_MS
        await trio.sleep_until(self.line.time(onset) + ms / 1000)
        self.line.heard.cut(self.line.sample())

    async def _next_words(self) -> int:
        """Wait until the caller says the next thing. Returns the sample at which it ends."""
        last = self.line.said.end
        while self.line.said.end == last:  # noqa: ASYNC110 - a line rings no bell
            await trio.sleep(0.01)
        return self.line.said.end


async def play(stand: Stand, answers: Sequence[int]) -> None:
    """The agent of call 1: greets, yields once, answers."""
    await stand.greet(150)
    await stand.answer(900, 6000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stand.yield_after, 240)
        nursery.start_soon(stand.answer, answers[0], 3000)
    for late_ms in answers[1:]:
        await stand.answer(late_ms, 2000)
    await trio.sleep(3)
    stand.line.hung_up.set()


async def test_call_1_is_timed_to_a_frame(autojump_clock: trio.testing.MockClock) -> None:
    stand, answers = Stand(), [700, 800, 900, 1000]
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(play, stand, answers)
            nursery.start_soon(stand.caller.perform, callers.book)
            await stand.line.hung_up.wait()
            nursery.cancel_scope.cancel()
    frame_ms = FRAME / PER_MS
    assert stand.timing.greeting == pytest.approx(150, abs=frame_ms)
    assert stand.timing.barge_in == pytest.approx(240, abs=frame_ms)
    assert stand.timing.answers == pytest.approx(answers, abs=frame_ms)
    said = [what for who, what in stand.told if who == "caller"]
    assert said == ["other_day", "day  (breaks in)", "book", "yes", "bye"]
    assert "problem" not in dict(stand.told)


async def meet(stand: Stand, after_s: float) -> None:
    """Come into a room with the human, who says hello."""
    await trio.sleep(after_s)
    stand.call.log.add("participant-join", "room")
    await trio.sleep(0.5)
    stand.line.heard.play(tone(440, 2000), stand.line.sample())


async def carry(
    stand: Stand, agent: Callable[[], Awaitable[None]], script: Callable[[Caller], Awaitable[None]]
) -> list[str]:
    """Have a caller and an agent talk until the line is hung up. Returns what the caller said."""
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent)
            nursery.start_soon(stand.caller.perform, script)
            await stand.line.hung_up.wait()
            nursery.cancel_scope.cancel()
    assert "problem" not in dict(stand.told)
    return [what for who, what in stand.told if who == "caller"]


async def test_call_2_presses_a_key_and_speaks_to_whom_it_is_put_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stand = Stand()

    async def agent() -> None:
        await stand.greet(150)
        assert await stand.line.key() == "0"
        assert stand.line.time(stand.line.heard.end) > trio.current_time(), "while it is greeted"
        await meet(stand, 8)

    said = await carry(stand, agent, callers.press_zero)
    assert said == ["(presses 0)", "bye"]


async def test_call_3_speaks_with_whom_it_is_put_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stand = Stand()

    async def agent() -> None:
        await stand.greet(150)
        await stand.answer(700, 1500)
        await meet(stand, 3)
        await stand.answer(1000, 1500)

    said = await carry(stand, agent, callers.want_human)
    assert said == ["about", "umbrella", "bye"]
    assert stand.timing.answers == pytest.approx([700], abs=FRAME / PER_MS)


@pytest.mark.parametrize("pause_ms", [0, TURNS_MS - 200])
async def test_call_4_hears_the_agent_out_before_it_leaves_a_message(
    autojump_clock: trio.testing.MockClock, pause_ms: int
) -> None:
    stand = Stand()
    record = DialRecord("+15125550199", "+15125550100", "CA1")
    stand.rung.calls.append(record)

    async def agent() -> None:
        await stand.greet(150)
        await stand.answer(700, 1500)
        await stand.answer(800, 3000)
        await trio.sleep(1)
        record.ended_at = trio.current_time()
        rest = stand.line.heard.end + pause_ms * PER_MS
        stand.line.heard.play(tone(440, 2000), rest)
        await stand.answer(900, 1500)

    said = await carry(stand, agent, callers.leave_message)
    assert said == ["human", "meanwhile", "message", "bye"]
    assert stand.timing.answers == pytest.approx([700, 800, 900], abs=FRAME / PER_MS)


async def test_nobody_waits_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    for script in (callers.book, callers.press_zero, callers.want_human, callers.leave_message):
        stand = Stand()
        stand.call.answer()
        with trio.fail_after(60):
            await stand.caller.perform(script)
        assert stand.line.hung_up.is_set()
        assert stand.told[-1][0] == "problem"
        assert stand.timing == Timing()


async def test_a_call_that_ends_before_it_was_put_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stand = Stand()

    async def hang_up() -> None:
        await stand.greet(150)
        await stand.answer(700, 1500)
        await trio.sleep(2)
        stand.call.log.close()

    with trio.fail_after(HUMAN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            nursery.start_soon(stand.caller.perform, callers.want_human)
    assert stand.told[-1][0] == "problem"


def test_phrases_know_where_their_voice_is() -> None:
    spoken = pronounce("Yes please.")
    assert 0 < spoken.first < spoken.last <= len(spoken.mulaw)
    assert spoken.first == pytest.approx(EDGE_MS * PER_MS, abs=8 * FRAME)
    assert len(spoken.mulaw) - spoken.last == pytest.approx(EDGE_MS * PER_MS, abs=8 * FRAME)


def test_the_callers_want_what_was_drawn() -> None:
    scenario = draw(11)
    said = {name: plain(text) for name, text in lines(scenario).items()}
    assert set(said) == set(PLACES)
    assert scenario.asked in said["day"]
    assert scenario.interrupted in said["other_day"]
    assert scenario.topic in said["about"]
    assert scenario.meanwhile in said["meanwhile"]
    for part in (scenario.message.name, scenario.message.topic):
        assert part in said["message"]
    for part in (scenario.booking.service, scenario.booking.day, scenario.booking.name):
        assert part in said["book"]
