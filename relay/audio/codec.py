"""One call's audio, frame by frame: base64 in, base64 or mu-law out, each in one C call.

    PhoneToModel   Twilio's payload (mu-law 8 kHz)  ->  audio for input_audio_buffer.append
    ModelToPhone   response.output_audio.delta      ->  mu-law 8 kHz, for the ledger to slice

What the model speaks is the audio format: "pcm" is PCM16 at 24 kHz, converted both ways; "pcmu" is
mu-law at 8 kHz, checked, measured and passed through. Same classes, same shapes.

A converter holds one direction's state of one call: filter memory, half a sample, part of a
millisecond. It is made once a call and never replaced inside an utterance. It is not thread-safe:
one thread at a time. The GIL is dropped once a frame, while C works; C keeps no globals and
allocates nothing but the filter's memory, when sound begins, until a flush or reset. It works in a
buffer of ours that all converters of a thread share, since nothing stays in it between two frames:
a call needs no hundred KiB, and the buffer is always warm.
"""

from __future__ import annotations

import sys
import threading
from binascii import b2a_base64
from typing import Any, Final, NamedTuple

from relay.audio._native import ffi, lib
from relay.audio.frames import MULAW_BYTES_PER_MS, silence
from relay.errors import AudioError, Misuse

AUDIO_FORMATS: Final = ("pcm", "pcmu")

SILENCE_DB: Final = -100.0
"""The level of silence, of nothing at all, and of whatever is quieter."""

# What runs a hundred times a second and call is looked up once. (PhoneFrame(…) would call tuple's
# __new__ by way of a Python function of its own: 3 % of a frame.)
_phone_frame, _model_delta, _pass_frame = lib.phone_frame, lib.model_delta, lib.pass_frame
_new_tuple = tuple.__new__

_NO_CHARACTERS: Final = "a lone surrogate"  # C refuses the rest, but this one has no bytes

_SYLLABLE: Final = 60 * MULAW_BYTES_PER_MS
# Characters of a message that the thread's space is large enough for; a longer one has its own.
_PHONE_USUAL: Final = 8_192  # 768 ms of mu-law; Twilio sends 20
_OWN_USUAL: Final = 216  # 20 ms of mu-law, as Twilio sends them
_MODEL_USUAL: Final = 65_536  # a second of PCM16


class PhoneFrame(NamedTuple):
    """A piece of the caller's line: audio in base64, its length there in ms, its RMS in dBFS.

    rises: how often it crosses zero upwards, as frames.rises counts
    """

    audio: str
    ms: int
    level_db: float
    rises: int = 0


class PhoneToModel:
    """The caller's audio, ready to append. audio_format is "pcm" or "pcmu"; else Misuse."""

    __slots__ = ("_bytes_over", "_own", "_stream")

    def __init__(self, audio_format: str = "pcm") -> None:
        self._stream = _open(1, audio_format)
        self._own: _Space | None = None
        self._bytes_over = 0

    def frame(self, payload: str) -> PhoneFrame:
        """Convert one Twilio payload of any length. Raises AudioError; all is then as before it.

        Milliseconds are whole; what is left of one counts with the next frame, so sums are exact.
        """
        try:
            text = payload.encode()
        except UnicodeEncodeError:
            raise AudioError("bad_base64", _NO_CHARACTERS) from None
        n = len(text)
        space = _threads.space if n <= _PHONE_USUAL else _Space(lib.phone_room(n))
        c = space.c
        if self._stream is None:
            made = _pass_frame(text, n, c)
        else:
            made = _phone_frame(self._stream, text, n, c)
        if made < 0:
            raise _error(made)
        audio = payload if self._stream is None else space.bytes[:made].decode()
        ms, self._bytes_over = divmod(self._bytes_over + c.mulaw_bytes, MULAW_BYTES_PER_MS)
        return _new_tuple(PhoneFrame, (audio, ms, c.level_db, c.rises))

    def gap(self, ms: int) -> PhoneFrame:
        """Silence in place of ms that never came, through the same stream. Misuse if ms < 0."""
        if ms < 0:
            raise Misuse(f"a gap of {ms} ms")
        if self._stream is None:
            return PhoneFrame(payload(silence(ms)), ms, SILENCE_DB)
        n = ms * MULAW_BYTES_PER_MS
        characters = (n + 2) // 3 * 4
        usual = characters <= _PHONE_USUAL
        space = _threads.space if usual else _Space(lib.phone_room(characters))
        made = lib.phone_gap(self._stream, n, space.c)
        if made < 0:
            raise _error(made)
        return PhoneFrame(space.bytes[:made].decode(), ms, SILENCE_DB)

    def parts(self) -> tuple[Any, Any]:
        """The stream (or NULL) and a space, for whoever converts in C in our place.

        The space is this call's own, for a usual frame: what stands in it may be read after other
        calls have converted theirs (native/round.c).
        """
        self._own = self._own or _Space(lib.phone_room(_OWN_USUAL))
        return self._stream or ffi.NULL, self._own.c

    def whole_ms(self, mulaw_bytes: int) -> int:
        """What so many more bytes of the line count for, where they were converted in our place."""
        ms, self._bytes_over = divmod(self._bytes_over + mulaw_bytes, MULAW_BYTES_PER_MS)
        return ms


class ModelToPhone:
    """The agent's audio as mu-law bytes. audio_format is "pcm" or "pcmu"; else Misuse."""

    __slots__ = ("_stream",)

    def __init__(self, audio_format: str = "pcm") -> None:
        self._stream = _open(0, audio_format)

    def delta(self, b64: str) -> tuple[bytes, float]:
        """Convert one delta of any length to mu-law and its level in dBFS.

        Half a sample at its end waits for the next delta. Raises AudioError; all is then as before.
        """
        try:
            text = b64.encode()
        except UnicodeEncodeError:
            raise AudioError("bad_base64", _NO_CHARACTERS) from None
        n = len(text)
        space = _threads.space if n <= _MODEL_USUAL else _Space(lib.model_room(n))
        if self._stream is None:
            made = _pass_frame(text, n, space.c)
        else:
            made = _model_delta(self._stream, text, n, space.c)
        if made < 0:
            raise _error(made)
        return space.bytes[:made], space.c.level_db

    def parts(self) -> tuple[Any, Any]:
        """The stream (or NULL) and this thread's space, for whoever converts in C in our place."""
        return self._stream or ffi.NULL, _threads.space.c

    def flush(self) -> bytes:
        """The last 5 ms of an item that has ended; afterwards as new."""
        if self._stream is None:
            return b""
        space = _threads.space
        made = lib.model_flush(self._stream, space.c)
        if made < 0:
            raise _error(made)
        return space.bytes[:made]

    def reset(self) -> None:
        """Forget what is held back: the item was cut. As new afterwards."""
        if self._stream is not None:
            lib.frame_clear(self._stream)


def open_codec(audio_format: str) -> tuple[PhoneToModel, ModelToPhone]:
    """Both directions of one call. audio_format is what the model speaks: "pcm" or "pcmu"."""
    return PhoneToModel(audio_format), ModelToPhone(audio_format)


# ---- whole pieces, without state ----------------------------------------------------------------


def decode_ulaw(data: bytes) -> bytes:
    """Mu-law to PCM16 (little endian) at the same rate."""
    out = bytearray(2 * len(data))
    lib.ulaw_decode(data, len(data), ffi.from_buffer("int16_t[]", out))
    return bytes(out)


def encode_ulaw(pcm: bytes) -> bytes:
    """PCM16 (little endian) to mu-law at the same rate. Raises AudioError("odd_length")."""
    if len(pcm) % 2:
        raise AudioError("odd_length", f"{len(pcm)} bytes are no 16-bit samples")
    out = bytearray(len(pcm) // 2)
    lib.ulaw_encode(ffi.from_buffer("int16_t[]", pcm), len(out), ffi.from_buffer("uint8_t[]", out))
    return bytes(out)


def level_db(mulaw: bytes) -> float:
    """RMS of mu-law in dBFS: 0 is a full-scale square wave, SILENCE_DB silence or nothing."""
    return lib.ulaw_level_db(mulaw, len(mulaw))


def loudest_db(mulaw: bytes) -> float:
    """Level of the loudest 60 ms, about a syllable's heart: what an echo can come back with."""
    return max(
        (level_db(mulaw[at : at + _SYLLABLE]) for at in range(0, len(mulaw), _SYLLABLE)),
        default=SILENCE_DB,
    )


def payload(mulaw: bytes) -> str:
    """Mu-law as the base64 of a `media` message.

    By the standard library's C: for the 100 ms that go out at once it is as fast as native/base64.c
    behind cffi, for less it is faster, and it keeps the GIL for a microsecond instead of losing it.
    """
    return b2a_base64(mulaw, newline=False).decode()


# ---- between Python and C -----------------------------------------------------------------------


class _Space:
    """A buffer that C works in. Raises AudioError when the size is beyond reason."""

    __slots__ = ("_buffer", "bytes", "c")

    def __init__(self, size: int) -> None:
        if size > sys.maxsize:
            raise AudioError("too_long", "a message that nobody can have meant")
        self._buffer = ffi.new("char[]", size)  # lives as long as the C struct that points to it
        self.bytes = ffi.buffer(self._buffer)
        self.c = ffi.new("frame_space *", {"buffer": self._buffer, "size": size})


class _Threads(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.space = _Space(max(lib.phone_room(_PHONE_USUAL), lib.model_room(_MODEL_USUAL)))


_threads: Final = _Threads()


def _open(up: int, audio_format: str) -> Any:
    """A C stream that dies with its owner; None where nothing is converted."""
    if audio_format not in AUDIO_FORMATS:
        raise Misuse(f"audio format {audio_format!r} is none of {', '.join(AUDIO_FORMATS)}")
    if audio_format == "pcmu":
        return None
    stream = lib.frame_open(up)
    if stream == ffi.NULL:
        raise MemoryError("no room for a stream")
    return ffi.gc(stream, lib.frame_close)


def _error(made: int) -> Exception:
    """What a negative length from C stands for."""
    if made == lib.FRAME_BAD_BASE64:
        return AudioError("bad_base64")
    if made == lib.FRAME_NO_ROOM:
        return Misuse("C was given a buffer that is too small")
    return MemoryError("libsoxr could not go on")
