"""What a call will not put up with: silence without end, and a phone that is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Idleness:
    """How long nobody has spoken, and whether the caller was asked "are you still there?"."""

    prompt_s: float
    goodbye_s: float
    since: float | None = None
    prompted: bool = False
    allowed_s: float = 0.0  # the caller asked for so much silence
    hold_s: float | None = None  # something goes on that the caller waits for: say so this often

    def look(self, now: float, *, engaged: bool) -> None:
        """Note whether anybody speaks or works."""
        if engaged:
            self.since = None
        elif self.since is None:
            self.since = now

    def caller_spoke(self) -> None:
        self.since, self.prompted, self.allowed_s = None, False, 0.0

    @property
    def due_at(self) -> float | None:
        if self.since is None:
            return None
        if self.hold_s is not None:
            return self.since + self.hold_s
        wait_s = self.goodbye_s - self.prompt_s if self.prompted else self.prompt_s
        return self.since + max(wait_s, self.allowed_s)


@dataclass(slots=True)
class Sanity:
    """Counts what a telephone line cannot do: run ahead of the clock, break its protocol."""

    flood_ms: int
    misbehaviour_per_s: int
    line_ms: int = 0
    _second: int = -1
    _in_second: int = 0

    def floods(self, ms: int, elapsed_s: float) -> bool:
        """Take ms of audio, elapsed_s after the start. True: far more than there can be."""
        self.line_ms += ms
        return self.line_ms - elapsed_s * 1000 > self.flood_ms

    def too_broken(self, now: float) -> bool:
        """Take one broken message. True: too many in this second."""
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        return self._in_second > self.misbehaviour_per_s
