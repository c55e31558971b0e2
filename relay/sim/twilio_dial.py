"""Telephones that can be rung: who answers, how it ends, and what a human there does.

A human may be given a script, which hears and speaks as any `Person`, or a list of `Act`s: keys,
clips and a hang-up, each so long after the answer or after the end of a prompt that was spoken at
the human's ear.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from relay.sim.line import Line
from relay.sim.person import Person, Script, say_nothing
from relay.sim.ulaw import tone

EXTRA_RING_S = 5.0  # Twilio adds this to every timeout of a call that it places
BUSY_AFTER_S = 1.0
RING_S, RING_PAUSE_S = 2.0, 4.0
VOICEMAIL_BEEP = tone(1000, 500)


@dataclass(frozen=True, slots=True)
class Act:
    """Something a human does once: presses keys, then says a clip, then hangs up.

    prompt: part of the words of a prompt ("" fits any) after whose end it is done, None: after the
    answer; after_s: how long after that
    """

    press: str = ""
    say: bytes = b""
    hang_up: bool = False
    prompt: str | None = None
    after_s: float = 0.0


@dataclass(eq=False, slots=True)
class HumanPhone:
    """A telephone that can be dialled, and who answers it.

    outcome: answer | busy | no-answer | failed | voicemail
    says: a clip said at once after the answer; script: what the human does then
    acts: what the human does beside that
    voicemail_s: how long a voicemail listens after its beep, before it hangs up
    rings_s: how long it rings unanswered before its own network gives up, if that is sooner than
    who rings it does
    calls: one record for each time it rang, with what was heard there
    """

    answer_after_s: float = 2.0
    outcome: str = "answer"
    says: bytes = b""
    script: Script = say_nothing
    acts: Sequence[Act] = ()
    voicemail_s: float = 60.0
    rings_s: float = math.inf
    calls: list[DialRecord] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class DialRecord:
    """One time that a telephone was rung. Times are trio's; None: it never came to that.

    status: completed | busy | no-answer | failed | canceled; line: the human's, once answered
    """

    number: str
    caller_id: str
    sid: str
    rang_at: float = field(default_factory=trio.current_time)
    status: str = "canceled"
    line: Line | None = None
    bridged_at: float | None = None
    ended_at: float | None = None

    def form(self) -> dict[str, str]:
        """What <Dial action> is told."""
        bridged = self.bridged_at is not None
        form = {
            "DialCallStatus": self.status,
            "DialCallSid": self.sid,
            "DialBridged": "true" if bridged else "false",
        }
        if self.bridged_at is not None and self.ended_at is not None:
            form["DialCallDuration"] = str(round(self.ended_at - self.bridged_at))
        return form


@dataclass(eq=False, slots=True)
class Prompts:
    """What Twilio itself has spoken or played to one ear, to its end: (words or URL, when)."""

    ended: list[tuple[str, float]] = field(default_factory=list)
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def add(self, words: str) -> None:
        self.ended.append((words, trio.current_time()))
        self._news.unpark_all()

    async def end(self, part: str) -> float:
        """Wait for the end of a prompt with these words in it. Returns when that was."""
        seen = 0
        while True:
            for words, at in self.ended[seen:]:
                if part in words:
                    return at
            seen = len(self.ended)
            await self._news.park()


def new_sid() -> str:
    return "CA" + secrets.token_hex(16)


def begin(
    numbers: Sequence[str], caller_id: str, phones: Mapping[str, HumanPhone], sid: str = ""
) -> list[DialRecord]:
    """Ring every number that exists; each phone keeps its record. sid: of a single call."""
    records = [DialRecord(number, caller_id, sid or new_sid()) for number in numbers]
    for record in records:
        if record.number in phones:
            phones[record.number].calls.append(record)
    return records


async def ring(
    records: Sequence[DialRecord], phones: Mapping[str, HumanPhone], timeout_s: float
) -> DialRecord:
    """Wait until one phone is answered or none will be. Returns the record that counts: the one
    answered (its line is set), else the one that says why not."""
    start = trio.current_time()
    limit = timeout_s + EXTRA_RING_S
    ends = [_fate(record, phones.get(record.number), limit) for record in records]
    answered = [end for end in ends if end[1] == "answer"]
    after, outcome, record = min(answered or ends[-1:], key=lambda end: end[0])
    await trio.sleep_until(start + after)
    for other in records:
        other.status = "no-answer" if other is not record else outcome
        other.ended_at = None if outcome == "answer" and other is record else trio.current_time()
    if outcome == "answer":
        record.status = "completed"
        record.line = Line()
    return record


def _fate(
    record: DialRecord, phone: HumanPhone | None, limit: float
) -> tuple[float, str, DialRecord]:
    """When and how ringing one phone ends."""
    if phone is None or phone.outcome == "failed":
        return 0.0, "failed", record
    if phone.outcome == "busy":
        return min(BUSY_AFTER_S, limit), "busy", record
    if phone.outcome in ("answer", "voicemail") and phone.answer_after_s <= limit:
        return phone.answer_after_s, "answer", record
    return min(limit, phone.rings_s), "no-answer", record


async def ringback(line: Line) -> None:
    """Let the caller hear that it rings, until cancelled."""
    sound = tone(440, round(RING_S * 1000), -26.0)
    try:
        while True:
            line.heard.play(sound, line.sample())
            await trio.sleep(RING_S + RING_PAUSE_S)
    finally:
        line.heard.cut(line.sample())


async def attend(phone: HumanPhone, line: Line, prompts: Prompts) -> None:
    """Be whoever answered a phone, from the answer on."""
    person = Person(line)
    if phone.outcome == "voicemail":
        await person.say(phone.says + VOICEMAIL_BEEP)
        await trio.sleep(phone.voicemail_s)
        person.hang_up()
        return
    async with trio.open_nursery() as nursery:
        for act in phone.acts:
            nursery.start_soon(_do, act, person, prompts)
        await person.say(phone.says)
        await phone.script(person)


async def _do(act: Act, person: Person, prompts: Prompts) -> None:
    since = trio.current_time() if act.prompt is None else await prompts.end(act.prompt)
    await trio.sleep_until(since + act.after_s)
    person.press(act.press)
    await person.say(act.say)
    if act.hang_up:
        person.hang_up()
