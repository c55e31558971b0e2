"""Mu-law as the simulated telephone network knows it: tables, level, mixing.

Written from ITU-T G.711 and on its own, so that a mistake in the relay's codec is heard here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

SILENCE = b"\xff"


def _linear(code: int) -> int:
    """One code as a 16-bit sample (G.711 table 2a, scaled by four)."""
    bits = ~code & 0xFF
    magnitude = ((((bits & 0x0F) << 3) + 0x84) << (bits >> 4 & 7)) - 0x84
    return -magnitude if bits & 0x80 else magnitude


LINEAR = [_linear(code) for code in range(256)]
_SQUARE = [value * value for value in LINEAR]
_LOW = bytes(value & 0xFF for value in LINEAR)
_HIGH = bytes(value >> 8 & 0xFF for value in LINEAR)


@functools.cache
def _codes() -> bytes:
    """The nearest code for each sample; index: the sample as an unsigned 16-bit number."""
    by_value = sorted((value, code) for code, value in enumerate(LINEAR) if code != 0x7F)
    table = bytearray()
    place = 0
    for sample in range(-32768, 32768):
        while place + 1 < len(by_value) and (
            abs(by_value[place + 1][0] - sample) <= abs(by_value[place][0] - sample)
        ):
            place += 1
        table.append(by_value[place][1])
    return bytes(table[32768:] + table[:32768])


def encode(samples: Iterable[int]) -> bytes:
    """Samples as mu-law; what is too loud is clipped."""
    codes = _codes()
    return bytes([codes[max(-32768, min(32767, s)) & 0xFFFF] for s in samples])


def pcm16(mulaw: bytes) -> bytes:
    """Mu-law as 16-bit little-endian PCM."""
    out = bytearray(2 * len(mulaw))
    out[0::2] = mulaw.translate(_LOW)
    out[1::2] = mulaw.translate(_HIGH)
    return bytes(out)


def is_silent(mulaw: bytes) -> bool:
    return mulaw.count(SILENCE) == len(mulaw)


def loudness_db(mulaw: bytes) -> float:
    """RMS level in dBFS; -100.0 for silence and for nothing."""
    if is_silent(mulaw):
        return -100.0
    power = sum(map(_SQUARE.__getitem__, mulaw)) / len(mulaw)
    return max(-100.0, 10 * math.log10(power / 32768**2)) if power else -100.0


@functools.lru_cache(128)  # tests ask for the same few over and over
def tone(hz: float, ms: int, db: float = -20.0) -> bytes:
    """A sine of a given RMS level in dBFS."""
    peak = 32768 * 10 ** (db / 20) * math.sqrt(2)
    samples = 8 * ms
    # Whole hertz come back to where they began within a second: that much is encoded, once.
    period = 8000 // math.gcd(round(hz), 8000) if hz == round(hz) else samples
    span = range(min(period, samples))
    once = encode(round(peak * math.sin(2 * math.pi * hz * n / 8000)) for n in span)
    return (once * (samples // max(1, period) + 1))[:samples]
