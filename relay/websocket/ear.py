"""The caller's frames from a phone's link to the model's format: one C call receives, reads the
JSON and converts (native/media.h). Marks that come back are read there, too.

What is not entirely usual is not taken here: `Ear.receive` and `Ear.next` then say what the frame
is, and it is read as any other message. The order of frames is kept by `chunk`, which whoever hears
a frame elsewhere must set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from relay.audio import PhoneToModel
from relay.audio._native import ffi, lib
from relay.websocket.link import NO_ROOM, Link

TAKEN: Final = lib.MEDIA_TAKEN
ECHOED: Final = lib.MEDIA_ECHOED
_SID_BYTES: Final = 64
_NAME_BYTES: Final = lib.EAR_NAME
_EVERY_MARK: Final = -1
_PASSED: Final = Struct("=i4xdi4x")  # an ear_frame: ms, level in dBFS, rises
_PASSED_SIZE: Final = _PASSED.size

_receive, _next, _bytes_at = lib.media_receive, lib.media_next, ffi.buffer
_echo_age = lib.media_echo_age


@dataclass(frozen=True, slots=True)
class Lane:
    """Where an ear's frames may go at once, while link.takes.

    flush: has sent what could not be
    """

    link: Link
    flush: Callable[[], None]


class Ear:
    """One call's phone link and codec, joined. Neither is used by anybody else meanwhile."""

    __slots__ = ("_codec", "_lane", "_link", "_mulaw", "_passed", "_space", "c")

    def __init__(self, link: Link, codec: PhoneToModel) -> None:
        self._link, self._codec = link, codec
        self.c: Any = ffi.new("media_ear *")
        self.c.phone = link.c
        self.c.stream, self._space = codec.parts()
        self.c.space = self._space
        self.c.alert_db = float("inf")
        self._passed, self._mulaw = ffi.buffer(self.c.passed), ffi.buffer(self.c.mulaw)
        self._lane: Lane | None = None

    def stream_started(self, stream_sid: str) -> None:
        """Only media of this stream is taken, and none before this.

        Names are compared as they are spelt: one that JSON spells otherwise is left to the reader.
        """
        name = stream_sid.encode()
        if len(name) <= _SID_BYTES and stream_sid.isprintable() and "\\" not in stream_sid:
            ffi.memmove(self.c.stream_sid, name, len(name))
            self.c.stream_sid_n = len(name)

    def receive(self) -> int:
        """Receive once and take a frame: TAKEN, ECHOED, or what Link.receive or Link.next says."""
        kind = _receive(self.c)
        if kind == NO_ROOM:
            self._link.grow()
            kind = _receive(self.c)
        return kind

    def next(self) -> int:
        """Take a frame of what was received: TAKEN, ECHOED, or what Link.next says."""
        return _next(self.c)

    def frame(self) -> tuple[str, int, float, int]:
        """The frame that was TAKEN: base64 for the model, ms, level in dBFS, rises."""
        c, space = self.c, self._space
        audio = str(_bytes_at(c.audio, c.audio_n), "ascii")
        return audio, self._codec.whole_ms(space.mulaw_bytes), space.level_db, c.rises

    def whole_ms(self, mulaw_bytes: int) -> int:
        """What so many more bytes of the line count for."""
        return self._codec.whole_ms(mulaw_bytes)

    def lead_to(self, lane: Lane | None) -> None:
        """Where a `Round` hands the frames on before it tells of them; None: nowhere."""
        self._lane = lane  # C points to what it holds
        self.c.model = ffi.NULL if lane is None else lane.link.c

    def alert(self, above_db: float) -> None:
        """From what level on a frame matters at once, for a `Round` that takes its time."""
        self.c.alert_db = above_db

    def await_mark(self, name: str) -> None:
        """Which mark matters when it comes back, for a `Round`; "": none does."""
        spelt = name.encode()
        if len(spelt) > _NAME_BYTES:
            self.c.awaited_n = _EVERY_MARK
            return
        ffi.memmove(self.c.awaited, spelt, len(spelt))
        self.c.awaited_n = len(spelt)

    def echoed(self) -> tuple[str, float] | None:
        """The last mark that came back since the last call, if any, and how many seconds ago."""
        c = self.c
        n = c.echo_n
        if not n:
            return None
        name = str(_bytes_at(c.echo, n), "utf-8")
        c.echo_n = c.noted = 0
        return name, _echo_age(c)

    def passed(self) -> tuple[bytes, list[tuple[int, float, int]]] | None:
        """What a `Round` has handed on since the last call, if anything.

        Returns mu-law, and of each frame in it its ms, level in dBFS and rises.
        """
        c = self.c
        n = c.passed_n
        if not n:
            return None
        frames = list(_PASSED.iter_unpack(self._passed[: n * _PASSED_SIZE]))
        mulaw = self._mulaw[: c.mulaw_n]
        c.passed_n = c.mulaw_n = c.noted = 0
        return mulaw, frames

    def flush_lane(self) -> None:
        if self._lane is not None:
            self._lane.flush()

    @property
    def chunk(self) -> int:
        """Number of the newest frame; 0 before the first."""
        return int(self.c.chunk)

    @chunk.setter
    def chunk(self, number: int) -> None:
        self.c.chunk = number
