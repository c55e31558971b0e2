"""When to stop asking somebody who does not answer, so that not every caller waits for it alone.

    CLOSED ── `limit` failures in a row within `window_s`, or a verdict ──▶ OPEN
      ▲                                                                      │
      └──── anything that worked ◀── one trial each `pause_s` ◀──────────────┘

Open, it admits one trial a pause and remembers nothing of it: a trial that fails, or whose caller
hangs up before anything is known, is simply followed by the next one. So none can be lost, and what
failed late, having begun before, keeps nothing closed any longer. Something that worked in between
means that not all is down: the failures are counted anew.
"""

from __future__ import annotations

from collections import deque


class Breaker:
    """Whether to ask at all. Times are seconds on any clock that only goes forward."""

    def __init__(self, *, limit: int, window_s: float, pause_s: float) -> None:
        self._window_s = window_s
        self._pause_s = pause_s
        self._failed_at: deque[float] = deque(maxlen=limit)
        self._trial_at: float | None = None  # None: closed

    @property
    def open(self) -> bool:
        return self._trial_at is not None

    def admits(self, now: float) -> bool:
        """Whether to ask now. While it is open a True is the trial, and the next a pause away."""
        if self._trial_at is None:
            return True
        if now < self._trial_at:
            return False
        self._trial_at = now + self._pause_s
        return True

    def failed(self, now: float) -> bool:
        """What was asked did not answer. True: that opens it."""
        if self._trial_at is not None:
            return False
        self._failed_at.append(now)
        full = len(self._failed_at) == self._failed_at.maxlen
        return full and now - self._failed_at[0] <= self._window_s and self.trip(now)

    def trip(self, now: float) -> bool:
        """It is known that nothing will work. True: that opens it."""
        before, self._trial_at = self._trial_at, now + self._pause_s
        self._failed_at.clear()
        return before is None

    def worked(self) -> bool:
        """What was asked did answer. True: that closes it."""
        was_open, self._trial_at = self.open, None
        self._failed_at.clear()
        return was_open
