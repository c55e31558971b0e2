"""Is that the caller speaking? A level meter with two floors.

A frame is *voiced* when it stands clear of both

* the line's noise: a floor that falls quickly and rises slowly, so that speech cannot lift it
* our own echo: telephone lines return the agent's voice, weaker and some 100 ms late

Voiced frames confirm what the server's VAD only suspects (design: a suspicion, then a cut).
"""

from __future__ import annotations

from collections import deque

FLOOR_START_DB = -50.0
FLOOR_MIN_DB, FLOOR_MAX_DB = -70.0, -30.0
# Per frame of 20 ms. Rising 1 dB a second keeps a sentence from becoming noise; a fan that is
# switched on is noise after ten.
FLOOR_FALL = 0.3
FLOOR_RISE_DB_PER_MS = 0.001


class Ear:
    """The caller's side of the line, frame by frame."""

    def __init__(self, *, margin_db: float, echo_gain_db: float, window_ms: int) -> None:
        self._margin_db = margin_db
        self._echo_gain_db = echo_gain_db
        self._window_ms = window_ms
        self._frames: deque[tuple[float, int]] = deque()  # when, voiced ms
        self._voiced_ms = 0
        self.floor_db = FLOOR_START_DB

    def frame(self, now: float, ms: int, level_db: float, own_level_db: float) -> bool:
        """Take one frame; own_level_db is the loudest that we were lately. True: it is voiced."""
        voiced = level_db > max(self.floor_db + self._margin_db, own_level_db + self._echo_gain_db)
        if level_db < self.floor_db:
            self.floor_db += (level_db - self.floor_db) * FLOOR_FALL
        else:
            self.floor_db += min(level_db - self.floor_db, FLOOR_RISE_DB_PER_MS * ms)
        self.floor_db = min(max(self.floor_db, FLOOR_MIN_DB), FLOOR_MAX_DB)
        if voiced:
            self._frames.append((now, ms))
            self._voiced_ms += ms
        return voiced

    def voiced_ms(self, now: float) -> int:
        """Voiced ms within the window that ends now."""
        since = now - self._window_ms / 1000
        while self._frames and self._frames[0][0] < since:
            self._voiced_ms -= self._frames.popleft()[1]
        return self._voiced_ms
