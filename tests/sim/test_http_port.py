"""A server on a real port, driven by raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from relay.sim.http_port import Answered, Asked, Silence, serve_http

GET = b"GET /x HTTP/1.1\r\nHost: h\r\nX-Who: me\r\n\r\n"


@asynccontextmanager
async def serving(
    answered: Answered | Silence,
) -> AsyncIterator[tuple[list[Asked], trio.SocketStream]]:
    """What is asked, and a connection to ask over."""
    came: list[Asked] = []

    async def answer(asked: Asked) -> Answered | Silence:
        came.append(asked)
        return answered

    async with trio.open_nursery() as nursery:
        origin: str = await nursery.start(serve_http, answer)
        host, _, port = origin.removeprefix("http://").partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            with trio.fail_after(5):
                yield came, stream
        nursery.cancel_scope.cancel()


async def test_two_requests_share_a_connection() -> None:
    async with serving(Answered(200, "{}")) as (came, stream):
        for _ in range(2):
            await stream.send_all(GET)
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"application/json" in answer
            assert answer.endswith(b"{}")
    assert [(a.method, a.target, a.body) for a in came] == [("GET", "/x", b"")] * 2
    assert (came[0].header("x-who"), came[0].header("x-where")) == ("me", "")


async def test_a_body_is_read_and_an_answer_may_have_none() -> None:
    async with serving(Answered(204)) as (came, stream):
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b")
        answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert b"Content" not in answer
    assert came[0].body == b"a=b"


async def test_a_request_is_hung_up_on() -> None:
    async with serving(Silence.CLOSED) as (_, stream):
        await stream.send_all(GET)
        assert await stream.receive_some() == b""


async def test_a_request_is_left_without_an_answer() -> None:
    async with serving(Silence.OPEN) as (came, stream):
        await stream.send_all(GET)
        with trio.move_on_after(0.2) as waited:
            await stream.receive_some()
    assert waited.cancelled_caught
    assert len(came) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    ],
)
async def test_what_is_no_request_is_hung_up_on(sent: bytes) -> None:
    async with serving(Answered(204)) as (came, stream):
        try:
            await stream.send_all(sent)
            answer = await stream.receive_some()
        except trio.BrokenResourceError:
            answer = b""
        assert answer == b""
    assert came == []
