"""The simulator's own mu-law: G.711's corner values, nearest codes, levels."""

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
    assert is_silent(b"\xff\xff")
    assert not is_silent(b"\xff\xfe")
