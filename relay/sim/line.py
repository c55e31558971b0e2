"""A telephone line as two exact records of sound: what is said into it, what is heard from it.

A `Timeline` is 8 kHz mu-law from sample 0 on, one byte a sample, silence where nobody put
anything. Sound is put on it ahead of time (that is a play-out buffer), read as time reaches it
(that is a loudspeaker), and cut where it has not been played (that is `clear`). A `Line` ties two
of them to trio's clock, so that position and time are the same thing and never drift.
"""

from __future__ import annotations

import collections
import io
import wave
from dataclasses import dataclass, field

import trio

from relay.sim.room import QUIET, Room
from relay.sim.ulaw import SILENCE, pcm16

RATE = 8000  # samples, and bytes, a second
PER_MS = 8
FRAME = 160  # samples in 20 ms, Twilio's packet


@dataclass(slots=True)
class Timeline:
    """Sound by position. Positions are samples; `spans` are the stretches that were put on it."""

    audio: bytearray = field(default_factory=bytearray)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The sample behind the last one that was put on."""
        return len(self.audio)

    def play(self, mulaw: bytes, at: int) -> int:
        """Put sound behind all that is there, but not before `at`. Returns where it begins."""
        start = max(at, self.end)
        if not mulaw:
            return start
        self.audio += SILENCE * (start - self.end)
        self.audio += mulaw
        if self.spans and self.spans[-1][1] == start:
            start_of_span, _ = self.spans.pop()
            self.spans.append((start_of_span, self.end))
        else:
            self.spans.append((start, self.end))
        return start

    def cut(self, at: int) -> int:
        """Throw away everything from `at` on. Returns how many samples that were."""
        dropped = max(0, self.end - max(0, at))
        if dropped:
            del self.audio[max(0, at) :]
        while self.spans and self.spans[-1][0] >= at:
            self.spans.pop()
        if self.spans and self.spans[-1][1] > at:
            self.spans[-1] = (self.spans[-1][0], at)
        return dropped

    def read(self, start: int, end: int) -> bytes:
        """The sound of [start, end), silence where there is none."""
        inside = bytes(self.audio[max(0, start) : max(0, end)])
        before = SILENCE * (min(0, end) - min(0, start))
        return before + inside + SILENCE * (max(0, end - start) - len(before) - len(inside))

    def gaps(self, shorter_than_ms: int = 500) -> list[tuple[int, int]]:
        """Holes between two stretches of sound: under `shorter_than_ms` they are underruns in
        the middle of speech rather than pauses."""
        pairs = zip(self.spans, self.spans[1:], strict=False)
        return [
            (left[1], right[0])
            for left, right in pairs
            if right[0] - left[1] < shorter_than_ms * PER_MS
        ]


@dataclass(slots=True)
class Line:
    """One person's telephone line. Sample 0 of both timelines is at `origin` on trio's clock.

    said: what the person puts in; heard: what comes out at the person's ear
    pressed: keys not yet taken by whoever is at the other end
    hung_up: set by the person
    room: what the person's telephone adds to the voice
    """

    origin: float = field(default_factory=trio.current_time)
    said: Timeline = field(default_factory=Timeline)
    heard: Timeline = field(default_factory=Timeline)
    pressed: collections.deque[str] = field(default_factory=collections.deque)
    hung_up: trio.Event = field(default_factory=trio.Event)
    room: Room = QUIET
    _keyed: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def press(self, digits: str) -> None:
        self.pressed.extend(digits)
        self._keyed.unpark_all()

    async def key(self) -> str:
        """Wait for a key that nobody has taken yet, and take it."""
        while not self.pressed:
            await self._keyed.park()
        return self.pressed.popleft()

    def sample(self, at: float | None = None) -> int:
        """The sample that is due at a time, now if none is given."""
        return round(((trio.current_time() if at is None else at) - self.origin) * RATE)

    def time(self, sample: int) -> float:
        """When a sample is due."""
        return self.origin + sample / RATE

    def spoken(self, start: int, end: int) -> bytes:
        """What the network gets of [start, end): the voice, and what the room adds to it."""
        delay = self.room.echo_delay_ms * PER_MS
        echo = self.heard.read(start - delay, end - delay)
        return self.room.mix(self.said.read(start, end), echo, start)


def stereo_wav(left: bytes, right: bytes) -> bytes:
    """Two mu-law tracks as a WAV file of 16-bit PCM at 8 kHz; the shorter one is filled up."""
    length = max(len(left), len(right))
    frames = bytearray(4 * length)
    for channel, track in enumerate((left, right)):
        pcm = pcm16(track.ljust(length, SILENCE))
        frames[2 * channel :: 4] = pcm[0::2]
        frames[2 * channel + 1 :: 4] = pcm[1::2]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(frames))
    return out.getvalue()
