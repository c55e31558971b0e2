"""A replayed call as lines to read: what came, what was said to it, and where the speech stood.

    12.340  <  SpeechStarted item_id='item_9' buffer_ms=11800
    12.480  >  ClearPhone
    12.480  =  LEAVING → TALKING
    12.500  ·  2.1 s  caller 2100 ms, -19 dB; agent item_8 +4000 ms, sent 2300, heard 1200

`<` an event, `>` a command, `=` a change of phase, `·` all that goes on without a decision: frames,
deltas, chunks and marks, added up until something else happens. sent and heard count from an
item's beginning; heard is what a mark has proven (a cut interpolates beyond it, see TruncateItem).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import NamedTuple, TypeAlias

from relay.audio.frames import mulaw_ms
from relay.core import commands as do
from relay.core import events as on
from relay.replay import Played
from relay.shell.recording import AUDIO, Head, Recording

Sight: TypeAlias = on.Event | do.Command


class Line(NamedTuple):
    """at: seconds after the call's opening. sign: < > = · or ! for what went wrong."""

    at: float
    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.at:9.3f}  {self.sign}  {self.text}"


def heading(head: Head) -> str:
    """Which call this is, and what of it is there."""
    sound = "with sound" if head.audio else "without sound"
    return f"{head.call_sid} at {head.started_at:%Y-%m-%d %H:%M:%S %Z}, relay {head.relay}, {sound}"


def timeline(
    recording: Recording, played: Iterable[Played], *, every: bool = False
) -> Iterator[Line]:
    """The call's lines, as it is played. every: each frame and chunk by itself."""
    opened_at = recording.head.opened_at
    flow = _Flow()
    at = 0.0
    for step in played:
        at = step.step.now - opened_at
        for sign, sight in _sights(step, every=every):
            if not every and flow.takes(sight, at):
                continue
            yield from flow.told(at)
            yield Line(at, sign, _shown(sight))
        if step.after != step.before:
            yield from flow.told(at)
            yield Line(at, "=", f"{step.before} → {step.after}")
        if step.difference:
            yield from flow.told(at)
            yield Line(at, "!", f"step {step.number}: {step.difference}")
    yield from flow.told(at)
    yield Line(at, "=", f"recording: {recording.over or 'its end is missing'}")


def _sights(step: Played, *, every: bool) -> Iterator[tuple[str, Sight]]:
    """What came and what was said to it. An echo that proves nothing is told by its note."""
    stale = any(isinstance(each, do.Note) and each.kind == "stale_mark" for each in step.commands)
    if every or not stale:
        yield "<", step.step.event
    for command in step.commands:
        yield ">", command


@dataclass(slots=True)
class _Speech:
    """One item of ours, lately: ms that came, ms of it that are sent and proven to be heard."""

    came: int = 0
    sent: int | None = None
    heard: int | None = None

    def __str__(self) -> str:
        parts = [f"+{self.came} ms"] if self.came else []
        parts += [f"sent {self.sent}"] if self.sent is not None else []
        parts += [f"heard {self.heard}"] if self.heard is not None else []
        return ", ".join(parts)


@dataclass(slots=True)
class _Flow:
    """What went by without a decision since the last line."""

    since: float | None = None
    caller_ms: int = 0
    caller_db: float = -100.0
    passed_on: int = 0
    stale_marks: int = 0
    speech: dict[str, _Speech] = field(default_factory=dict)

    def takes(self, sight: Sight, at: float) -> bool:
        """Add it up, if it is of that kind."""
        match sight:
            case on.DeadlinePassed():
                return True  # what it leads to says enough
            case on.CallerAudio(_, ms, level_db):
                self.caller_ms += ms
                self.caller_db = max(self.caller_db, level_db)
            case on.CallerPassed(_, frames):
                for ms, level_db, _ in frames:
                    self.caller_ms += ms
                    self.caller_db = max(self.caller_db, level_db)
                self.passed_on += len(frames)
            case do.AppendAudio() | do.RetellAudio():
                self.passed_on += 1
            case do.Note("stale_mark"):
                self.stale_marks += 1
            case on.AgentAudio(_, item_id, mulaw):
                self._of(item_id).came += mulaw_ms(len(mulaw))
            case do.SendAudio(_, mark):
                speech, ms = self._place(mark)
                speech.sent = ms
            case on.MarkEchoed(name):
                speech, ms = self._place(name)
                speech.heard = ms
            case _:
                return False
        self.since = at if self.since is None else self.since
        return True

    def told(self, at: float) -> Iterator[Line]:
        """One line of it, and begin anew."""
        if self.since is None:
            return
        parts = [f"{item_id} {speech}" for item_id, speech in self.speech.items()]
        if self.caller_ms:
            held = "" if self.passed_on else ", held"
            parts.insert(0, f"caller {self.caller_ms} ms at most {self.caller_db:.0f} dB{held}")
        elif self.passed_on:
            parts.insert(0, f"{self.passed_on} frames that were held")
        if self.stale_marks:
            parts.append(f"{self.stale_marks} marks of before the cut")
        yield Line(at, "·", f"in {at - self.since:.1f} s: {'; '.join(parts)}")
        self.since, self.caller_ms, self.caller_db = None, 0, -100.0
        self.passed_on = self.stale_marks = 0
        self.speech = {}

    def _of(self, item_id: str) -> _Speech:
        return self.speech.setdefault(item_id, _Speech())

    def _place(self, mark: str) -> tuple[_Speech, int]:
        """Where in which item a mark of the ledger's stands: `<epoch>:<item>:<item_ms>`."""
        item_id, _, ms = mark.partition(":")[2].rpartition(":")
        return self._of(item_id), int(ms)


def _shown(thing: object) -> str:
    """An event or command by its name and what its fields hold; sound by its length."""
    if isinstance(thing, do.Keep):
        return f"Keep {_shown(thing.record)}"
    if not is_dataclass(thing):
        return repr(thing)
    values = ((each.name, getattr(thing, each.name)) for each in fields(thing))
    shown = [
        f"{name}=<{len(value)}>" if name in AUDIO else f"{name}={value!r}"
        for name, value in values
        if value not in ("", None, {}) and name != "at"  # a record's `at` is its line's own
    ]
    return " ".join((type(thing).__name__, *shown))
