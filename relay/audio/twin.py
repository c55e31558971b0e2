"""The codec's readable twin: ITU-T G.711 mu-law, strict base64 and level in plain Python.

It is the specification that the C core is held to; nothing calls it while a call runs. It is
written another way on purpose: C computes with bits, the twin builds the standard's own table.

G.711 (table 2a) cuts the magnitudes of a 14-bit sample, 0 … 8159, at decision values: eight
segments of 16 steps each, and a step is twice as wide as one of the segment before.

    segment   step   decision values           output values (the middle of each step)
    0         2      -1, 1, 3, 5, …, 29        0, 2, 4, …, 30
    1         4      31, 35, …, 91             33, 37, …, 93
    2         8      95, 103, …, 215           99, 107, …, 219
    …
    7         256    4063, 4319, …, 7903       4191, 4447, …, 8031       above 8159 clips to 8031

The first step, -1 … 1, is the one that both signs share, and so zero has two codes. Samples have
16 bits here, four units to one of G.711's. A sample on a decision value belongs to the interval
above it, which for a negative one is the smaller magnitude; so does G.191's reference code. On the
line all bits of sign (1: negative), segment (3 bits) and step (4 bits) are inverted.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from math import log10
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from relay.errors import AudioError

# ---- G.711 ------------------------------------------------------------------------------------

SCALE: Final = 4
"""16-bit units in one 14-bit unit."""

STEP_STARTS: Final = [
    SCALE * ((16 + step) * (2 << segment) - 33) for segment in range(8) for step in range(16)
]
"""Where each of the 128 intervals of magnitude begins, in 16-bit units."""

OUTPUTS: Final = [start + SCALE * (1 << (i // 16)) for i, start in enumerate(STEP_STARTS)]
"""The middle of each interval: what its code is decoded to."""


def encode_sample(sample: int) -> int:
    """The mu-law byte of a 16-bit sample."""
    if sample >= 0:
        interval, sign = bisect_right(STEP_STARTS, sample) - 1, 0
    else:
        interval, sign = bisect_left(STEP_STARTS, -sample) - 1, 0x80
    return 0xFF - (sign + interval)


def decode_byte(byte: int) -> int:
    """The 16-bit sample of a mu-law byte."""
    sign, interval = divmod(0xFF - byte, 0x80)
    return -OUTPUTS[interval] if sign else OUTPUTS[interval]


def encode_ulaw(pcm: bytes) -> bytes:
    """As relay.audio.encode_ulaw."""
    if len(pcm) % 2:
        raise AudioError("odd_length", f"{len(pcm)} bytes are no 16-bit samples")
    return bytes(encode_sample(sample) for (sample,) in struct.iter_unpack("<h", pcm))


def decode_ulaw(data: bytes) -> bytes:
    """As relay.audio.decode_ulaw."""
    return b"".join(struct.pack("<h", decode_byte(byte)) for byte in data)


# ---- level ------------------------------------------------------------------------------------


def level_db(mulaw: bytes) -> float:
    """As relay.audio.level_db."""
    energy = sum(decode_byte(byte) ** 2 for byte in mulaw)
    if energy == 0:
        return -100.0
    return max(-100.0, 10 * log10(energy / len(mulaw) / 32768**2))


# ---- base64 -----------------------------------------------------------------------------------

ALPHABET: Final = ascii_uppercase + ascii_lowercase + digits + "+/"


def encode_base64(data: bytes) -> str:
    """RFC 4648 section 4, with padding."""
    bits = "".join(f"{byte:08b}" for byte in data)
    sextets = [bits[i : i + 6].ljust(6, "0") for i in range(0, len(bits), 6)]
    return "".join(ALPHABET[int(sextet, 2)] for sextet in sextets) + "=" * (-len(sextets) % 4)


def decode_base64(text: str) -> bytes:
    """The bytes whose one encoding is text. Raises AudioError("bad_base64") if there are none."""
    body = text.rstrip("=")
    if any(char not in ALPHABET for char in body):
        raise AudioError("bad_base64", "a character outside the alphabet")
    bits = "".join(f"{ALPHABET.index(char):06b}" for char in body)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))
    if encode_base64(data) != text:
        raise AudioError("bad_base64", "padding or left-over bits")
    return data
