"""WebSocket frames in plain Python: the specification that native/ws.c is held to.

RFC 6455, both roles, no extension. Nothing calls it while a call runs. It decides in the same
order as C does, since a frame may be wrong in several ways at once, and has Python's own decoder
for UTF-8.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Final, TypeAlias

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
KNOWN: Final = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}

NO_CODE: Final = 1005
PROTOCOL_ERROR: Final = 1002
BAD_TEXT: Final = 1007
TOO_LONG: Final = 1009


@dataclass(frozen=True)
class More:
    """The frame is not all there. need: bytes that it takes, as far as is known yet."""

    need: int


@dataclass(frozen=True)
class Broken:
    """The peer breaks the protocol. code: what to close with."""

    code: int


@dataclass(frozen=True)
class Frame:
    """opcode: of data, the message's own; final: the message is whole; code: a close frame's."""

    opcode: int
    payload: bytes
    used: int
    final: bool
    code: int = 0


Read: TypeAlias = More | Broken | Frame


@dataclass
class Reader:
    """One direction of one connection. masked: what comes must be; limit: of a message, bytes."""

    masked: bool
    limit: int
    message: int = 0
    length: int = 0
    utf8: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def read(self, data: bytes) -> Read:
        """Read the frame that data begins with."""
        if len(data) < 2:
            return More(2)
        final, reserved, opcode = data[0] >= 0x80, data[0] & 0x70, data[0] & 0x0F
        masked, short = data[1] >= 0x80, data[1] & 0x7F
        if reserved or masked != self.masked or opcode not in KNOWN:
            return Broken(PROTOCOL_ERROR)
        control = opcode in (CLOSE, PING, PONG)
        if control and (not final or short > 125):
            return Broken(PROTOCOL_ERROR)
        if not control and (opcode == CONTINUATION) != (self.message != 0):
            return Broken(PROTOCOL_ERROR)
        wide = {126: 2, 127: 8}.get(short, 0)
        head = 2 + wide + 4 * masked
        if len(data) < head:
            return More(head)
        length = int.from_bytes(data[2 : 2 + wide], "big") if wide else short
        if (wide == 2 and length < 126) or (wide == 8 and not 0x10000 <= length < 1 << 63):
            return Broken(PROTOCOL_ERROR)
        if not control and self.length + length > self.limit:
            return Broken(TOO_LONG)
        if len(data) < head + length:
            return More(head + length)
        payload = data[head : head + length]
        if masked:
            payload = mask(payload, data[head - 4 : head])
        if opcode == CLOSE:
            return _close(payload, head + length)
        if control:
            return Frame(opcode, payload, head + length, final)
        return self._data(opcode, payload, head + length, final)

    def _data(self, opcode: int, payload: bytes, used: int, final: bool) -> Read:
        if opcode != CONTINUATION:
            self.message = opcode
            self.utf8.reset()
        if self.message == TEXT:
            try:
                self.utf8.decode(payload, final)
            except UnicodeDecodeError:
                return Broken(BAD_TEXT)
        frame = Frame(self.message, payload, used, final)
        self.length = 0 if final else self.length + len(payload)
        self.message = 0 if final else self.message
        return frame


def _close(payload: bytes, used: int) -> Read:
    if not payload:
        return Frame(CLOSE, b"", used, final=True, code=NO_CODE)
    code, reason = int.from_bytes(payload[:2], "big"), payload[2:]
    if len(payload) == 1 or not (
        1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code < 5000
    ):
        return Broken(PROTOCOL_ERROR)
    try:
        reason.decode()
    except UnicodeDecodeError:
        return Broken(BAD_TEXT)
    return Frame(CLOSE, reason, used, final=True, code=code)


def mask(payload: bytes, key: bytes) -> bytes:
    """XOR with the key, which undoes itself."""
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def write(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """One whole frame, masked with a key of four bytes if it is a client's."""
    size, bit = len(payload), 0 if key is None else 0x80
    if size < 126:
        head = bytes([0x80 | opcode, bit | size])
    elif size < 0x10000:
        head = bytes([0x80 | opcode, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, bit | 127]) + size.to_bytes(8, "big")
    return head + payload if key is None else head + key + mask(payload, key)
