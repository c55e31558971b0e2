"""The simulator's own mu-law: G.711's corner values, nearest codes, levels."""

import math

import pytest

from relay.sim.ulaw import LINEAR, encode, is_silent, loudness_db, pcm16, tone


@pytest.mark.parametrize(
    ("code", "sample"),
    [(0xFF, 0), (0x7F, 0), (0x80, 32124), (0x00, -32124), (0xFE, 8), (0xCF, 924)],
)
def test_decode_table(code, sample):
    assert LINEAR[code] == sample
    assert pcm16(bytes([code])) == sample.to_bytes(2, "little", signed=True)


def test_every_code_survives_but_negative_zero():
    assert encode(LINEAR) == bytes(0xFF if code == 0x7F else code for code in range(256))


def test_encoding_takes_the_nearest_code_and_clips():
    for sample in range(-32768, 32768, 37):
        error = abs(LINEAR[encode([sample])[0]] - sample)
        assert error == min(abs(value - sample) for value in LINEAR)
    assert encode([99999, -99999]) == b"\x80\x00"


def test_levels():
    assert loudness_db(b"") == loudness_db(b"\xff" * 160) == -100.0
    assert loudness_db(b"\x7f" * 160) == -100.0
    assert loudness_db(tone(440, 200, -20.0)) == pytest.approx(-20.0, abs=0.3)


@pytest.mark.parametrize("hz", [1, 440, 550.0, 523.25, 3999])
def test_a_tone_is_one_sine_from_its_beginning_to_its_end(hz):
    wave = [round(23170 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(8 * 2100)]
    level = 20 * math.log10(23170 / 32768 / math.sqrt(2))
    differ = sum(a != b for a, b in zip(tone(hz, 2100, level), encode(wave), strict=True))
    assert differ <= 2, "but for what floating point rounds another way"
    assert is_silent(b"\xff\xff")
    assert not is_silent(b"\xff\xfe")
