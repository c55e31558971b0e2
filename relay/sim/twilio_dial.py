"""<Dial>: other people's telephones ring, one is answered, two lines become one.

Each person keeps a line of their own. While they are bridged, every 20 ms of what one says is
put into what the other hears, 20 ms later, on a schedule that does not drift.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from relay.sim.line import FRAME, RATE, Line
from relay.sim.person import Person, Script, say_nothing
from relay.sim.ulaw import is_silent, tone

EXTRA_RING_S = 5.0  # Twilio adds this to <Dial timeout>
BUSY_AFTER_S = 1.0
RING_S, RING_PAUSE_S = 2.0, 4.0
_FRAME_S = FRAME / RATE


@dataclass(eq=False, slots=True)
class HumanPhone:
    """A telephone that can be dialled, and who answers it.

    outcome: answer | busy | no-answer | failed
    says: a clip said at once after the answer; script: what the human does then
    calls: one record for each time it rang, with what was heard there
    """

    answer_after_s: float = 2.0
    outcome: str = "answer"
    says: bytes = b""
    script: Script = say_nothing
    calls: list[DialRecord] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class DialRecord:
    """One <Dial>. Times are trio's; None: it never came to that.

    status: completed | busy | no-answer | failed | canceled; line: the human's, once answered
    """

    number: str
    caller_id: str
    sid: str = field(default_factory=lambda: "CA" + secrets.token_hex(16))
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


def begin(
    numbers: Sequence[str], caller_id: str, phones: Mapping[str, HumanPhone]
) -> list[DialRecord]:
    """Ring every number that exists; each phone keeps its record."""
    records = [DialRecord(number, caller_id) for number in numbers]
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
    if phone.outcome == "answer" and phone.answer_after_s <= limit:
        return phone.answer_after_s, "answer", record
    return limit, "no-answer", record


async def ringback(line: Line) -> None:
    """Let the caller hear that it rings, until cancelled."""
    sound = tone(440, round(RING_S * 1000), -26.0)
    try:
        while True:
            line.heard.play(sound, line.sample())
            await trio.sleep(RING_S + RING_PAUSE_S)
    finally:
        line.heard.cut(line.sample())


async def bridge(caller: Line, human: Line, phone: HumanPhone) -> None:
    """Connect two lines until one hangs up, and let the human do what a human does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pump, caller, human)
        nursery.start_soon(_act, Person(human), phone)
        nursery.start_soon(_end_with, human, nursery.cancel_scope)
        await caller.hung_up.wait()
        nursery.cancel_scope.cancel()


async def _end_with(line: Line, scope: trio.CancelScope) -> None:
    await line.hung_up.wait()
    scope.cancel()


async def _act(person: Person, phone: HumanPhone) -> None:
    await person.say(phone.says)
    await phone.script(person)


async def _pump(one: Line, other: Line) -> None:
    start = trio.current_time()
    at_one, at_other = one.sample(start), other.sample(start)
    frame = 0
    while True:
        frame += 1
        await trio.sleep_until(start + frame * _FRAME_S)
        end = frame * FRAME
        _carry(one, at_one + end, other, at_other + end)
        _carry(other, at_other + end, one, at_one + end)


def _carry(source: Line, until: int, target: Line, at: int) -> None:
    """The last 20 ms of one line become the next 20 ms of the other."""
    sound = source.spoken(until - FRAME, until)
    if not is_silent(sound):
        target.heard.play(sound, at)
