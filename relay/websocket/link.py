"""One connection's end: what was received is taken frame by frame, what is put is framed and sent.

The two buffers are ours and grow with what comes through, up to a bound; C works in them and
allocates nothing (native/link.h draws them). Nothing here waits.
"""

from __future__ import annotations

from typing import Any, Final

from relay.audio._native import ffi, lib
from relay.errors import Misuse
from relay.websocket.tls import Trust

MORE: Final = lib.WS_MORE
BROKEN: Final = lib.WS_BROKEN
AGAIN: Final = lib.LINK_AGAIN
ENDED: Final = lib.LINK_ENDED
WANTS_READ: Final = lib.TLS_WANTS_READ
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

NO_CODE: Final = 1005  # RFC 6455, 7.4.1: a close frame that gives none
NO_ROOM: Final = lib.LINK_NO_ROOM
_HEAD: Final = 14
_APPEND_BYTES: Final = 64  # of JSON around the audio
_PLAY_BYTES: Final = 128  # … around a chunk and its mark, without the names
# A frame of the phone has 0.4 KiB; the model's buffer grows to its deltas of tens of KiB.
_FIRST_BYTES: Final = 4096
_USUAL_BYTES: Final = 64 * 1024  # a second of sound; more is believed as it comes
_KEPT_BYTES: Final = 256 * 1024  # what one long message has needed beyond this is given back
# The same of what is sent: a session's settings are long, and all that follows them is short.
_KEPT_OUT_BYTES: Final = 10 * 1024  # room for 400 ms of the agent's speech, after a growth
_KEYS: Final = 256
_WHY_BYTES: Final = 200

_receive, _next, _put, _flush = lib.link_receive, lib.link_next, lib.link_put, lib.link_flush
_append, _play = lib.append_put, lib.play_put


class Link:
    """A WebSocket's end. client: our role; limit: bytes of the longest message that is taken."""

    __slots__ = ("_c_got", "_c_out", "_first_got", "_got_view", "_limit", "_out_view", "_tls", "c")

    def __init__(self, fd: int, *, client: bool, limit: int) -> None:
        self.c: Any = ffi.new("link_end *")
        self.c.fd = fd
        self.c.reader.limit = limit
        self.c.reader.masked = not client
        self.c.keys_used = _KEYS  # so that the first mask fetches some
        self._limit = limit
        self._tls: Any = None
        # Stays when there is a larger one, so that it leaves no small hole when that is given back.
        self._first_got = bytearray(_FIRST_BYTES)
        self._got_view = memoryview(b"")
        self._out_view = memoryview(b"")
        self._grow_got(_FIRST_BYTES)
        self._grow_out(_FIRST_BYTES)

    # ---- in ---------------------------------------------------------------------------------

    def receive(self) -> int:
        """Receive once. Returns the bytes that came, AGAIN or ENDED."""
        c = self.c
        if c.got_size > _KEPT_BYTES and c.start == c.end:
            self._grow_got(_FIRST_BYTES)
        came = _receive(c)
        if came == NO_ROOM:
            self.grow()
            came = _receive(c)
        return came

    def push(self, data: bytes) -> None:
        """Take bytes that somebody else has received for us before."""
        c = self.c
        if c.got_size - c.end < len(data):
            self._grow_got(c.end - c.start + len(data))
        self._got_view[c.end : c.end + len(data)] = data
        c.end += len(data)

    def take_raw(self) -> bytes:
        """All that was received and not taken, whatever it is."""
        c = self.c
        taken = bytes(self._got_view[c.start : c.end])
        c.start = c.end
        return taken

    def next(self) -> int:
        """Take a frame: its opcode (of data: its message's), MORE or BROKEN. See `payload`."""
        return _next(self.c)

    def payload(self) -> bytes:
        """Of the frame that was just taken; of a close frame its reason."""
        frame = self.c.frame
        return self._got_view[frame.payload : frame.payload + frame.payload_n].tobytes()

    @property
    def final(self) -> bool:
        """Whether the frame that was just taken ends its message."""
        return bool(self.c.frame.final)

    @property
    def code(self) -> int:
        """Of a close frame, or what a BROKEN peer is to be told."""
        return int(self.c.frame.code)

    def untaken(self) -> bool:
        """Whether bytes were received that are not taken yet."""
        return bool(self.c.end > self.c.start)

    @property
    def full(self) -> bool:
        """Whether there was no room to receive more than was."""
        return bool(self.c.end == self.c.got_size)

    @property
    def more(self) -> bool:
        """Whether there is more to receive that epoll does not tell of: TLS may hold some."""
        return bool(self.c.more)

    def forget(self) -> None:
        """Nothing that was received will be taken any more."""
        self.c.start = self.c.end

    def grow(self) -> None:
        """Have room to receive more of a frame that is not all there: all of it, if it is usual."""
        size, needed = 2 * self.c.got_size, min(self.c.frame.need, _USUAL_BYTES)
        while size < needed:
            size *= 2
        self._grow_got(size)

    def shrink(self) -> None:
        """Give back the room that long messages needed. There will be more when they come again."""
        c = self.c
        if c.got_size > _FIRST_BYTES:
            self._grow_got(max(_FIRST_BYTES, c.end - c.start))

    # ---- out --------------------------------------------------------------------------------

    def put(self, opcode: int, payload: bytes) -> None:
        """Frame a message behind what is not sent yet."""
        c = self.c
        if _put(c, opcode, payload, len(payload)) < 0:
            self._make_room(len(payload))
            if _put(c, opcode, payload, len(payload)) < 0:
                raise OSError("no random bytes for a mask")

    def append(self, audio: bytes) -> None:
        """Frame an input_audio_buffer.append of base64 behind what is not sent yet."""
        if _append(self.c, audio, len(audio)) < 0:
            self._make_room(len(audio) + _APPEND_BYTES)
            if _append(self.c, audio, len(audio)) < 0:
                raise OSError("no random bytes for a mask")

    def play(self, stream_sid: bytes, mulaw: bytes, mark: bytes) -> bool:
        """Frame a chunk of our speech and the mark behind it, behind what is not sent yet.

        False: a name has characters that JSON escapes, and nothing was framed.
        """
        c, sid_n, n, mark_n = self.c, len(stream_sid), len(mulaw), len(mark)
        done = _play(c, stream_sid, sid_n, mulaw, n, mark, mark_n)
        if done == NO_ROOM:
            self._make_room(2 * sid_n + 4 * n // 3 + mark_n + _PLAY_BYTES + _HEAD)
            done = _play(c, stream_sid, sid_n, mulaw, n, mark, mark_n)
        if done == ENDED:
            raise OSError("no random bytes for a mask")
        return bool(done == 0)

    def put_raw(self, data: bytes) -> None:
        """Put bytes as they are behind what is not sent yet."""
        self._make_room(len(data))
        c = self.c
        self._out_view[c.filled : c.filled + len(data)] = data
        c.filled += len(data)

    def _make_room(self, n: int) -> None:
        """Have room for a frame of n bytes more, and some to spare."""
        c = self.c
        self._grow_out(2 * (c.filled - c.sent + n + _HEAD))

    def flush(self) -> int:
        """Send. Returns the bytes that the peer does not take now, or ENDED."""
        c = self.c
        left = _flush(c)
        if not left and c.out_size > _KEPT_OUT_BYTES:
            self._grow_out(_FIRST_BYTES)
        return left

    @property
    def unsent(self) -> int:
        """Bytes that are framed and not sent."""
        return int(self.c.filled - self.c.sent)

    # ---- others ------------------------------------------------------------------------------

    @property
    def takes(self) -> bool:
        """Whether an ear may put frames in, and have them sent (`Round`)."""
        return bool(self.c.takes)

    @takes.setter
    def takes(self, takes: bool) -> None:
        self.c.takes = takes

    # ---- the connection ---------------------------------------------------------------------

    def secure(self, trust: Trust, host: str) -> None:
        """Have TLS carry all that is received and sent from now on, after `shake_hands`.

        host: whom the peer's certificate must name. Raises ValueError if it cannot name that.
        """
        name = host.encode("idna")
        made = lib.tls_open(trust.c, self.c.fd, name, len(name))
        if made == ffi.NULL:
            raise ValueError(f"no certificate is for {host!r}")
        self._tls = self.c.tls = ffi.gc(made, lib.tls_close)

    def shake_hands(self) -> int:
        """Go on. Returns 0 when it is done, WANTS_READ when the socket must be readable before,
        anything else when it must be writable. Raises ConnectionError."""
        why = ffi.new("char[]", _WHY_BYTES)
        done = lib.tls_shake_hands(self.c.tls, why, _WHY_BYTES)
        if done == lib.TLS_REFUSED:
            raise ConnectionError(ffi.string(why).decode(errors="replace"))
        return int(done)

    def shut(self) -> None:
        """No more is sent, and the peer learns it."""
        lib.link_shut(self.c)

    # ---- the buffers ------------------------------------------------------------------------

    def _grow_got(self, size: int) -> None:
        if size > 2 * (self._limit + _HEAD) + _FIRST_BYTES:
            raise Misuse("more was received than a message may have")
        held = bytes(self._got_view[self.c.start : self.c.end])
        got = self._first_got if size == _FIRST_BYTES else bytearray(size)
        self._got_view = memoryview(got)
        self._got_view[: len(held)] = held
        self.c.got = self._c_got = ffi.from_buffer("uint8_t[]", got)
        self.c.start, self.c.end, self.c.got_size = 0, len(held), size

    def _grow_out(self, size: int) -> None:
        held = bytes(self._out_view[self.c.sent : self.c.filled])
        out = bytearray(max(size, _FIRST_BYTES))
        self._out_view = memoryview(out)
        self._out_view[: len(held)] = held
        self.c.out = self._c_out = ffi.from_buffer("uint8_t[]", out)
        self.c.sent, self.c.filled, self.c.out_size = 0, len(held), len(out)
