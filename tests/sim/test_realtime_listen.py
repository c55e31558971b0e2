"""The simulated Realtime API on a real port, on the real clock."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from relay.errors import DialError, SocketClosed
from relay.ports import Socket
from relay.shell.sockets import dial
from relay.sim.brains import Scripted, reply, say
from relay.sim.realtime import Options, Session
from relay.sim.realtime_listen import Door, listen

HELLO = reply(say("Hello.", ms=400))
PATH = "/v1/realtime?model=gpt-realtime-2.1"
KEY = [("Authorization", "Bearer sk-good")]


@asynccontextmanager
async def running(**how: Any) -> AsyncIterator[tuple[int, list[Session]]]:
    """A listening simulator: its port, and its sessions so far."""
    sessions: list[Session] = []

    async def watch(session: Session) -> None:
        sessions.append(session)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            start: Callable[..., Any] = partial(listen, lambda: Scripted(HELLO), watch, **how)
            yield await nursery.start(start), sessions
            nursery.cancel_scope.cancel()


def client(port: int, headers: list[tuple[str, str]] = KEY) -> AbstractAsyncContextManager[Socket]:
    """The relay's own client; the library's leaves its stream behind when a server closes."""
    return dial(f"ws://127.0.0.1:{port}{PATH}", headers)


async def refusal(port: int, path: str, headers: list[tuple[str, str]]) -> str:
    with pytest.raises(DialError) as refused:
        async with dial(f"ws://127.0.0.1:{port}{path}", headers):
            raise AssertionError
    return str(refused.value)


async def get(socket: Socket, kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = json.loads(await socket.receive())
        if event["type"] == kind:
            return event


async def closed(socket: Socket) -> tuple[int, str]:
    try:
        while True:
            await socket.receive()
    except SocketClosed as gone:
        return gone.code, gone.reason


async def test_a_client_with_a_key_gets_a_session() -> None:
    async with running(door=Door(key="sk-good")) as (port, sessions):
        async with client(port) as connection:
            created = await get(connection, "session.created")
            assert created["session"]["model"] == "gpt-realtime-2.1"
            await connection.send('{"type":"response.create"}')
            done = await get(connection, "response.done")
            assert done["response"]["status"] == "completed"
        assert sessions[0].sent[0]["type"] == "session.created"


@pytest.mark.parametrize(
    "headers",
    [[], [("Authorization", "Bearer sk-bad")], [("Authorization", "sk-good")]],
)
async def test_a_bad_key_is_let_in_and_thrown_out(headers: list[tuple[str, str]]) -> None:
    async with running(door=Door(key="sk-good")) as (port, sessions):
        async with client(port, headers) as connection:
            assert await closed(connection) == (3000, "invalid_request_error.invalid_api_key")
        assert sessions == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/realtime", KEY, 400),
        ("/v1/realtime?model=a&model=b", KEY, 400),
        (f"{PATH}&call_id=rtc_1", KEY, 400),
        (f"{PATH}&intent=transcription", KEY, 400),
        ("/v1/chat?model=a", KEY, 404),
        (PATH, [*KEY, ("OpenAI-Safety-Identifier", "+14155550123")], 400),
        (PATH, [*KEY, ("OpenAI-Safety-Identifier", "f" * 65)], 400),
        (PATH, [*KEY, ("OpenAI-Beta", "realtime=v1")], 500),
    ],
)
async def test_a_wrong_upgrade_is_refused(
    path: str, headers: list[tuple[str, str]], status: int
) -> None:
    async with running() as (port, _):
        assert f"HTTP {status}" in await refusal(port, path, headers)


async def test_everybody_can_be_refused() -> None:
    async with running(door=Door(refuse=503)) as (port, _):
        assert "HTTP 503" in await refusal(port, PATH, KEY)


async def test_a_silent_door_never_answers() -> None:
    async with running(door=Door(silent=True)) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET /v1/realtime HTTP/1.1\r\n\r\n")
        with trio.move_on_after(0.2) as waited:
            await stream.receive_some(1)
        assert waited.cancelled_caught
        await stream.aclose()


async def test_a_session_can_die_without_a_goodbye() -> None:
    def at_created(event: dict[str, Any]) -> int | None:
        return 1006 if event["type"] == "response.created" else None

    async with running(options=Options(close_on=at_created)) as (port, sessions):
        async with client(port) as connection:
            await get(connection, "session.created")
            await connection.send('{"type":"response.create"}')
            assert (await closed(connection))[0] == 1006
        assert sessions[0].closed == 1006


@pytest.mark.parametrize("garbage", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_garbage_harms_nobody(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with running() as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(garbage)
        await stream.aclose()
        await trio.sleep(0.05)
        async with client(port) as connection:
            await get(connection, "session.created")
