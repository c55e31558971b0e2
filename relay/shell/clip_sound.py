"""A recording becomes a clip: silence off its ends, and as loud as every other.

It stays mu-law throughout. Each of the 256 codes has one amplitude, so a change of loudness is a
table of 256 codes, and the whole clip goes through it in one `bytes.translate`; nothing here takes
long enough to be heard by the calls of the same process.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from relay.audio import decode_ulaw, encode_ulaw, level_db
from relay.audio.frames import MULAW_BYTES_PER_MS

#: Silence that is left before the first sound, and behind the last. A clip that began at its very
#: first sample would lose it to a telephone that is still opening its ear.
LEAD_MS: Final = 100
TAIL_MS: Final = 200
#: How loud speech is, in dBFS, and what no sample of it exceeds.
SPEECH_DB: Final = -20.0
PEAK_DB: Final = -1.0
#: Sound counts from here on: above the noise of a model's silence, below any consonant.
_BELOW_LOUDEST_DB: Final = 35.0
_FLOOR_DB: Final = -55.0
_FRAME: Final = 10 * MULAW_BYTES_PER_MS

_AMPLITUDES: Final = struct.unpack("<256h", decode_ulaw(bytes(range(256))))


def finish(mulaw: bytes) -> bytes:
    """Trim and level a recording of speech. Returns b"" when there is no sound in it."""
    levels = [level_db(mulaw[at : at + _FRAME]) for at in range(0, len(mulaw), _FRAME)]
    threshold = max(max(levels, default=_FLOOR_DB) - _BELOW_LOUDEST_DB, _FLOOR_DB)
    voiced = [index for index, level in enumerate(levels) if level > threshold]
    if not voiced:
        return b""
    start = max(0, voiced[0] * _FRAME - LEAD_MS * MULAW_BYTES_PER_MS)
    end = (voiced[-1] + 1) * _FRAME + TAIL_MS * MULAW_BYTES_PER_MS
    clip = mulaw[start:end]
    clip = clip[: len(clip) // MULAW_BYTES_PER_MS * MULAW_BYTES_PER_MS]
    return clip.translate(_louder(_gain_db([levels[index] for index in voiced], clip)))


def _gain_db(voiced: list[float], clip: bytes) -> float:
    """To the level of speech, but not into the ceiling."""
    power = sum(10 ** (level / 10) for level in voiced) / len(voiced)
    peak = max(abs(_AMPLITUDES[code]) for code in set(clip))
    room_db = PEAK_DB - 20 * math.log10(peak / 32768)
    return min(SPEECH_DB - 10 * math.log10(power), room_db)


def _louder(gain_db: float) -> bytes:
    """What each code becomes."""
    gain = 10 ** (gain_db / 20)
    louder = (max(-32768, min(32767, round(value * gain))) for value in _AMPLITUDES)
    return encode_ulaw(struct.pack("<256h", *louder))
