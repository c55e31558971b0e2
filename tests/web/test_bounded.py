"""What an application is handed of a body, however long it is and whoever made the application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.exchange import App, Message
from relay.web.bounded import Bounded

MAX_BYTES = 10


class Reader:
    """An application that asks for all of the body that there is, and then for a parting peer."""

    def __init__(self) -> None:
        self.body, self.whole, self.parted = b"", False, False

    async def __call__(self, scope: Message, receive, send) -> None:
        while not self.whole:
            message = await receive()
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body", False)
        with trio.move_on_after(1):
            self.parted = (await receive())["type"] == "http.disconnect"


async def read(parts: Iterator[bytes], *, last: bool = True) -> tuple[Reader, int]:
    """Have a body read. Returns who read it, and how many parts were asked for."""
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        part = next(parts, None)
        if part is None:
            return {"type": "http.disconnect"}
        asked += 1
        return {"type": "http.request", "body": part, "more_body": not last or asked < LAST}

    reader = Reader()
    app: App = Bounded(reader, max_bytes=MAX_BYTES)
    await app({"type": "http"}, receive, send)
    return reader, asked


LAST = 3


async def send(_: Message) -> None:
    raise AssertionError("nobody answers")


@given(st.lists(st.binary(max_size=MAX_BYTES // LAST), min_size=LAST, max_size=LAST))
def test_a_body_that_is_short_enough_is_handed_on_as_it_came(parts: list[bytes]) -> None:
    reader, asked = trio.run(read, iter(parts))
    assert (reader.body, asked, reader.parted) == (b"".join(parts), LAST, True)


@pytest.mark.parametrize("size", [1, 3, MAX_BYTES, MAX_BYTES + 1, 10_000])
async def test_one_that_never_ends_ends_a_byte_beyond_and_is_read_no_further(
    size: int, autojump_clock
) -> None:
    reader, asked = await read(iter(lambda: b"x" * size, b""), last=False)
    assert reader.body == b"x" * (MAX_BYTES + 1)
    assert asked == -(-(MAX_BYTES + 1) // size)
    assert not reader.parted, "the peer is still there"
