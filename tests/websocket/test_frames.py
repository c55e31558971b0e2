"""native/ws.c against its readable twin, and against RFC 6455's own examples."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.audio._native import ffi, lib
from relay.websocket import twin
from relay.websocket.twin import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

GUARD = b"\xa5" * 16
KEY = b"\x37\xfa\x21\x3d"


@dataclass
class Native:
    """The C reader in the twin's shape, in a buffer with not one byte to spare."""

    masked: bool
    limit: int

    def __post_init__(self) -> None:
        self.c = ffi.new("ws_reader *", {"masked": self.masked, "limit": self.limit})

    def read(self, data: bytes) -> twin.Read:
        buffer = bytearray(data + GUARD)
        frame = ffi.new("ws_frame *")
        kind = lib.ws_read(self.c, ffi.from_buffer("uint8_t[]", buffer), len(data), frame)
        assert buffer[len(data) :] == GUARD, "wrote beyond what is there"
        if kind == lib.WS_MORE:
            assert buffer[: len(data)] == data, "what is incomplete is left untouched"
            return twin.More(frame.need)
        if kind == lib.WS_BROKEN:
            return twin.Broken(frame.code)
        assert kind == frame.opcode
        payload = bytes(buffer[frame.payload : frame.payload + frame.payload_n])
        return twin.Frame(kind, payload, frame.used, bool(frame.final), frame.code)


def both(data: bytes, *, masked: bool = False, limit: int = 1000) -> list[twin.Read]:
    """All frames of data, read by C and by the twin, which must agree on every one."""
    ours, oracle = Native(masked, limit), twin.Reader(masked, limit)
    reads: list[twin.Read] = []
    while True:
        reads.append(ours.read(data))
        assert reads[-1] == oracle.read(data)
        if not isinstance(reads[-1], twin.Frame) or reads[-1].opcode == CLOSE:
            return reads
        data = data[reads[-1].used :]


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, key: bytes | None = None, bits: int = 0
) -> bytes:
    """A frame with any flags."""
    whole = bytearray(twin.write(opcode, payload, key))
    whole[0] = (0x80 if fin else 0) | bits | opcode
    return bytes(whole)


# ---- RFC 6455, 5.7 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "masked", "expected"),
    [
        ("810548656c6c6f", False, (TEXT, b"Hello")),
        ("818537fa213d7f9f4d5158", True, (TEXT, b"Hello")),
        ("890548656c6c6f", False, (PING, b"Hello")),
        ("8a8537fa213d7f9f4d5158", True, (PONG, b"Hello")),
        ("827e0100" + "00" * 256, False, (BINARY, bytes(256))),
        ("827f0000000000010000" + "00" * 65536, False, (BINARY, bytes(65536))),
    ],
)
def test_the_examples_of_the_rfc(data: str, masked: bool, expected: tuple[int, bytes]) -> None:
    read, _ = both(bytes.fromhex(data), masked=masked, limit=65536)
    assert isinstance(read, twin.Frame)
    assert (read.opcode, read.payload) == expected
    assert read.used == len(data) // 2


def test_a_fragmented_message_with_a_ping_in_its_middle() -> None:
    data = frame(TEXT, b"Hel", fin=False) + frame(PING, b"?") + frame(CONTINUATION, b"lo") + b"\x81"
    first, ping, last, rest = both(data)
    assert (first.payload, first.final) == (b"Hel", False)
    assert ping.opcode == PING
    assert (last.opcode, last.payload, last.final) == (TEXT, b"lo", True)
    assert rest == twin.More(2)


# ---- what is refused ------------------------------------------------------------------------

BROKEN = {
    "a reserved bit": (frame(TEXT, b"x", bits=0x40), 1002),
    "an unknown opcode": (frame(3), 1002),
    "an unknown control opcode": (frame(11), 1002),
    "a masked frame from a server": (frame(TEXT, b"x", key=KEY), 1002),
    "a fragmented ping": (frame(PING, fin=False), 1002),
    "a long ping": (b"\x89\x7e\x00\x7e" + bytes(126), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message within a message": (frame(TEXT, fin=False) + frame(TEXT), 1002),
    "a length in more bytes than it needs": (b"\x81\x7e\x00\x05Hello", 1002),
    "a length in far more bytes": (b"\x81\x7f" + (5).to_bytes(8, "big") + b"Hello", 1002),
    "a length of 2^63": (b"\x82\x7f\x80" + bytes(7), 1002),
    "a message beyond the limit": (frame(BINARY, bytes(1001)), 1009),
    "its head alone": (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1009),
    "fragments beyond the limit": (
        frame(BINARY, bytes(999), fin=False) + frame(CONTINUATION, bytes(2)),
        1009,
    ),
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "half a character": (frame(TEXT, b"\xc3"), 1007),
    "half a character in the last fragment": (
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"\xe2\x82"),
        1007,
    ),
    "a bad fragment of a good beginning": (frame(TEXT, b"ok\xed\xa0\x80", fin=False), 1007),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close with 1005": (frame(CLOSE, b"\x03\xed"), 1002),
    "a close with 999": (frame(CLOSE, b"\x03\xe7"), 1002),
    "a close with 2999": (frame(CLOSE, b"\x0b\xb7"), 1002),
    "a close with 5000": (frame(CLOSE, b"\x13\x88"), 1002),
    "a close with a reason that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a close with half a character": (frame(CLOSE, b"\x03\xe8\xc3"), 1007),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused(name: str) -> None:
    data, code = BROKEN[name]
    assert both(data)[-1] == twin.Broken(code)


def test_an_unmasked_frame_from_a_client_is_refused() -> None:
    assert both(frame(TEXT, b"x"), masked=True) == [twin.Broken(1002)]


def test_the_limit_is_of_the_message_and_begins_anew() -> None:
    whole = frame(BINARY, bytes(600), fin=False) + frame(CONTINUATION, bytes(400))
    assert both(whole * 3)[-1] == twin.More(2)


def test_every_code_of_a_close_is_judged_alike() -> None:
    good = {
        code
        for code in range(65536)
        if isinstance(both(frame(CLOSE, code.to_bytes(2, "big")))[0], twin.Frame)
    }
    assert good == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_a_close_tells_its_code_and_reason() -> None:
    assert both(frame(CLOSE))[0].code == 1005
    read = both(frame(CLOSE, b"\x0b\xb8" + "fünf".encode()))[0]
    assert (read.code, read.payload.decode()) == (3000, "fünf")


# ---- anything at all ------------------------------------------------------------------------

OPCODES = st.sampled_from([CONTINUATION, TEXT, BINARY, PING, PONG, CLOSE])
PAYLOADS = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=60).map(str.encode),
    st.integers(0, 1100).map(bytes),
    st.sampled_from([b"\xe2\x82\xac"[:2], b"\xac", b"\xf0\x9f", b"\x98\x80", b"\xed\xa0\x80"]),
)
KEYS = st.binary(min_size=4, max_size=4)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bool, bytes]:
    """Frames that are mostly good, and then something that is not all there."""
    masked, data = draw(st.booleans()), b""
    for _ in range(draw(st.integers(1, 6))):
        good = draw(st.integers(0, 9)) > 0
        key = draw(KEYS) if masked == good else None
        bits = 0 if draw(st.integers(0, 19)) else draw(st.sampled_from([0x40, 0x20, 0x10, 0x70]))
        data += frame(draw(OPCODES), draw(PAYLOADS), fin=draw(st.booleans()), key=key, bits=bits)
    return masked, data[: len(data) - draw(st.integers(0, 3))]


@given(conversations())
def test_c_reads_what_the_twin_reads(conversation: tuple[bool, bytes]) -> None:
    masked, data = conversation
    both(data, masked=masked)


@given(st.binary(max_size=60), st.booleans())
def test_c_reads_random_bytes_as_the_twin_does(data: bytes, masked: bool) -> None:
    both(data, masked=masked, limit=40)


@given(conversations())
def test_it_does_not_matter_how_the_bytes_come(conversation: tuple[bool, bytes]) -> None:
    """A byte more at a time: as long as C asks for more it has changed nothing."""
    masked, data = conversation
    at_once, ours = both(data, masked=masked), Native(masked, 1000)
    bit_by_bit: list[twin.Read] = []
    start = 0
    for end in range(len(data) + 1):
        read = ours.read(data[start:end])
        if isinstance(read, twin.More):
            assert read.need > end - start
            continue
        bit_by_bit.append(read)
        if isinstance(read, twin.Broken) or read.opcode == CLOSE:
            break
        start += read.used
    frames = [read for read in at_once if not isinstance(read, twin.More)]
    assert bit_by_bit == frames


# ---- what we write --------------------------------------------------------------------------


@given(OPCODES, PAYLOADS, st.one_of(st.none(), KEYS))
def test_c_writes_what_the_twin_writes(opcode: int, payload: bytes, key: bytes | None) -> None:
    head = bytearray(GUARD)
    c_key = ffi.NULL if key is None else ffi.from_buffer("uint8_t[]", key)
    length = lib.ws_head(ffi.from_buffer("uint8_t[]", head), opcode, len(payload), c_key)
    body = bytearray(payload + GUARD)
    if key is not None:
        lib.ws_mask(ffi.from_buffer("uint8_t[]", body), len(payload), key)
    assert body[len(payload) :] == GUARD
    assert bytes(head[:length] + body[: len(payload)]) == twin.write(opcode, payload, key)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_lengths_take_the_shortest_form(size: int) -> None:
    head = bytearray(GUARD)
    length = lib.ws_head(ffi.from_buffer("uint8_t[]", head), BINARY, size, ffi.NULL)
    assert bytes(head[:length]) == twin.write(BINARY, bytes(size))[:length]


@given(st.lists(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), max_size=6))
def test_utf8_in_pieces_is_what_pythons_decoder_says(pieces: list[bytes]) -> None:
    whole, state = b"".join(pieces), ffi.new("uint32_t *")
    good = all(lib.ws_utf8(state, piece, len(piece)) == 0 for piece in pieces) and state[0] == 0
    try:
        whole.decode()
    except UnicodeDecodeError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("at", [0, 31, 32, 33, 63, 64, 100])
def test_a_bad_byte_is_found_wherever_it_stands(at: int) -> None:
    text = bytearray(b"a" * 200)
    state = ffi.new("uint32_t *")
    assert lib.ws_utf8(state, bytes(text), 200) == 0
    text[at] = 0xFF
    assert lib.ws_utf8(state, bytes(text), 200) == -1
