"""Twilio's play-out buffer: what of the audio that a relay sends is really heard, and when.

Audio joins a queue that plays at 8 bytes a millisecond, without a pause while there is some. A
mark takes its place in the queue and is echoed when everything before it was played, or at once
if nothing is waiting. `clear` empties the queue and every mark in it is echoed at once: an echo
says "played or thrown away". This book also knows which of the two it was.

All positions are samples of the line's timeline; nothing here waits or reads a clock.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

from relay.sim.line import RATE, Timeline

MAX_BUFFERED = 10 * 60 * RATE  # "about 10 minutes"; beyond it Twilio warns 31931 and discards


@dataclass(slots=True)
class Chunk:
    """One `media` message: the bytes [offset, offset + size) of all audio ever received.

    arrived: sample at which it came; start: sample at which it plays; cut: where a clear ended it
    """

    arrived: int
    offset: int
    start: int
    size: int
    cut: int | None = None

    def played(self, now: int) -> int:
        """How many of its bytes have been heard at sample `now`."""
        until = now if self.cut is None else min(now, self.cut)
        return max(0, min(self.size, until - self.start))


@dataclass(slots=True)
class Mark:
    """One `mark`: offset is the number of bytes received before it, due its place in the queue.

    echoed: sample of its echo, None while it waits
    discarded: a clear threw away audio in front of it, so its echo does not mean "played"
    """

    name: str
    arrived: int
    offset: int
    due: int
    echoed: int | None = None
    discarded: bool = False


@dataclass(slots=True)
class Playout:
    """One stream's buffer in front of the timeline that a caller hears."""

    heard: Timeline
    chunks: list[Chunk] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    received: int = 0  # bytes accepted so far
    clears: list[int] = field(default_factory=list)
    _waiting: collections.deque[Mark] = field(default_factory=collections.deque)

    def media(self, mulaw: bytes, now: int) -> int:
        """Take audio. Returns how many bytes did not fit and were thrown away (31931)."""
        room = max(0, MAX_BUFFERED - max(0, self.heard.end - now))
        taken = mulaw[:room]
        if taken:
            start = self.heard.play(taken, now)
            self.chunks.append(Chunk(now, self.received, start, len(taken)))
            self.received += len(taken)
        return len(mulaw) - len(taken)

    def mark(self, name: str, now: int) -> None:
        mark = Mark(name, now, self.received, max(now, self.heard.end))
        self.marks.append(mark)
        self._waiting.append(mark)

    def clear(self, now: int) -> None:
        """Empty the buffer: what is to be heard from `now` on is gone, all marks are due."""
        self.clears.append(now)
        self.heard.cut(now)
        for chunk in reversed(self.chunks):
            if chunk.cut is not None or chunk.start + chunk.size <= now:
                break
            chunk.cut = now
        for mark in self._waiting:
            mark.discarded = mark.due > now
            mark.due = min(mark.due, now)

    def echoes(self, now: int) -> list[Mark]:
        """Take the marks that are due, in their order."""
        due: list[Mark] = []
        while self._waiting and self._waiting[0].due <= now:
            mark = self._waiting.popleft()
            mark.echoed = now
            due.append(mark)
        return due

    @property
    def next_echo(self) -> int | None:
        """The sample at which the next mark is due, None if none waits."""
        return self._waiting[0].due if self._waiting else None

    def played(self, start: int, end: int, now: int) -> int:
        """How many of the received bytes [start, end) have been heard at sample `now`. With the
        offsets of the marks around an item this is the truth about what of it was heard."""
        heard = 0
        for chunk in self.chunks:
            first = max(start, chunk.offset) - chunk.offset
            last = min(end, chunk.offset + chunk.played(now)) - chunk.offset
            heard += max(0, last - first)
        return heard
