"""The mouth in C and the reader in Python say the same, whatever a model sends."""

from __future__ import annotations

import json
import socket as sockets
import time
from contextlib import asynccontextmanager, suppress

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import ModelToPhone, payload
from relay.core import events as on
from relay.errors import SocketClosed
from relay.shell.model import SignsOfLife, _Reader, run_model
from relay.shell.outbox import Outbox
from relay.websocket import twin
from tests.core.driver import TIMES
from tests.shell.test_native_socket import native

TONE = payload(b"\x00\x20" * 400 + b"\x00\xe0" * 401)
LONG = payload(bytes(range(256)) * 40)


def usual(delta: str = TONE, response: str = "resp_1", item: str = "item_1") -> str:
    """A delta just as the server spells it."""
    return (
        '{"type":"response.output_audio.delta","event_id":"event_9",'
        f'"response_id":"{response}","item_id":"{item}","output_index":0,"content_index":0,'
        f'"delta":"{delta}"}}'
    )


DONE = (
    '{"type":"response.output_audio.done","response_id":"resp_1","item_id":"item_1",'
    '"output_index":0,"content_index":0}'
)


def by_reader(texts: list[str], audio_format: str) -> list[on.Event]:
    said: list[on.Event] = []
    reader = _Reader(ModelToPhone(audio_format), said.append, SignsOfLife(time.monotonic))
    for text in texts:
        reader.take(text)
    return [*said, on.ModelClosed(1006)]


def by_mouth(
    texts: list[str], audio_format: str, cut: int = 1 << 20, *, halves: bool = False
) -> list[on.Event]:
    """The same through a socket, in pieces of so many bytes; halves: each message in two frames."""
    said: list[on.Event] = []
    frames = [twin.write(twin.TEXT, text.encode()) for text in texts]
    if halves:
        frames = [_halves(text.encode()) for text in texts]
    data = b"".join(frames)

    async def run() -> None:
        here, there = sockets.socketpair()
        with here, there:

            @asynccontextmanager
            async def dialling():
                yield native(here, client=True)

            async with trio.open_nursery() as nursery:
                outbox, codec = Outbox(10), ModelToPhone(audio_format)
                nursery.start_soon(run_model, dialling(), outbox, codec, said.append)
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(there.dup()))
                for at in range(0, len(data), cut):
                    await stream.send_all(data[at : at + cut])
                    await trio.lowlevel.checkpoint()
                await stream.send_eof()
                await stream.aclose()

    trio.run(run)
    return said


def _halves(text: bytes) -> bytes:
    first, rest = twin.write(twin.TEXT, text[:9]), twin.write(twin.CONTINUATION, text[9:])
    return bytes([first[0] & 0x7F]) + first[1:] + rest


def spoken(texts: list[str]) -> int:
    """How many of these frames the mouth takes by itself."""
    here, there = sockets.socketpair()
    with here, there:
        model = native(here, client=True)
        there.sendall(b"".join(twin.write(twin.TEXT, text.encode()) for text in texts))
        there.shutdown(sockets.SHUT_WR)
        said: list[object] = []

        async def run() -> None:
            mouth = model.mouth(ModelToPhone())
            mouth.follow("resp_1", "item_1")
            with suppress(SocketClosed):
                await model.pour(lambda _: None, mouth, lambda *sound: said.append(sound))

        trio.run(run)
    return len(said)


def test_the_usual_delta_is_taken_in_any_order_of_keys() -> None:
    fields = json.loads(usual())
    other = json.dumps(dict(reversed(fields.items())), separators=(",", ":"))
    assert spoken([usual(), other, usual(LONG), usual("")]) == 4


def test_a_field_that_is_new_changes_nothing() -> None:
    assert spoken([usual().replace('"delta"', '"obfuscation":"x1","delta"')]) == 1


UNUSUAL = {
    "another item": usual(item="item_2"),
    "another response": usual(response="resp_2"),
    "no item": usual(item=""),
    "no base64": usual("????"),
    "half of base64": usual("AAA"),
    "an escape": usual().replace("item_1", "item\\u005f1"),
    "an escaped name": usual().replace("delta", "d\\u0065lta"),
    "white space": usual().replace(":", ": "),
    "an index with a leading zero": usual().replace(":0", ":00"),
    "an index that is none": usual().replace(":0", ":null"),
    "a field twice": usual().replace('"item_id"', '"item_id":"item_1","item_id"'),
    "something behind it": usual() + " ",
    "less than all of it": usual()[:-1],
    "another event": usual().replace("output_audio.delta", "output_text.delta"),
    "control characters": usual().replace("event_9", "event\x00"),
}


def test_whatever_is_not_usual_is_left_to_the_reader() -> None:
    assert {name: spoken([text]) for name, text in UNUSUAL.items()} == dict.fromkeys(UNUSUAL, 0)


def test_a_link_keeps_no_room_for_long_messages_when_short_ones_follow() -> None:
    here, there = sockets.socketpair()
    with here, there:
        socket = native(here, client=True)
        reader = _Reader(ModelToPhone(), lambda _event: None, SignsOfLife(time.monotonic))
        reader.join(socket)
        reader.take(usual())
        for last in (DONE, '{"type":"session.updated","session":{}}'):
            socket._link.grow()
            reader.take(last)
            assert socket._link.c.got_size == 4096


def test_a_name_that_is_too_long_is_not_followed() -> None:
    texts = [usual(item="i" * 65), usual(item="i" * 65)]
    assert by_mouth(texts, "pcm") == by_reader(texts, "pcm")


# ---- the same, whatever comes ---------------------------------------------------------------

AUDIO = st.one_of(
    st.sampled_from([TONE, LONG, payload(b"\x7f" * 70_000)]),
    st.binary(max_size=400).map(payload),
    st.text(alphabet='AB+/=?\\"é', max_size=12),
)
NAMES = st.sampled_from(["1", "2", "\ufffd", "?"])
TEXTS = st.one_of(
    st.builds(usual, AUDIO),
    st.builds(
        lambda delta, response, item: usual(delta, f"resp_{response}", f"item_{item}"),
        AUDIO,
        NAMES,
        NAMES,
    ),
    st.sampled_from([*UNUSUAL.values(), DONE]),
    st.builds(
        lambda text, at, sign: text[: at % len(text)] + sign + text[at % len(text) + 1 :],
        st.builds(usual, st.just("AAAA")),
        st.integers(0, 250),
        st.sampled_from(list('"\\{}:,0 \x00é')),
    ),
)


@settings(max_examples=30 * TIMES, deadline=None)
@given(
    st.lists(TEXTS, max_size=8),
    st.sampled_from(["pcm", "pcmu"]),
    st.integers(1, 30_000),
    st.booleans(),
)
def test_the_mouth_says_what_the_reader_says(
    texts: list[str], audio_format: str, cut: int, halves: bool
) -> None:
    expected = by_reader(texts, audio_format)
    assert by_mouth(texts, audio_format, max(cut, 7), halves=halves) == expected
