"""Base64 in C against the twin and the standard library: what RFC 4648 says, and nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio import payload, twin
from relay.audio._native import ffi, lib
from relay.errors import AudioError

GUARD = 0xA5


def decode(text: bytes) -> bytes | None:
    """What C makes of text, in a buffer with not one byte to spare; None if it refuses."""
    room = len(text) // 4 * 3
    out = bytearray([GUARD]) * (room + 32)
    made = lib.base64_decode(text, len(text), ffi.from_buffer("uint8_t[]", out))
    assert out[room:] == bytes([GUARD]) * 32, "wrote beyond what base64_bound allows"
    return None if made < 0 else bytes(out[:made])


def encode(data: bytes) -> bytes:
    length = (len(data) + 2) // 3 * 4
    out = bytearray([GUARD]) * (length + 32)
    assert lib.base64_encode(data, len(data), ffi.from_buffer("char[]", out)) == length
    assert out[length:] == bytes([GUARD]) * 32, "wrote beyond base64_length"
    return bytes(out[:length])


def by_twin(text: bytes) -> bytes | None:
    try:
        return twin.decode_base64(text.decode("latin-1"))
    except AudioError:
        return None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", b""),
        (b"f", b"Zg=="),
        (b"fo", b"Zm8="),
        (b"foo", b"Zm9v"),
        (b"foob", b"Zm9vYg=="),
        (b"fooba", b"Zm9vYmE="),
        (b"foobar", b"Zm9vYmFy"),
    ],
)
def test_the_vectors_of_rfc_4648(data: bytes, text: bytes) -> None:
    assert encode(data) == text
    assert decode(text) == data
    assert payload(data) == text.decode()


@given(st.binary(max_size=1_500))
def test_any_bytes_there_and_back(data: bytes) -> None:
    text = encode(data)
    assert text == base64.b64encode(data)
    assert decode(text) == data


@given(st.binary(max_size=100))
def test_equals_twin(data: bytes) -> None:
    assert encode(data).decode() == twin.encode_base64(data)


@given(st.binary(max_size=200) | st.text("ABab01+/=", max_size=100).map(str.encode))
def test_any_text_is_decoded_or_refused_like_the_twin(text: bytes) -> None:
    assert decode(text) == by_twin(text)


@pytest.mark.parametrize("length", [24, 48])
def test_every_byte_in_every_place(length: int) -> None:
    """64 characters and no others, in the wide part, in the rest and in the last group."""
    text = encode(bytes(range(100, 100 + length // 4 * 3)))
    for place in range(length):
        for byte in range(256):
            broken = text[:place] + bytes([byte]) + text[place + 1 :]
            assert decode(broken) == by_twin(broken), (place, byte)


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AAA",
        "AAAAA",
        "====",
        "A===",
        "AA=A",
        "AA==AAAA",
        "AAA=AAAA",
        "AAAA====",
        "AB==",  # four bits left over
        "AAB=",  # two bits left over
        "AA A",
        "AAAA\n",
        "AAA\n",
        "AA-_",
        "\x00AAA",
        "AAAA" * 20 + "A*==",
        " " * 64,
    ],
)
def test_refused(text: str) -> None:
    assert decode(text.encode()) is None
    with pytest.raises(AudioError, match="bad_base64"):
        twin.decode_base64(text)
