"""A core, a clock that only moves when told, and a telephone that plays what it is sent.

`Driver` feeds a Call, rings its deadlines in order and keeps every command with its time. Its
phone obeys Twilio's laws: audio plays in real time, a mark echoes when what was sent before it has
played, and at once when nothing is buffered or after `clear`.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from itertools import count
from types import MappingProxyType

from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.policy import (
    CLIP_NAMES,
    LIVE_GREETING,
    PLAIN_GREETING,
    SPANISH_EMERGENCY,
    CallPolicy,
    Clip,
    Effect,
)

MS = 8  # bytes of mu-law
#: `make fuzz` runs the state machines longer than the suite does.
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
EFFECTS = MappingProxyType(
    {
        "lookup_hours": Effect.READ,
        "book_appointment": Effect.WRITE,
        "transfer_to_human": Effect.WRITE,
        "cancel_transfer": Effect.CALL,
        "end_call": Effect.CALL,
        "wait_for_caller": Effect.CALL,
        "ask_larger_model": Effect.CALL,
    }
)
LOUD, HUSH = -20.0, -70.0


def clips(ms: int = 1000) -> Mapping[str, Clip]:
    return {name: Clip(name, f"The {name} clip.", bytes(ms * MS)) for name in CLIP_NAMES}


class Driver:
    """One call under test. Times are seconds from its opening."""

    def __init__(
        self,
        *,
        echo: bool = True,
        clip_ms: int = 1000,
        live: str = "",
        plain: bool = False,
        spanish: bool = False,
        **policy: object,
    ) -> None:
        """live: what the model itself is to greet with; plain: a greeting without notice exists

        spanish: the emergency line exists in it
        """
        self.now = 0.0
        settings: dict[str, object] = {"effects": EFFECTS, **policy}
        spoken = dict(clips(clip_ms))
        if live:
            spoken[LIVE_GREETING] = Clip(LIVE_GREETING, live, b"")
        if plain:
            spoken[PLAIN_GREETING] = Clip(PLAIN_GREETING, "Hello, from an AI.", bytes(clip_ms * MS))
        if spanish:
            line = Clip(SPANISH_EMERGENCY, "Marque el 911.", bytes(clip_ms * MS))
            spoken[SPANISH_EMERGENCY] = line
        self.call = Call(CallPolicy(**settings), spoken, now=self.now)  # type: ignore[arg-type]
        self.log: list[tuple[float, do.Command]] = []
        self.echo = echo
        self._dry_at = 0.0
        self._marks: list[tuple[float, int, str]] = []
        self._serial = count()
        self.played = bytearray()

    # ---- time -------------------------------------------------------------------------------

    def feed(self, *events: on.Event) -> list[do.Command]:
        """Feed events now. Returns what came of them."""
        out: list[do.Command] = []
        for event in events:
            for command in self.call.handle(event, self.now):
                self.log.append((self.now, command))
                out.append(command)
                self._play(command)
        return out

    def until(self, when: float) -> list[do.Command]:
        """Let time pass: deadlines ring, marks echo. Returns all that came of it."""
        start = len(self.log)
        while True:
            at, what = self._next()
            if at > when:
                break
            self.now = max(self.now, at)
            if what is None:
                self.feed(on.DeadlinePassed())
            else:
                heapq.heappop(self._marks)
                self.feed(on.MarkEchoed(what))
        self.now = max(self.now, when)
        return [command for _, command in self.log[start:]]

    def wait(self, seconds: float) -> list[do.Command]:
        return self.until(self.now + seconds)

    def _next(self) -> tuple[float, str | None]:
        """What comes next: a deadline (None) or a mark's echo."""
        ring = self.call.deadline if self.call.deadline is not None else float("inf")
        if self._marks and self._marks[0][0] <= ring:
            return self._marks[0][0], self._marks[0][2]
        return ring, None

    def _play(self, command: do.Command) -> None:
        match command:
            case do.SendAudio(mulaw, mark):
                self.played += mulaw
                self._dry_at = max(self._dry_at, self.now) + len(mulaw) / MS / 1000
                if self.echo:
                    heapq.heappush(self._marks, (self._dry_at, next(self._serial), mark))
            case do.ClearPhone():
                self._dry_at = self.now
                self._marks = [(self.now, serial, name) for _, serial, name in self._marks]
            case _:
                pass

    # ---- people -----------------------------------------------------------------------------

    def start(self, *, ready: bool = True, **parameters: str) -> list[do.Command]:
        who = {"caller": "+15550001", "called": "+15559", **parameters}
        out = self.feed(on.PhoneStarted("MZ1", "CA1", parameters=who))
        if ready:
            out += self.feed(on.ModelOpened("sess_1"), on.ModelReady())
        return out

    def greeted(self) -> None:
        """Start, and hear the greeting out."""
        self.start()
        self.wait(1.5)
        assert self.call.phase.name == "TALKING"

    def hear(self, seconds: float, level_db: float = LOUD) -> list[do.Command]:
        """The caller's line for a while, 20 ms at a time."""
        out: list[do.Command] = []
        for _ in range(round(seconds * 50)):
            out += self.wait(0.02)
            out += self.feed(on.CallerAudio("AAAA", 20, level_db))
        return out

    def caller_says(self, item: str, seconds: float = 1.0, words: str | None = "Yes.") -> list:
        """A whole utterance: heard by the server's VAD after 60 ms, committed after its hold."""
        out = self.hear(0.06)
        start_ms = 1000
        out += self.feed(on.SpeechStarted(item, start_ms))
        out += self.hear(seconds - 0.06)
        out += self.hear(0.5, HUSH)
        stop_ms = start_ms + 300 + round(seconds * 1000) + 500
        out += self.feed(on.SpeechStopped(item, stop_ms), on.InputCommitted(item))
        if words is not None:
            out += self.feed(on.CallerTranscribed(item, words))
        return out

    def agent_says(
        self,
        item: str,
        ms: int,
        *,
        response: str = "r1",
        text: str = "Some words.",
        done: bool = True,
    ) -> list[do.Command]:
        """A whole response at once, as fast as the model makes it."""
        out = self.feed(on.ResponseStarted(response, "turn"))
        out += self.feed(on.AgentAudio(response, item, bytes(ms * MS), -20.0))
        out += self.feed(on.AgentAudioEnded(response, item))
        out += self.feed(on.AgentTranscribed(response, item, text))
        if done:
            out += self.feed(on.ResponseEnded(response, "completed"))
        return out

    def sent(self, kind: type) -> list:
        return [command for _, command in self.log if isinstance(command, kind)]

    def kept(self, kind: type) -> list:
        return [c.record for c in self.sent(do.Keep) if isinstance(c.record, kind)]

    def notes(self) -> list[str]:
        return [note.kind for note in self.sent(do.Note)]


def of(commands: list, kind: type) -> list:
    return [command for command in commands if isinstance(command, kind)]
