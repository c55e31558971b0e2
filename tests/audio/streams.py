"""What the audio tests share: the bare resampler in float, and frames cut and put together."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from relay.audio import ModelToPhone, PhoneToModel, payload
from relay.audio._native import ffi, lib

Floats = npt.NDArray[np.float32]
Samples = npt.NDArray[np.int16]


class Resampler:
    """native/resample.c as it is: 8 -> 24 kHz (up) or 24 -> 8, float32 in and out."""

    def __init__(self, up: bool) -> None:
        self.up = up
        self._stream = ffi.gc(lib.resample_open(int(up)), lib.resample_close)

    def process(self, samples: npt.ArrayLike) -> Floats:
        data = np.ascontiguousarray(samples, np.float32)
        out = np.empty((3 * len(data) if self.up else len(data) // 3) + lib.RESAMPLE_SLACK, "f4")
        made = lib.resample_process(self._stream, _floats(data), len(data), _floats(out), len(out))
        assert made >= 0
        return out[:made]

    def flush(self) -> Floats:
        out = np.empty(lib.RESAMPLE_SLACK, np.float32)
        made = lib.resample_flush(self._stream, _floats(out), len(out))
        assert made >= 0
        return out[:made]

    def clear(self) -> None:
        lib.resample_clear(self._stream)

    def whole(self, samples: npt.ArrayLike) -> Floats:
        """All of a signal, flushed; the stream is as new."""
        return np.concatenate([self.process(samples), self.flush()])


def _floats(array: Floats) -> Any:
    return ffi.from_buffer("float[]", array)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """data in pieces of the given sizes, again and again; the last may be shorter."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def to_model(mulaw: bytes, sizes: list[int], converter: PhoneToModel | None = None) -> bytes:
    """mulaw through PhoneToModel in frames of the given sizes: PCM16 at 24 kHz."""
    converter = converter or PhoneToModel()
    frames = [converter.frame(payload(part)) for part in cut(mulaw, sizes)]
    return b"".join(base64.b64decode(frame.audio) for frame in frames)


def to_phone(pcm: bytes, sizes: list[int], converter: ModelToPhone | None = None) -> bytes:
    """One item's PCM16 through ModelToPhone in deltas of the given sizes, flushed: mu-law."""
    converter = converter or ModelToPhone()
    parts = [converter.delta(b64(part))[0] for part in cut(pcm, sizes)]
    return b"".join([*parts, converter.flush()])


def samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2")


def noise(n: int, seed: int = 1, peak: int = 12_000) -> Samples:
    return np.random.default_rng(seed).integers(-peak, peak, n).astype(np.int16)
