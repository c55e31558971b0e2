"""Somebody who calls, with nothing but a mouth, an ear, a finger and a stop-watch.

A script is an async function of a `Caller`. A caller knows that it is their turn by the silence.
All phrases are spoken before the first call, since the synthesiser holds the GIL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from relay.sim import voice
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

    # ---- their parts ----------------------------------------------------------------------------

    async def greeting(self) -> int:
        """Wait for the greeting. Returns where it begins."""
        begin = await self.person.hear_voice(0, timeout_s=GREETING_S)
        answered = self.call.answered_at or 0.0
        self.timing.greeting = 1000 * (self.person.line.time(begin) - answered)
        self.tell("greeting", f"heard {self.timing.greeting:.0f} ms after the answer")
        return begin

    async def greeted(self) -> None:
        await self.end_of_turn(await self.greeting())

    async def say(self, name: str) -> int:
        """Say a phrase to its end. Returns the sample behind its last voice."""
        spoken = self.voice[name]
        self.tell("caller", spoken.text)
        await self.person.say(spoken.mulaw)
        start = self.person.line.said.end - len(spoken.mulaw)
        return start + spoken.last

    async def ask(self, name: str, quiet_ms: int = TURN_MS) -> None:
        """Say something and hear the answer to its end."""
        await self.answered(await self.say(name), quiet_ms)

    async def answered(self, end: int, quiet_ms: int = TURN_MS) -> None:
        """Hear an answer to its end, to what was said until a sample."""
        await self.end_of_turn(await self.first_sound(end), quiet_ms)

    async def first_sound(self, end: int) -> int:
        """Wait for an answer to what was said until a sample; time it. Returns where it begins."""
        begin = await self.person.hear_voice(end, timeout_s=ANSWER_S)
        took = (begin - end) / PER_MS
        self.timing.answers.append(took)
        self.tell("answer", f"heard {took:.0f} ms after the caller's last word")
        return begin

    async def interrupt(self, first: str, instead: str) -> None:
        """Ask for something, and for something else while the answer is being given."""
        await self.talking(await self.say(first))
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
        await self.answered(start + spoken.last)

    async def talking(self, since: int) -> None:
        """Wait until the agent is in the middle of saying something."""
        with trio.fail_after(ANSWER_S):
            while True:
                begin = await self.person.hear_voice(since, timeout_s=ANSWER_S)
                with trio.move_on_at(self.person.line.time(begin + TALKING_MS * PER_MS)):
                    since = await self.person.hear_silence(BREATH_MS, begin)
                    continue
                return

    async def end_of_turn(self, begin: int, quiet_ms: int = TURN_MS) -> None:
        await self.person.hear_silence(quiet_ms, begin)

    async def put_through(self) -> None:
        """Wait for the human, and hear them out."""
        met = await self.until_met()
        await self.end_of_turn(await self.person.hear_voice(met, timeout_s=ANSWER_S))

    async def take_leave(self) -> None:
        await self.say("bye")
        await trio.sleep(0.5)
        self.person.hang_up()

    async def until_met(self) -> int:
        """Wait to be in a room with the human. Returns the sample at which that happened."""
        with trio.fail_after(HUMAN_S):
            async with aclosing(self.call.log.follow()) as events:
                async for event in events:
                    if event.kind == "participant-join":
                        return self.person.line.sample(event.at)
        raise trio.TooSlowError  # the call is over

    async def until_nobody_came(self) -> int:
        """Wait until a telephone was rung in vain. Returns the sample at which that was over."""
        with trio.fail_after(HUMAN_S):
            while True:
                rung = self.rung.calls if self.rung else []
                if rung and rung[-1].ended_at is not None:
                    return self.person.line.sample(rung[-1].ended_at)
                await trio.sleep(LOOK_S)

    async def until_hung_up(self) -> None:
        """Let the agent end the call; hang up if it does not."""
        await trio.sleep(PARTING_S)
        self.person.hang_up()
