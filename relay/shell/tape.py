"""A gzip stream in memory that never outgrows its bound.

How small a line becomes is known only once it is compressed, so the tape reckons with the worst
and, when that would not fit, flushes and reckons again. A flush costs a little compression, and
there are few: after each, what is left to reckon with is a fraction.
"""

from __future__ import annotations

import zlib
from typing import Final

GZIP: Final = 16 + zlib.MAX_WBITS
LEVEL: Final = 1  # half the time that 6 takes, for a tenth more bytes
# What the end needs: the last line, the last block's end, gzip's trailer.
TAIL_BYTES: Final = 128


class Tape:
    """Lines in, bytes out. max_bytes: of the whole stream, `close` included."""

    def __init__(self, max_bytes: int) -> None:
        self._press = zlib.compressobj(LEVEL, wbits=GZIP)
        self._room = max_bytes - TAIL_BYTES
        self._out = bytearray()
        self._inside = 0  # bytes that went in since the last flush

    def write(self, line: bytes) -> bool:
        """Take a line. False: there is no room for it, and nothing was written."""
        if not self._fits(line) and self._inside:
            self._out += self._press.flush(zlib.Z_SYNC_FLUSH)
            self._inside = 0
        if not self._fits(line):
            return False
        self._out += self._press.compress(line)
        self._inside += len(line)
        return True

    def close(self, last: bytes) -> bytes:
        """The whole stream, a last short line behind it, for which there is always room."""
        self._out += self._press.compress(last) + self._press.flush()
        return bytes(self._out)

    def _fits(self, line: bytes) -> bool:
        """Whether it fits even if nothing can be compressed (zlib's own bound, rounded up)."""
        inside = self._inside + len(line)
        return len(self._out) + inside + inside // 1000 + 32 <= self._room
