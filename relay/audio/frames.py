"""Mu-law by the clock: at 8 kHz and one byte a sample, 8 bytes are a millisecond.

The core counts with this module and nothing else of relay.audio; it needs only the stdlib.
"""

from __future__ import annotations

MULAW_BYTES_PER_MS = 8
MULAW_SILENCE = 0xFF
"""The code of +0; a line's silence, and what Twilio sends when nobody speaks."""


_SIGNS = bytes(code >> 7 for code in range(256))


def mulaw_ms(n_bytes: int) -> int:
    """Whole milliseconds in n_bytes of mu-law; what is left over is dropped."""
    return n_bytes // MULAW_BYTES_PER_MS


def silence(ms: int) -> bytes:
    """ms of mu-law silence; none for ms ≤ 0."""
    return bytes((MULAW_SILENCE,)) * (ms * MULAW_BYTES_PER_MS)


def rises(mulaw: bytes) -> int:
    """How often the sound crosses zero upwards: few times in a vowel, many in hiss and breath."""
    return mulaw.translate(_SIGNS).count(b"\0\1")
