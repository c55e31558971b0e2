"""The calls that a process remembers, and how far each has come. Each step is forward only:

expected  the webhook has answered: a token is out, good for 60 s and for one stream
admitted  its stream was let in, its handshake is under way
live      its stream is open
over      its stream has ended; what `after-stream` shall do is remembered
missed    it ended before any stream was open

Everything is bounded: finished calls are forgotten, oldest first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_REMEMBERED: Final = 10_000


class Step(Enum):
    """How far a call has come in this process."""

    EXPECTED = auto()
    ADMITTED = auto()
    LIVE = auto()
    OVER = auto()
    MISSED = auto()


@dataclass(slots=True)
class Line:
    """One call, as this process knows it.

    expires_at: of its token, unix seconds
    again: why it goes on after a stream that ended; "" for a call that begins
    stream: the name of its stream, the last that this process knows
    fresh_until: how long what was answered may be answered once more; repeated: it was
    """

    caller: str
    called: str
    token: str = ""
    expires_at: float = 0.0
    step: Step = Step.EXPECTED
    disposition: str | None = None
    again: str = ""
    stream: str = ""
    fresh_until: float = 0.0
    repeated: bool = False
    chosen_at: float = 0.0

    def choose(self, disposition: str, at: float) -> None:
        """What shall follow its stream. at: unix seconds."""
        self.disposition, self.chosen_at = disposition, at

    @property
    def coming(self) -> bool:
        """Whether its stream was not open yet, and may still be."""
        return self.step is Step.EXPECTED or self.step is Step.ADMITTED

    @property
    def streamed(self) -> bool:
        """Whether its stream is open, or has been."""
        return self.step is Step.LIVE or self.step is Step.OVER

    def returns_at(self, now: float) -> bool:
        """Whether its next stream was announced a moment ago, and may be on its way. Later than
        that another process may have carried it, to its end even."""
        return bool(self.again) and self.step is Step.EXPECTED and now < self.fresh_until

    def counts_at(self, now: float) -> bool:
        """Whether the call takes up room: it is live, or its stream may still come."""
        return self.step is Step.LIVE or (self.coming and now < self.expires_at)


class Lines:
    """The calls by their CallSid. now: unix seconds, everywhere."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Line] = OrderedDict()
        # Those of them that may take up room, by caller: a crowd rings, and each asks for his own.
        self._open: dict[str, dict[str, Line]] = {}

    def get(self, call_sid: str) -> Line | None:
        """What is known of a call."""
        return self._all.get(call_sid)

    def __getitem__(self, call_sid: str) -> Line:
        return self._all[call_sid]

    def enter(self, call_sid: str, line: Line, now: float) -> None:
        """Remember a call, and forget the oldest that takes up no room if there are too many."""
        if (known := self._all.get(call_sid)) is not None:
            self._open.get(known.caller, {}).pop(call_sid, None)
        self._all[call_sid] = line
        self._open.setdefault(line.caller, {})[call_sid] = line
        while len(self._all) > MAX_REMEMBERED and self._forget_oldest(now):
            pass

    def busy(self, now: float) -> int:
        """Calls that are live, or whose stream may still come."""
        return sum(self.of_caller(caller, now) for caller in list(self._open))

    def of_caller(self, caller: str, now: float) -> int:
        """As busy, but the calls of one number only."""
        lines = self._open.get(caller, {})
        still = {call_sid: line for call_sid, line in lines.items() if line.counts_at(now)}
        self._open[caller] = still
        if not still:
            del self._open[caller]
        return len(still)

    def live(self) -> int:
        """Calls whose stream is open."""
        return sum(line.step is Step.LIVE for of in self._open.values() for line in of.values())

    def _forget_oldest(self, now: float) -> bool:
        """Forget the oldest call; a live one becomes the youngest instead. False for that."""
        call_sid, line = self._all.popitem(last=False)
        if not line.counts_at(now):
            self._open.get(line.caller, {}).pop(call_sid, None)
            return True
        self._all[call_sid] = line
        return False
