"""What the ear is told of a sound beside its RMS: its loudest moment, and how pure it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio import SILENCE_DB, encode_ulaw, level_db, loudest_db
from relay.audio.frames import rises, silence


def sine(hz: float, ms: int, peak: float = 8000) -> bytes:
    at = np.arange(ms * 8) / 8000
    return encode_ulaw((peak * np.sin(2 * np.pi * hz * at + 0.1)).astype("<i2").tobytes())


@pytest.mark.parametrize("hz", [100, 440, 875, 2000, 3400])
def test_a_tone_rises_once_a_period(hz):
    assert rises(sine(hz, 1000)) == pytest.approx(hz, abs=1)


def test_hiss_rises_far_more_often_than_a_vowel():
    dice = np.random.default_rng(1)
    hiss = encode_ulaw((3000 * dice.standard_normal(8000)).astype("<i2").tobytes())
    assert rises(hiss) > 1800


def test_silence_and_nothing_do_not_rise():
    assert rises(silence(20)) == 0
    assert rises(b"") == 0


@given(st.binary(max_size=400))
def test_rises_are_those_of_the_signs(mulaw):
    positive = [code >= 0x80 for code in mulaw]
    assert rises(mulaw) == sum(after and not before for before, after in pairwise(positive))


def test_the_loudest_moment_is_found_wherever_it_is():
    loud, soft = sine(440, 60), sine(440, 60, 800)
    for place in range(4):
        parts = [soft] * 4
        parts[place] = loud
        assert loudest_db(b"".join(parts)) == pytest.approx(level_db(loud), abs=0.01)


def test_the_loudest_moment_of_silence_and_of_nothing():
    assert loudest_db(silence(300)) == SILENCE_DB
    assert loudest_db(b"") == SILENCE_DB


@given(st.binary(min_size=1, max_size=3000))
def test_no_sound_is_louder_than_its_loudest_moment(mulaw):
    assert loudest_db(mulaw) >= level_db(mulaw) - 1e-9
