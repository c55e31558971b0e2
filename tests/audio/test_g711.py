"""Mu-law: C against the twin, and both against what the standard says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio import decode_ulaw, encode_ulaw, level_db, twin
from relay.errors import AudioError

ALL_CODES = bytes(range(256))
ALL_SAMPLES = struct.pack("<65536h", *range(-32768, 32768))


def samples(pcm: bytes) -> list[int]:
    return [sample for (sample,) in struct.iter_unpack("<h", pcm)]


def pcm(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def g191_compress(sample: int) -> int:
    """G.191's ulaw_compress, as its text describes it: ones' complement, 13 bits, bias 33."""
    magnitude = min(((~sample if sample < 0 else sample) >> 2) + 33, 0x1FFF)
    segment = 1 + max(0, magnitude.bit_length() - 6)
    code = (8 - segment) << 4 | 0xF - (magnitude >> segment & 0xF)
    return code | (0 if sample < 0 else 0x80)


def g191_expand(byte: int) -> int:
    """G.191's ulaw_expand, likewise."""
    mantissa = ~byte
    exponent = mantissa >> 4 & 7
    step = 4 << (exponent + 1)
    magnitude = (0x80 << exponent) + step * (mantissa & 0xF) + step // 2 - 4 * 33
    return magnitude if byte & 0x80 else -magnitude


class TestEveryValue:
    def test_decode_equals_twin(self) -> None:
        assert decode_ulaw(ALL_CODES) == twin.decode_ulaw(ALL_CODES)

    def test_encode_equals_twin(self) -> None:
        assert encode_ulaw(ALL_SAMPLES) == twin.encode_ulaw(ALL_SAMPLES)

    def test_decode_equals_g191(self) -> None:
        assert samples(decode_ulaw(ALL_CODES)) == [g191_expand(code) for code in range(256)]

    def test_encode_equals_g191(self) -> None:
        expected = bytes(g191_compress(sample) for sample in range(-32768, 32768))
        assert encode_ulaw(ALL_SAMPLES) == expected


class TestTheStandardsOwnNumbers:
    @pytest.mark.parametrize(
        ("byte", "sample"),
        [(0xFF, 0), (0x7F, 0), (0x80, 32124), (0x00, -32124), (0xFE, 8), (0x7E, -8), (0xCE, 988)],
    )
    def test_decoded(self, byte: int, sample: int) -> None:
        assert samples(decode_ulaw(bytes([byte]))) == [sample]

    @pytest.mark.parametrize(
        ("sample", "byte"),
        [
            (0, 0xFF),
            (3, 0xFF),
            (4, 0xFE),
            (-1, 0x7F),
            (-4, 0x7F),
            (-5, 0x7E),
            (1000, 0xCE),
            (31611, 0x81),
            (31612, 0x80),
            (32635, 0x80),
            (32767, 0x80),
            (-31612, 0x01),
            (-31613, 0x00),
            (-32768, 0x00),
        ],
    )
    def test_encoded(self, sample: int, byte: int) -> None:
        assert encode_ulaw(pcm(sample)) == bytes([byte])

    @pytest.mark.parametrize("sign", [1, -1])
    def test_clips_at_32635(self, sign: int) -> None:
        clipped = encode_ulaw(pcm(sign * 32635))
        assert {encode_ulaw(pcm(sign * s)) for s in range(32635, 32768)} == {clipped}

    def test_every_code_but_minus_zero_survives_a_round_trip(self) -> None:
        again = encode_ulaw(decode_ulaw(ALL_CODES))
        assert again == ALL_CODES.replace(b"\x7f", b"\xff")

    def test_encoding_is_monotone(self) -> None:
        heard = samples(decode_ulaw(encode_ulaw(ALL_SAMPLES)))
        assert heard == sorted(heard)

    def test_error_is_at_most_half_a_step(self) -> None:
        heard = samples(decode_ulaw(encode_ulaw(ALL_SAMPLES)))
        for sample, back in zip(range(-32768, 32768), heard, strict=True):
            segment = max(0, (min(abs(sample), 32635) + 132).bit_length() - 8)
            assert abs(min(max(sample, -32635), 32635) - back) <= (4 << segment)


@given(st.binary(max_size=2000))
def test_any_mulaw_equals_twin(data: bytes) -> None:
    assert decode_ulaw(data) == twin.decode_ulaw(data)
    assert level_db(data) == pytest.approx(twin.level_db(data), abs=1e-9)


@given(st.binary(max_size=2000))
def test_any_pcm_equals_twin_or_is_refused_like_it(data: bytes) -> None:
    if len(data) % 2:
        with pytest.raises(AudioError, match="odd_length") as ours:
            encode_ulaw(data)
        with pytest.raises(AudioError, match="odd_length"):
            twin.encode_ulaw(data)
        assert ours.value.kind == "odd_length"
    else:
        assert encode_ulaw(data) == twin.encode_ulaw(data)


@given(st.binary(max_size=500).map(lambda data: data[: len(data) // 2 * 2]))
def test_a_second_trip_changes_nothing(data: bytes) -> None:
    once = decode_ulaw(encode_ulaw(data))
    assert decode_ulaw(encode_ulaw(once)) == once


@pytest.mark.parametrize(
    ("mulaw", "expected"),
    [
        (b"", -100.0),
        (b"\xff" * 160, -100.0),
        (b"\x7f" * 160, -100.0),
        (b"\x80\x00" * 80, -0.172),
        (b"\x80" + b"\xff" * 99, -20.172),
        (b"\xfe" + b"\xff" * 99_999, -100.0),
    ],
)
def test_level(mulaw: bytes, expected: float) -> None:
    assert level_db(mulaw) == pytest.approx(expected, abs=0.001)
