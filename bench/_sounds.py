"""What a telephone picks up beside the caller: coughs, traffic, a television, the line itself.

Everything is made from a seeded generator, as float arrays at 8 kHz in units of full scale, so
that a scene is the same in every run. Levels are RMS in dBFS over the loud part of a sound.

A cough has the three phases that phoniatrics describes: an explosive burst, a weaker noisy stream
of air, and in half of all coughs a voiced end; it often comes in twos and threes. Speech is
synthesised once and kept in the temporary folder: Pico takes 50 ms a phrase.
"""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relay.sim.voice import speak_pcm

RATE = 8000
Sound = npt.NDArray[np.float32]
Dice = np.random.Generator


def gain(db: float) -> float:
    return float(10 ** (db / 20))


def level_db(sound: Sound) -> float:
    """RMS of the loud part: of the 20 ms blocks within 25 dB of the loudest."""
    blocks = sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = (blocks**2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() * 10**-2.5].mean() + 1e-12))


def at_level(sound: Sound, db: float) -> Sound:
    return (sound * gain(db - level_db(sound))).astype(np.float32)


def add(bed: Sound, sound: Sound, at: int) -> None:
    """Mix a sound into a bed at a sample; what does not fit is cut off."""
    end = min(len(bed), at + len(sound))
    bed[at:end] += sound[: end - at]


# ---- speech ---------------------------------------------------------------------------------


@cache
def speech(text: str, voice: str = "en-US", pitch: float = 1.0, rate: int = RATE) -> bytes:
    """Int16 PCM, from the cache in the temporary folder if it was ever made before."""
    name = hashlib.sha256(f"{text}|{voice}|{pitch}|{rate}|2".encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / "relay-bench-speech"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{name}.pcm"
    if not kept.exists():
        part = kept.with_suffix(".part")
        part.write_bytes(speak_pcm(text, voice, rate=rate, pitch=pitch))
        part.replace(kept)
    return kept.read_bytes()


def voice(text: str, voice: str = "en-US", pitch: float = 1.0) -> Sound:
    pcm = np.frombuffer(speech(text, voice, pitch), "<i2")
    return (pcm / 32768).astype(np.float32)


# ---- noises ---------------------------------------------------------------------------------


def _shaped(dice: Dice, n: int, shape: npt.NDArray[np.float64]) -> Sound:
    """Noise with a given magnitude at each of the frequencies of an rfft of n."""
    spectrum = np.fft.rfft(dice.standard_normal(n)) * shape
    noise = np.fft.irfft(spectrum, n)
    return (noise / (np.sqrt((noise**2).mean()) + 1e-12)).astype(np.float32)


def _hz(n: int) -> npt.NDArray[np.float64]:
    return np.fft.rfftfreq(n, 1 / RATE)


def _telephone(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The band that a telephone passes, 300 to 3400 Hz, with soft edges."""
    passed = 1 / np.sqrt(1 + (250 / np.maximum(hz, 1)) ** 6) / np.sqrt(1 + (hz / 3500) ** 12)
    return np.asarray(passed)


def _ramp(points: list[tuple[float, float]], n: int) -> npt.NDArray[np.float64]:
    """A gain over n samples through (seconds, dB) points, straight in dB between them."""
    seconds, levels = zip(*points, strict=True)
    return np.asarray(10 ** (np.interp(np.arange(n) / RATE, seconds, levels) / 20))


def one_cough(dice: Dice) -> Sound:
    """One cough whose burst has RMS 1."""
    burst, stream = dice.uniform(0.03, 0.07), dice.uniform(0.10, 0.20)
    voiced = dice.uniform(0.06, 0.13) if dice.random() < 0.5 else 0.0
    low = -dice.uniform(7, 13)
    points = [(0.0, -60.0), (dice.uniform(0.004, 0.012), 0.0), (burst, -1.0), (burst + 0.04, low)]
    points.append((burst + stream, low - dice.uniform(3, 9)))
    if voiced:
        back = -dice.uniform(5, 10)
        points += [(burst + stream + 0.03, back), (burst + stream + voiced, back - 3)]
    end = points[-1][0] + dice.uniform(0.05, 0.09)
    points.append((end, -60.0))
    n = int(end * RATE)
    hz = _hz(n)
    shape = 0.15 / np.sqrt(1 + (hz / 900) ** 2)
    for centre in (dice.uniform(450, 800), dice.uniform(1100, 1700), dice.uniform(2200, 2900)):
        shape += dice.uniform(0.5, 1.0) / (1 + ((hz - centre) / dice.uniform(120, 250)) ** 2)
    sound = _shaped(dice, n, shape * _telephone(hz)).astype(np.float64)
    if voiced:
        at = np.arange(n) / RATE
        phase = np.cumsum(dice.uniform(160, 320) * (1 - 0.6 * np.maximum(0, at - burst))) / RATE
        hum = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9))
        start = int((burst + stream) * RATE)
        sound[start:] = 0.4 * sound[start:] + 0.9 * np.asarray(hum)[start:]
    return (sound * _ramp(points, n)).astype(np.float32)


def cough(dice: Dice, db: float) -> Sound:
    """A bout of one, two or three coughs; db: RMS of the first burst."""
    times = int(dice.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    bout = np.zeros(2 * RATE, np.float32)
    at, end = 0, 0
    for n in range(times):
        each = one_cough(dice) * gain(db - n * dice.uniform(0, 4))
        add(bout, each.astype(np.float32), at)
        end = at + len(each)
        at += int(dice.uniform(0.28, 0.45) * RATE)
    return bout[:end]


def traffic(dice: Dice, seconds: float, db: float) -> Sound:
    """A road: a rumble at db - 14, cars that swell up to db, now and then a horn at db."""
    n = int(seconds * RATE)
    hz = _hz(n)
    road = _shaped(dice, n, _telephone(hz) / (1 + (hz / 600) ** 2))
    seconds_at = np.arange(n) / RATE
    level = np.full(n, db - 14)
    at = 0.0
    while (at := at + dice.exponential(5.0)) < seconds:
        peak, width = db - dice.uniform(0, 8), dice.uniform(0.8, 2.0)
        level = np.maximum(level, peak - 12 * np.minimum(((seconds_at - at) / width) ** 2, 4))
    road *= (10 ** (level / 20)).astype(np.float32)
    at = 0.0
    while (at := at + dice.exponential(15.0)) < seconds:
        add(road, _horn(dice, db), int(at * RATE))
    return road


def _horn(dice: Dice, db: float) -> Sound:
    n = int(dice.uniform(0.15, 0.6) * RATE)
    at = np.arange(n) / RATE
    low = dice.uniform(380, 450)
    horn = sum(np.sin(2 * np.pi * k * f * at) / k for k in (1, 2, 3) for f in (low, low * 1.25))
    return at_level(np.asarray(horn) * np.minimum(1, np.minimum(at, at[::-1]) / 0.02), db)


NEWS = (
    "The government said on Thursday that it would look again at its plans for the railway.",
    "In the north there will be rain all through the morning, and later some snow on the hills.",
    "Shares fell for a third day, while oil was little changed at the close.",
    "And now the sports. The home team lost again, and their manager is said to be leaving.",
    "Scientists have found a new kind of beetle, no larger than a grain of sand.",
    "Well, I told him that I would never come back, and do you know what he said?",
    "You have got to be joking! Nobody has lived in that house for twenty years.",
)


def television(dice: Dice, seconds: float, db: float) -> Sound:
    """People talking in the next room, with pauses of a third of a second to one and a half."""
    bed = np.zeros(int(seconds * RATE), np.float32)
    at = 0.0
    while at < seconds:
        who = ("en-GB", 0.85) if dice.random() < 0.5 else ("en-US", 1.15)
        said = at_level(voice(str(dice.choice(NEWS)), *who), db)
        add(bed, said, int(at * RATE))
        at += len(said) / RATE + dice.uniform(0.3, 1.5)
    return bed


def line_noise(dice: Dice, seconds: float, db: float) -> Sound:
    n = int(seconds * RATE)
    return (_shaped(dice, n, _telephone(_hz(n))) * gain(db)).astype(np.float32)
