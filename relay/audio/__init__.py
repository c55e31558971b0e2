"""Bytes to bytes: what Twilio carries (mu-law, 8 kHz) and what the model speaks (PCM16, 24 kHz).

The work is done in C (native/, built into relay.audio._native); twin.py is its readable
specification and the tests' oracle. Nothing here waits, logs or knows of calls.
"""

from relay.audio.codec import (
    AUDIO_FORMATS,
    SILENCE_DB,
    ModelToPhone,
    PhoneFrame,
    PhoneToModel,
    decode_ulaw,
    encode_ulaw,
    level_db,
    loudest_db,
    open_codec,
    payload,
)

__all__ = [
    "AUDIO_FORMATS",
    "SILENCE_DB",
    "ModelToPhone",
    "PhoneFrame",
    "PhoneToModel",
    "decode_ulaw",
    "encode_ulaw",
    "level_db",
    "loudest_db",
    "open_codec",
    "payload",
]
