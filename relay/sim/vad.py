"""The simulated model's ear for turns: which stretches of the input buffer are speech.

Two ways to tell a voiced frame: WebRTC's detector behind a level gate (an independent judge of
real speech), or the level alone (cheap and exactly predictable, for tests that feed tones).
`threshold` sets both: the higher, the louder and the more speech-like it has to be.

The rules around it are the Realtime API's: times count milliseconds of audio written to the
buffer; a start includes the prefix padding but never reaches into the turn before; an end
includes the silence that proved it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import webrtcvad

VAD_HZ = 8_000
FRAME_MS = 20
_FRAME_BYTES = VAD_HZ * 2 * FRAME_MS // 1000
_SILENT = bytes(_FRAME_BYTES)  # most of what is heard
_ONSET_FRAMES = 3  # a click is one or two frames long
_ONSET_CAP = 6

Judge: TypeAlias = Literal["webrtc", "level"]


@dataclass(frozen=True, slots=True)
class VadSettings:
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


@dataclass(frozen=True, slots=True)
class Started:
    start_ms: int


@dataclass(frozen=True, slots=True)
class Stopped:
    start_ms: int
    end_ms: int


class TurnDetector:
    """Feed it the buffer's audio as it grows; it tells where speech started and stopped."""

    def __init__(self, settings: VadSettings, *, judge: Judge = "webrtc", at_ms: int = 0) -> None:
        """at_ms: how much audio the buffer had seen when this detector was switched on."""
        self.settings = settings
        self._voiced = _judges[judge](settings.threshold)
        self._carry = b""
        self._now_ms = at_ms
        self._floor_ms = at_ms  # where the turn before ended
        self._start_ms: int | None = None  # of the turn that is under way
        self._onset_ms = at_ms
        self._evidence = 0
        self._quiet_ms = 0

    def feed(self, pcm: bytes) -> Iterator[Started | Stopped]:
        """Hear more of the buffer: int16 PCM at 8 kHz, any length."""
        data = self._carry + pcm
        whole = len(data) // _FRAME_BYTES * _FRAME_BYTES
        self._carry = data[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            self._now_ms += FRAME_MS
            voiced = self._voiced(data[at : at + _FRAME_BYTES])
            found = self._listen(voiced) if self._start_ms is None else self._wait(voiced)
            if found is not None:
                yield found

    def _listen(self, voiced: bool) -> Started | None:
        if voiced and self._evidence == 0:
            self._onset_ms = self._now_ms - FRAME_MS
        self._evidence = max(0, min(_ONSET_CAP, self._evidence + (1 if voiced else -1)))
        if self._evidence < _ONSET_FRAMES:
            return None
        padded = self._onset_ms - self.settings.prefix_padding_ms
        self._start_ms = max(self._floor_ms, padded)
        self._quiet_ms = 0
        return Started(self._start_ms)

    def _wait(self, voiced: bool) -> Stopped | None:
        self._quiet_ms = 0 if voiced else self._quiet_ms + FRAME_MS
        if self._start_ms is None or self._quiet_ms < self.settings.silence_duration_ms:
            return None
        turn = Stopped(self._start_ms, self._now_ms)
        self._start_ms, self._floor_ms, self._evidence = None, self._now_ms, 0
        return turn


# ---- judges of one frame --------------------------------------------------------------------


def _gate_rms(threshold: float) -> float:
    """The level below which nothing is speech: -45 dBFS at the usual threshold of 0.5."""
    return float(32768 * 10 ** ((-60 + 30 * threshold) / 20))


def _by_level(threshold: float) -> Callable[[bytes], bool]:
    gate = _gate_rms(threshold) ** 2

    def voiced(frame: bytes) -> bool:
        if frame == _SILENT:
            return False
        samples = np.frombuffer(frame, "<i2").astype(np.float64)
        return bool(np.dot(samples, samples) > gate * len(samples))

    return voiced


def _by_webrtc(threshold: float) -> Callable[[bytes], bool]:
    loud = _by_level(threshold)
    detector = webrtcvad.Vad(min(3, max(0, round(threshold * 4))))

    def voiced(frame: bytes) -> bool:
        # Always asked: it adapts to the noise that it hears between the words.
        speech = bool(detector.is_speech(frame, VAD_HZ))
        return speech and loud(frame)

    return voiced


_judges: dict[Judge, Callable[[float], Callable[[bytes], bool]]] = {
    "webrtc": _by_webrtc,
    "level": _by_level,
}
