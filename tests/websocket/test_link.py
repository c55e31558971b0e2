"""A link's buffers: they grow with what comes through, and what is not needed is given back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.websocket import AGAIN, MORE, TEXT, Link

LIMIT = 1 << 20


@contextmanager
def pair() -> Iterator[tuple[Link, Link]]:
    """A client's and a server's end of one connection."""
    here, there = socket.socketpair()
    with here, there:
        for end in (here, there):
            end.setblocking(False)
        yield (
            Link(here.fileno(), client=True, limit=LIMIT),
            Link(there.fileno(), client=False, limit=LIMIT),
        )


def receive(link: Link) -> list[bytes]:
    """All whole messages that have come."""
    found = []
    while link.receive() != AGAIN:
        while link.untaken() and link.next() != MORE:
            found.append(link.payload())
    return found


def test_room_that_a_long_message_needed_is_given_back() -> None:
    with pair() as (ours, theirs):
        ours.put(TEXT, b"settings" * 4000)
        assert ours.c.out_size > 32_000
        assert ours.flush() == 0
        assert ours.c.out_size == 4096
        ours.put(TEXT, b"short")
        assert ours.flush() == 0
        assert receive(theirs) == [b"settings" * 4000, b"short"]


def test_room_for_all_of_a_usual_message_is_there_at_once() -> None:
    with pair() as (ours, theirs):
        theirs.put(TEXT, b"delta" * 2_500)
        assert theirs.flush() == 0
        assert (ours.receive(), ours.next()) == (4_096, MORE)
        ours.receive()
        assert (ours.next(), ours.payload()) == (TEXT, b"delta" * 2_500)


def test_a_link_at_rest_gives_room_back_and_keeps_what_is_not_taken() -> None:
    with pair() as (ours, theirs):
        for payload in (b"delta" * 2_500, b"x" * 5_000):
            theirs.put(TEXT, payload)
        assert theirs.flush() == 0
        while ours.receive() != AGAIN:
            pass
        assert (ours.next(), ours.payload()) == (TEXT, b"delta" * 2_500)
        ours.shrink()
        assert ours.c.got_size < 6_000
        assert (ours.next(), ours.payload()) == (TEXT, b"x" * 5_000)
        ours.shrink()
        assert ours.c.got_size == 4_096
        theirs.put(TEXT, b"delta" * 2_500)
        assert theirs.flush() == 0
        assert receive(ours) == [b"delta" * 2_500]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=12))
def test_nothing_is_lost_whatever_grows_and_shrinks(plan: list[tuple[int, bool]]) -> None:
    with pair() as (ours, theirs):
        sent, seen = [], []
        for n, flushed in plan:
            sent.append(bytes([65 + len(sent)]) * n)
            ours.put(TEXT, sent[-1])
            if flushed:
                ours.flush()
                seen += receive(theirs)
        while ours.flush():
            seen += receive(theirs)
        assert seen + receive(theirs) == sent
