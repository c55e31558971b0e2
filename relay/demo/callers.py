"""The callers, with nothing but a mouth, an ear, a finger and a stop-watch.

Call 1 asks for a day's hours, changes its mind while the agent answers and asks for another day's
(that is the barge-in), books, says yes to the read-back, and goodbye; then the agent hangs up.
Call 2 presses 0 while it is greeted, is put through to a human, and takes leave of them.
Call 3 asks for a human, says what about, is put through, and speaks with them.
Call 4 asks for a human, too, and for a day's hours while nobody answers; then it leaves a message.

A caller knows that it is their turn by the silence. All phrases are spoken before the first call,
since the synthesiser holds the GIL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from relay.demo.scenario import Scenario
from relay.sim import phrases, voice
from relay.sim.line import FRAME, PER_MS
from relay.sim.person import AUDIBLE_DB, Person
from relay.sim.twilio_call import PhoneCall
from relay.sim.twilio_dial import HumanPhone
from relay.sim.ulaw import loudness_db

# After these a caller has given up.
GREETING_S, ANSWER_S, HUMAN_S, PARTING_S = 15.0, 20.0, 40.0, 20.0
TURN_MS = 900  # of silence: the agent is done
WORK_MS = 1500  # of silence, when the agent said "one moment": longer than its function takes
BREATH_MS = 400  # a pause within what somebody says is shorter
TALKING_MS = 1300  # somebody who has spoken this long is in the middle of it
CUT_MS = 600  # of silence: the agent has yielded
LOOK_S = 0.02
TURNS_MS = 2000  # of silence: the agent is done, though it had two things to say

Tell = Callable[[str, str], None]  # what somebody meant to say, or how long something took


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase as sound. first, last: the samples between which there is voice."""

    text: str
    mulaw: bytes
    first: int
    last: int


@dataclass(slots=True)
class Timing:
    """What a caller measured, in ms. greeting: from the answer of the call to the first sound;
    answers: from the end of each question's voice; barge_in: from the voice's onset to silence."""

    greeting: float | None = None
    answers: list[float] = field(default_factory=list)
    barge_in: float | None = None


def lines(scenario: Scenario) -> dict[str, str]:
    """What the callers say, by the place in their scripts."""
    want = scenario.booking
    return {
        "other_day": phrases.ask_hours(scenario.interrupted),
        "day": phrases.ask_hours(scenario.asked),
        "book": phrases.ask_booking(want.service, want.day, want.time, want.name),
        "yes": phrases.YES,
        "bye": phrases.BYE,
        "about": phrases.ask_human(scenario.topic),
        "umbrella": phrases.UMBRELLA,
        "human": phrases.HUMAN_PLEASE,
        "meanwhile": phrases.ask_hours(scenario.meanwhile),
        "message": phrases.ask_call_back(scenario.message.name, scenario.message.topic),
    }


def pronounce(text: str, *, pitch: float = 1.0) -> Spoken:
    """Speak a phrase. CPU-bound, and holds the GIL."""
    mulaw = voice.speak(text, pitch=pitch)
    loud = [
        at for at in range(0, len(mulaw), FRAME) if loudness_db(mulaw[at : at + FRAME]) > AUDIBLE_DB
    ]
    return Spoken(text, mulaw, loud[0], loud[-1] + FRAME)


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller on one call. rung: the human's telephone, if this call makes it ring."""

    person: Person
    call: PhoneCall
    rung: HumanPhone | None
    voice: Mapping[str, Spoken]
    tell: Tell
    timing: Timing

    async def perform(self, script: Callable[[Caller], Awaitable[None]]) -> None:
        """Follow a script; hang up when the agent leaves it hanging."""
        try:
            await script(self)
        except trio.TooSlowError:
            self.tell("problem", "the caller waited in vain, and hangs up")
            self.person.hang_up()

    # ---- scripts ------------------------------------------------------------------------------

    async def book(self) -> None:
        """Be the caller of call 1."""
        await self._greeted()
        await self._interrupt("other_day", "day")
        await self._ask("book")
        await self._ask("yes", WORK_MS)
        await self._first_sound(await self._say("bye"))
        await self._until_hung_up()

    async def press_zero(self) -> None:
        """Be the caller of call 2."""
        begin = await self._greeting()
        await trio.sleep_until(self.person.line.time(begin + TALKING_MS * PER_MS))
        self.tell("caller", "(presses 0)")
        self.person.press("0")
        await self._put_through()
        await self._take_leave()

    async def want_human(self) -> None:
        """Be the caller of call 3."""
        await self._greeted()
        await self._first_sound(await self._say("about"))
        await self._put_through()
        end = await self._say("umbrella")
        await self._end_of_turn(await self.person.hear_voice(end, timeout_s=ANSWER_S))
        await self._take_leave()

    async def leave_message(self) -> None:
        """Be the caller of call 4."""
        await self._greeted()
        await self._ask("human", WORK_MS)
        await self._first_sound(await self._say("meanwhile"))
        nobody = await self._until_nobody_came()
        await self._end_of_turn(await self.person.hear_voice(nobody, timeout_s=ANSWER_S), TURNS_MS)
        await self._ask("message", WORK_MS)
        await self._take_leave()

    # ---- their parts ----------------------------------------------------------------------------

    async def _greeting(self) -> int:
        """Wait for the greeting. Returns where it begins."""
        begin = await self.person.hear_voice(0, timeout_s=GREETING_S)
        answered = self.call.answered_at or 0.0
        self.timing.greeting = 1000 * (self.person.line.time(begin) - answered)
        self.tell("greeting", f"heard {self.timing.greeting:.0f} ms after the answer")
        return begin

    async def _greeted(self) -> None:
        await self._end_of_turn(await self._greeting())

    async def _say(self, name: str) -> int:
        """Say a phrase to its end. Returns the sample behind its last voice."""
        spoken = self.voice[name]
        self.tell("caller", spoken.text)
        await self.person.say(spoken.mulaw)
        start = self.person.line.said.end - len(spoken.mulaw)
        return start + spoken.last

    async def _ask(self, name: str, quiet_ms: int = TURN_MS) -> None:
        """Say something and hear the answer to its end."""
        await self._answered(await self._say(name), quiet_ms)

    async def _answered(self, end: int, quiet_ms: int = TURN_MS) -> None:
        """Hear an answer to its end, to what was said until a sample."""
        await self._end_of_turn(await self._first_sound(end), quiet_ms)

    async def _first_sound(self, end: int) -> int:
        """Wait for an answer to what was said until a sample; time it. Returns where it begins."""
        begin = await self.person.hear_voice(end, timeout_s=ANSWER_S)
        took = (begin - end) / PER_MS
        self.timing.answers.append(took)
        self.tell("answer", f"heard {took:.0f} ms after the caller's last word")
        return begin

    async def _interrupt(self, first: str, instead: str) -> None:
        """Ask for something, and for something else while the answer is being given."""
        await self._talking(await self._say(first))
        spoken, line = self.voice[instead], self.person.line
        self.tell("caller", f"{spoken.text}  (breaks in)")
        until = self.person.begin_to_say(spoken.mulaw)
        start = line.said.end - len(spoken.mulaw)
        onset = start + spoken.first
        await self.person.hear_silence(CUT_MS, onset, timeout_s=ANSWER_S)
        # The last packet that was played, not the last loud one: the agent may have been drawing
        # breath when it was cut off.
        cut = next((end for _, end in line.heard.spans if end > onset), onset)
        self.timing.barge_in = (cut - onset) / PER_MS
        self.tell("barge-in", f"silence {self.timing.barge_in:.0f} ms after the voice began")
        await trio.sleep_until(until)
        await self._answered(start + spoken.last)

    async def _talking(self, since: int) -> None:
        """Wait until the agent is in the middle of saying something."""
        with trio.fail_after(ANSWER_S):
            while True:
                begin = await self.person.hear_voice(since, timeout_s=ANSWER_S)
                with trio.move_on_at(self.person.line.time(begin + TALKING_MS * PER_MS)):
                    since = await self.person.hear_silence(BREATH_MS, begin)
                    continue
                return

    async def _end_of_turn(self, begin: int, quiet_ms: int = TURN_MS) -> None:
        await self.person.hear_silence(quiet_ms, begin)

    async def _put_through(self) -> None:
        """Wait for the human, and hear them out."""
        met = await self._until_met()
        await self._end_of_turn(await self.person.hear_voice(met, timeout_s=ANSWER_S))

    async def _take_leave(self) -> None:
        await self._say("bye")
        await trio.sleep(0.5)
        self.person.hang_up()

    async def _until_met(self) -> int:
        """Wait to be in a room with the human. Returns the sample at which that happened."""
        with trio.fail_after(HUMAN_S):
            async with aclosing(self.call.log.follow()) as events:
                async for event in events:
                    if event.kind == "participant-join":
                        return self.person.line.sample(event.at)
        raise trio.TooSlowError  # the call is over

    async def _until_nobody_came(self) -> int:
        """Wait until a telephone was rung in vain. Returns the sample at which that was over."""
        with trio.fail_after(HUMAN_S):
            while True:
                rung = self.rung.calls if self.rung else []
                if rung and rung[-1].ended_at is not None:
                    return self.person.line.sample(rung[-1].ended_at)
                await trio.sleep(LOOK_S)

    async def _until_hung_up(self) -> None:
        """Let the agent end the call; hang up if it does not."""
        await trio.sleep(PARTING_S)
        self.person.hang_up()
