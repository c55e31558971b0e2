"""A mouth and an ear that need no network: SVOX Pico speaks, PocketSphinx with a grammar hears.

Both libraries ship their models in their wheels and are CPU-bound (20-60 ms a phrase), so a task
on a real clock sends the work to a thread with `aside`; under a jumping clock, where threads
break time, the same call runs inline. Neither library promises anything about threads: one lock
guards the synthesiser, one each recogniser.

Audio here is numpy-free at the face: bytes of int16 little-endian PCM, or mu-law at 8 kHz. The
mu-law tables are written from G.711 itself, apart from the relay's own codec, so that a mistake
there cannot hide here.

A closed grammar always hears *something*. What it heard is therefore read back against the
grammar, and a hypothesis that stops in mid-sentence is no hearing at all. A grammar describes one
sentence: speech is cut at its pauses first, since a loop over sentences costs twenty times the
time and hears worse.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from threading import Lock
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pocketsphinx
import py_nanotts
import soxr
import trio

from relay.errors import Misuse

Samples: TypeAlias = npt.NDArray[np.int16]
Codes: TypeAlias = npt.NDArray[np.uint8]
T = TypeVar("T")

PICO_HZ = 16_000  # what Pico speaks and PocketSphinx hears
PHONE_HZ = 8_000
MODEL_HZ = 24_000
LEVEL_DB = -20.0  # RMS of the spoken part, in dBFS: a usual telephone level, with room for peaks
EDGE_MS = 100  # silence left at either end of a sentence
GAP_MS = 250  # more silence between two; a comma is up to 350 ms, the API's end of a turn 500 ms
PAUSE_MS = 400  # from this much silence on, the ear takes it for the end of a sentence
_PICO_VOLUME = 0.4  # Pico clips at 1.0
_FLOOR = 200  # a 10 ms block whose loudest sample is below this is silence

_speaking = Lock()


async def aside(work: Callable[[], T], *, inline: bool = False) -> T:
    """Do CPU-bound work in a worker thread, or on the spot when inline (jumping clocks)."""
    return work() if inline else await trio.to_thread.run_sync(work)


# ---- mu-law and rates -----------------------------------------------------------------------


def _mulaw_values() -> Samples:
    """The sample of each of the 256 codes: sign, 3 bits of segment, 4 of step, all inverted."""
    code = ~np.arange(256) & 0xFF
    size = ((((code & 0x0F) << 3) + 132) << (code >> 4 & 0x07)) - 132
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _mulaw_codes() -> Codes:
    """The code of each int16, indexed from -32768: segments begin at 132 << n."""
    sample = np.arange(-32768, 32768)
    size = np.minimum(np.abs(sample), 32635) + 132
    segment = np.floor(np.log2(size)).astype(np.int64) - 7
    code = segment << 4 | (size >> (segment + 3)) & 0x0F
    signed: Codes = (~np.where(sample < 0, code | 0x80, code) & 0xFF).astype(np.uint8)
    return signed


_VALUES = _mulaw_values()
_CODES = _mulaw_codes()


def to_mulaw(pcm: bytes) -> bytes:
    """Int16 PCM as mu-law, at whatever rate it has."""
    return _CODES[np.frombuffer(pcm, "<i2").astype(np.int64) + 32768].tobytes()


def from_mulaw(mulaw: bytes) -> bytes:
    """Mu-law as int16 PCM, at whatever rate it has."""
    return _VALUES[np.frombuffer(mulaw, np.uint8)].astype("<i2").tobytes()


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Int16 PCM at another rate, as a whole (no stream: latency is no matter here)."""
    if from_hz == to_hz or not pcm:
        return pcm
    out = soxr.resample(np.frombuffer(pcm, "<i2"), from_hz, to_hz)
    return bytes(np.asarray(out).astype("<i2").tobytes())


# ---- mouth ----------------------------------------------------------------------------------


def speak(text: str, voice: str = "en-US", *, pitch: float = 1.0, speed: float = 1.0) -> bytes:
    """Text as speech for the phone: mu-law at 8 kHz. Raises Misuse when nothing comes of it."""
    return to_mulaw(speak_pcm(text, voice, rate=PHONE_HZ, pitch=pitch, speed=speed))


@lru_cache(maxsize=512)
def speak_pcm(
    text: str,
    voice: str = "en-US",
    *,
    rate: int = MODEL_HZ,
    pitch: float = 1.0,
    speed: float = 1.0,
) -> bytes:
    """Text as speech: int16 PCM at `rate`, at LEVEL_DB, with EDGE_MS of silence at either end.

    Sentence by sentence, with GAP_MS more between them: Pico's own pauses are up to a second.
    pitch (0.5-2.0) tells two simulated people apart; speed (0.2-5.0) is a factor.
    Raises Misuse when nothing comes of it.
    """
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    parts = [_sentence(part, voice, pitch, speed) for part in sentences]
    gap = bytes(2 * PICO_HZ * GAP_MS // 1000)
    return resample(gap.join(parts), PICO_HZ, rate)


@lru_cache(maxsize=512)
def _sentence(text: str, voice: str, pitch: float, speed: float) -> bytes:
    with _speaking:
        raw = py_nanotts.NanoTTS().speak(
            text, voice=voice, pitch=pitch, speed=speed, volume=_PICO_VOLUME
        )
    samples = _trimmed(np.frombuffer(raw, "<i2"))
    if not samples.size:
        raise Misuse(f"no speech came of {text!r} in voice {voice!r}")
    return _levelled(samples).tobytes()


def _trimmed(samples: Samples) -> Samples:
    block = PICO_HZ // 100
    whole = samples[: len(samples) // block * block].reshape(-1, block).astype(np.int32)
    loud = np.flatnonzero(np.abs(whole).max(axis=1, initial=0) > _FLOOR)
    if not loud.size:
        return samples[:0]
    edge = np.zeros(PICO_HZ * EDGE_MS // 1000, np.int16)
    return np.concatenate([edge, samples[loud[0] * block : (loud[-1] + 1) * block], edge])


def _levelled(samples: Samples) -> Samples:
    spoken = samples[np.abs(samples.astype(np.int32)) > 0].astype(np.float64)
    gain = 32768 * 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(spoken**2))
    levelled: Samples = np.clip(samples * gain, -32768, 32767).astype("<i2")
    return levelled


@lru_cache(32)  # a scripted brain says the same few, over and over
def tone(ms: int, hz: float = 440.0, *, rate: int = MODEL_HZ, level_db: float = -20.0) -> bytes:
    """A plain tone: int16 PCM. Tells streams apart in tests; is not speech to any VAD."""
    at = np.arange(ms * rate // 1000) / rate
    peak = 32768 * 10 ** (level_db / 20) * np.sqrt(2)
    return bytes((peak * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes())


# ---- ear ------------------------------------------------------------------------------------


class Recogniser:
    """Hears what a JSGF grammar allows, and nothing else. Safe to share between threads."""

    def __init__(self, grammar: str) -> None:
        """grammar: JSGF text of one sentence. Raises Misuse when it is malformed or uses words
        that the dictionary lacks."""
        self._whole = _pattern(grammar)
        self._lock = Lock()
        self._decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", **_BEAMS)
        unknown = sorted(w for w in words(grammar) if self._decoder.lookup_word(w) is None)
        if unknown:
            raise Misuse(f"the ear's dictionary lacks: {', '.join(unknown)}")
        try:
            self._decoder.add_jsgf_string("grammar", grammar)
        except ValueError as error:
            raise Misuse("the ear cannot read its grammar") from error
        self._decoder.activate_search("grammar")

    def recognise(self, pcm: bytes, rate: int = PICO_HZ) -> str:
        """The sentence in int16 PCM, lower case; "" when it was none of the grammar."""
        if not pcm:
            return ""
        heard = _breathed(resample(pcm, rate, PICO_HZ))
        with self._lock:
            # Noise removal learns from phrase to phrase: make it forget, and normalise by this
            # phrase alone, so that the same audio is always heard alike.
            self._decoder.reinit_feat()
            self._decoder.start_utt()
            self._decoder.process_raw(heard, full_utt=True)
            self._decoder.end_utt()
            found = (best.hypstr for best in self._guesses() if best)
            return next(filter(self.allows, found), "")

    def _guesses(self) -> Iterator[Any]:
        """The best hypothesis; if that stops in mid-sentence, the next best few."""
        yield self._decoder.hyp()
        yield from itertools.islice(self._decoder.nbest() or (), _GUESSES)

    def recognise_mulaw(self, mulaw: bytes) -> str:
        """The sentence in mu-law audio at 8 kHz; "" when it was none of the grammar."""
        return self.recognise(from_mulaw(mulaw), PHONE_HZ)

    def sentences(self, pcm: bytes, rate: int = PHONE_HZ) -> list[str]:
        """What was said between the pauses of a longer stretch; "" for each sound that was no
        sentence of the grammar."""
        return [self.recognise(part, rate) for part in between_pauses(pcm, rate)]

    def allows(self, text: str) -> bool:
        """Whether the grammar allows exactly this sentence."""
        return self._whole.fullmatch(f"{text} ") is not None


# Wider than the decoder's own (1e-48, 1e-48, 7e-29): on telephone audio those lose the end of a
# right sentence in one of ten.
_BEAMS = {"beam": 1e-60, "pbeam": 1e-60, "wbeam": 1e-40}

_GUESSES = 30

# A line that is digitally silent between words drags the decoder's means towards minus infinity,
# so the ear adds a breath of noise, always the same: -72 dBFS.
_BREATH = np.random.default_rng(8000).normal(0, 8, 10 * PICO_HZ)


def _breathed(pcm: bytes) -> bytes:
    samples = np.frombuffer(pcm, "<i2")
    noisy = samples + np.resize(_BREATH, samples.shape)
    return bytes(np.clip(noisy, -32768, 32767).astype("<i2").tobytes())


def between_pauses(pcm: bytes, rate: int = PHONE_HZ) -> list[bytes]:
    """The stretches of sound in int16 PCM between pauses of PAUSE_MS, with EDGE_MS around each."""
    block = rate // 100
    samples = np.frombuffer(pcm, "<i2")
    whole = samples[: len(samples) // block * block].reshape(-1, block).astype(np.int32)
    loud = np.flatnonzero(np.abs(whole).max(axis=1, initial=0) > _FLOOR)
    if not loud.size:
        return []
    cuts = np.flatnonzero(np.diff(loud) > PAUSE_MS // 10)
    starts = loud[np.concatenate([[0], cuts + 1])]
    ends = loud[np.concatenate([cuts, [-1]])] + 1
    edge = EDGE_MS // 10
    spans = zip(starts, ends, strict=True)
    return [samples[max(0, a - edge) * block : (b + edge) * block].tobytes() for a, b in spans]


# ---- reading grammars -----------------------------------------------------------------------

_RULE = re.compile(r"(public\s+)?<(\w+)>\s*=(.*)", re.DOTALL)
_TOKEN = re.compile(r"<\w+>|[\w']+|[()\[\]|*+]|/[^/]*/")
_BRACKETS = {"(": "(?:", ")": ")", "[": "(?:", "]": ")?", "|": "|", "*": "*", "+": "+"}


def words(grammar: str) -> set[str]:
    """Every word that a grammar uses."""
    rules, _ = _rules(grammar)
    tokens = (token for body in rules.values() for token in _TOKEN.findall(body))
    return {token for token in tokens if re.fullmatch(r"[\w']+", token)}


def _rules(grammar: str) -> tuple[dict[str, str], str]:
    """Rule bodies by name, and the name of the first public rule."""
    rules: dict[str, str] = {}
    top = ""
    for part in grammar.split(";")[1:]:
        found = _RULE.search(part)
        if found:
            rules[found[2]] = found[3]
            top = top or (found[2] if found[1] else "")
    if not top:
        raise Misuse("a grammar needs a public rule")
    return rules, top


def _pattern(grammar: str) -> re.Pattern[str]:
    try:
        return re.compile(_as_regex(grammar))
    except re.error as error:
        raise Misuse(f"the grammar's brackets do not fit: {error}") from error


def _as_regex(grammar: str) -> str:
    """The public rule as a regular expression over words that each end in one space."""
    rules, top = _rules(grammar)

    def spell(body: str) -> Iterator[str]:
        for token in _TOKEN.findall(body):
            if token in _BRACKETS:
                yield _BRACKETS[token]
            elif token.startswith("<"):
                yield rule(token[1:-1])
            elif not token.startswith("/"):
                yield f"(?:{re.escape(token)} )"

    @cache
    def rule(name: str) -> str:
        if name not in rules:
            raise Misuse(f"the grammar lacks <{name}>")
        return f"(?:{''.join(spell(rules[name]))})"

    return rule(top)
