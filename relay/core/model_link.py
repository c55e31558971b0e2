"""Whether there is a model to talk to, and what the caller says until there is.

    DIALLING ── session.updated ──▶ READY ── closed, given up ──▶ GONE
        └─────────────────────── refused, given up ─────────────▶ GONE

Caller audio before READY is held, bounded, the oldest dropped; then it is handed over in order.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from relay.core.events import CallerAudio


class Link(Enum):
    DIALLING = auto()
    READY = auto()
    GONE = auto()


class ModelLink:
    """The model's end of one call."""

    def __init__(self, hold_ms: int) -> None:
        self.state = Link.DIALLING
        self._hold_ms = hold_ms
        self._held: deque[CallerAudio] = deque()
        self.held_ms = 0
        self.dropped_ms = 0

    @property
    def ready(self) -> bool:
        return self.state is Link.READY

    def hold(self, frame: CallerAudio) -> None:
        """Keep a frame for later; not when there will be no later."""
        if self.state is Link.GONE:
            return
        self._held.append(frame)
        self.held_ms += frame.ms
        while self.held_ms > self._hold_ms:
            oldest = self._held.popleft()
            self.held_ms -= oldest.ms
            self.dropped_ms += oldest.ms

    def open(self) -> list[CallerAudio] | None:
        """The session is configured. What was held, in order; None if that is no news."""
        if self.state is not Link.DIALLING:
            return None
        self.state = Link.READY
        return self._let_go()

    def lose(self) -> Link:
        """There is no model any more. Returns the state before."""
        before, self.state = self.state, Link.GONE
        self._let_go()
        return before

    def _let_go(self) -> list[CallerAudio]:
        frames = list(self._held)
        self._held.clear()
        self.held_ms = 0
        return frames
