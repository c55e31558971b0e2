"""Lines that are put together: everybody hears everybody else.

Each seat has an ear of its own: every 20 ms, what the others said in the 20 ms before becomes the
next 20 ms of what is heard there, on a schedule that does not drift. A jitter buffer makes a seat's
own voice late by its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from relay.sim.line import FRAME, PER_MS, RATE, Line
from relay.sim.ulaw import LINEAR, SILENCE, encode, is_silent

_FRAME_S = FRAME / RATE


@dataclass(eq=False, slots=True)
class Seat:
    """One line among others. since: the sample at which it was seated; nothing before is passed on.

    aside: sound for this ear alone, mixed with what the others say
    """

    line: Line
    delay_ms: int = 0
    muted: bool = False
    since: int = field(init=False)
    aside: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.since = self.line.sample()


async def listen(me: Seat, table: Sequence[Seat]) -> None:
    """Let one seat hear all others that are at the table at each moment, until cancelled."""
    start = trio.current_time()
    here = me.line.sample(start)
    frame = 0
    try:
        while True:
            frame += 1
            await trio.sleep_until(start + frame * _FRAME_S)
            sound = mixed([*_voices(me, table, start, frame * FRAME), _aside(me)])
            if sound:
                me.line.heard.play(sound, here + frame * FRAME)
    finally:
        me.line.heard.cut(me.line.sample())


def mixed(sounds: Sequence[bytes]) -> bytes:
    """The sum of sounds of one length; nothing if all of them are silent."""
    audible = [sound for sound in sounds if not is_silent(sound)]
    if len(audible) < 2:
        return audible[0] if audible else b""
    return encode(map(sum, zip(*([LINEAR[code] for code in one] for one in audible), strict=True)))


def _voices(me: Seat, table: Sequence[Seat], start: float, passed: int) -> list[bytes]:
    voices = []
    for seat in table:
        until = seat.line.sample(start) + passed - seat.delay_ms * PER_MS
        if seat is not me and not seat.muted and until - FRAME >= seat.since:
            voices.append(seat.line.spoken(until - FRAME, until))
    return voices


def _aside(me: Seat) -> bytes:
    sound = bytes(me.aside[:FRAME])
    del me.aside[:FRAME]
    return sound.ljust(FRAME, SILENCE)
