"""Speech through the codec, judged as it is heard: by a recogniser and by PESQ.

The demo's voice speaks; the relay's path lies between it and the ear. The recogniser's grammar
holds every day, hour and service, so a blurred sentence would be taken for another one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import soxr
from pesq import pesq  # type: ignore[import-untyped]

from relay.audio import decode_ulaw, encode_ulaw
from relay.audio.frames import silence
from relay.sim.voice import Recogniser, resample, speak, speak_pcm
from tests.audio.streams import Samples, samples, to_model, to_phone

GRAMMAR = """#JSGF V1.0;
grammar line;
<day> = monday | tuesday | wednesday | thursday | friday | saturday | sunday;
<hour> = eight | nine | ten | eleven | one | two | three | four | five;
<service> = haircut | massage | cleaning | lesson;
public <said> = what are your hours on <day>
  | please book a <service> on <day> at <hour>
  | we are open from <hour> to <hour> on <day>
  | i would like to speak to a human
  | no thank you that is all goodbye;
"""

# What the ear gets right on plain G.711; in the telephone's band it takes Wednesday for Monday and
# a massage for a haircut, with the relay or without.
SENTENCES = [
    "what are your hours on tuesday",
    "what are your hours on monday",
    "please book a haircut on friday at one",
    "please book a lesson on thursday at eleven",
    "please book a cleaning on sunday at three",
    "we are open from nine to five on thursday",
    "i would like to speak to a human",
    "no thank you that is all goodbye",
]

# Frames in ms of line, and others that no network would send: bytes of mu-law.
FRAMES = [[ms * 8] for ms in (10, 20, 40, 60, 100)] + [[161], [7, 333, 1, 1_999]]
IDS = ["10ms", "20ms", "40ms", "60ms", "100ms", "161B", "ragged"]


class Ear:
    """Listens to a sound once: most framings give the same bits, and hearing takes the longest."""

    def __init__(self) -> None:
        self._recogniser = Recogniser(GRAMMAR)
        self.recognise = cache(self._recogniser.recognise)
        self.recognise_mulaw = cache(self._recogniser.recognise_mulaw)


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear()


def narrow(pcm24: bytes) -> Samples:
    """24 to 8 kHz without us."""
    wide = soxr.resample(samples(pcm24).astype(np.float64), 24_000, 8_000, quality="VHQ")
    pcm: Samples = np.clip(np.rint(wide), -32768, 32767).astype("<i2")
    return pcm


@pytest.mark.parametrize("sizes", FRAMES, ids=IDS)
class TestTheSameWordsAreHeard:
    def test_by_the_model(self, ear: Ear, sizes: list[int]) -> None:
        for sentence in SENTENCES:
            heard = to_model(speak(sentence), sizes)
            assert ear.recognise(resample(heard, 24_000, 16_000)) == sentence

    def test_by_the_caller(self, ear: Ear, sizes: list[int]) -> None:
        sizes = [6 * size + (size % 2) for size in sizes]  # odd byte counts where the frame is odd
        for sentence in SENTENCES:
            assert ear.recognise_mulaw(to_phone(speak_pcm(sentence), sizes)) == sentence


def test_the_same_words_are_heard_without_us(ear: Ear) -> None:
    """So the ear tells these sentences apart, and a day, an hour or a service is not luck."""
    for sentence in SENTENCES:
        assert ear.recognise_mulaw(speak(sentence)) == sentence


@pytest.mark.parametrize("sentence", SENTENCES)
class TestPesq:
    """4.549 is the most that narrow-band PESQ gives; plain G.711 is the reference."""

    def test_to_the_model(self, sentence: str) -> None:
        mulaw = speak(sentence)
        plain = samples(decode_ulaw(mulaw))
        ours = narrow(to_model(mulaw + silence(5), [160]))[: len(plain)]
        assert pesq(8_000, plain, ours, "nb") >= 4.5

    def test_to_the_phone(self, sentence: str) -> None:
        pcm = speak_pcm(sentence)
        plain = samples(decode_ulaw(encode_ulaw(narrow(pcm).tobytes())))
        ours = samples(decode_ulaw(to_phone(pcm, [960])))
        assert pesq(8_000, plain, ours, "nb") >= 4.5


def test_pesq_would_notice() -> None:
    """The measure is not blind: one sample of silence every 20 ms costs more than half a point."""
    plain = samples(decode_ulaw(speak(SENTENCES[1])))
    clicking = plain.copy()
    clicking[::160] = 0
    assert pesq(8_000, plain, clicking, "nb") < 4.0
