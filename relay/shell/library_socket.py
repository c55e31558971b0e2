"""trio-websocket behind the Socket seam, on both sides, with deadlines of our own.

Measured reasons: trio-websocket's `connect_timeout` does not bound a peer
that accepts and stays silent, so every open stands in a scope of ours. When a handshake fails it
leaves its stream to the garbage collector, so streams are opened and closed here.

This is the readable twin of native_socket.py: sockets.py chooses.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

import h11
import trio
import wsproto.utilities
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
    wrap_server_stream,
)

from relay.errors import DialError, SocketClosed
from relay.ports import Socket
from relay.shell.push_back import PushBack

# One reader that never waits for anybody needs little; a burst of deltas should not stop TCP.
QUEUED_MESSAGES = 128
PHONE_QUEUED_MESSAGES = 4
CLOSE_S = 2.0
# Of what a peer says when it refuses: enough for its reason.
SHOWN_BYTES = 300

# What a failed opening looks like. A peer that answers garbage shows as a protocol error of the
# libraries below, which trio-websocket does not catch.
_REFUSALS = (
    OSError,
    trio.BrokenResourceError,
    HandshakeError,
    ConnectionClosed,
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
)

_Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class WebSocket:
    """One trio-websocket connection as a ports.Socket."""

    def __init__(self, connection: WebSocketConnection, *, close_s: float = CLOSE_S) -> None:
        self._connection = connection
        self._close_s = close_s

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._connection.get_message()
        except ConnectionClosed as gone:
            raise _closed(gone) from None
        return message

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as gone:
            raise _closed(gone) from None

    async def ping(self) -> None:
        try:
            await self._connection.ping()
        except ConnectionClosed as gone:
            raise _closed(gone) from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        # A close frame's reason has 123 bytes (RFC 6455, 5.5).
        short = reason.encode()[:123].decode(errors="ignore")
        with trio.move_on_after(self._close_s):
            await self._connection.aclose(code, short)


@asynccontextmanager
async def welcome(
    stream: trio.SocketStream, request: bytes, *, limit: int, handshake_s: float
) -> AsyncIterator[Socket]:
    """Answer with 101. request: all that was read. Raises trio.TooSlowError."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(handshake_s):
            upgrade = await wrap_server_stream(
                nursery,
                PushBack(stream, request),
                message_queue_size=PHONE_QUEUED_MESSAGES,
                max_message_size=limit,
            )
            socket = WebSocket(await upgrade.accept())
        yield socket
        await socket.aclose()
        nursery.cancel_scope.cancel()


def _closed(gone: ConnectionClosed) -> SocketClosed:
    if gone.reason is None:
        return SocketClosed(1006)
    return SocketClosed(gone.reason.code, gone.reason.reason or "")


@asynccontextmanager
async def dial(
    url: str,
    headers: Sequence[tuple[str, str]],
    *,
    connect_s: float,
    limit: int,
    authorities: str | None,
) -> AsyncIterator[Socket]:
    """As sockets.dial."""
    opened = False
    refused: Exception | None = None
    # The scope spans the whole block, since the connection's nursery lives in it; once
    # connected it has no deadline any more.
    with trio.CancelScope(deadline=trio.current_time() + connect_s) as scope:
        try:
            async with _open_stream(url, authorities) as stream, trio.open_nursery() as nursery:
                connection = await _shake_hands(nursery, stream, url, headers, limit)
                opened, scope.deadline = True, math.inf
                socket = WebSocket(connection)
                yield socket
                await socket.aclose()
                nursery.cancel_scope.cancel()
        except* _REFUSALS as group:
            if opened:
                raise
            refused = _first(group)
    if refused is not None:
        raise DialError(_why(refused)) from refused
    if scope.cancelled_caught and not opened:
        raise DialError(f"no answer within {connect_s:g} s")


@lru_cache(maxsize=2)
def _trusting(authorities: str | None) -> ssl.SSLContext:
    """Read once: it takes 25 ms, in which no other call is served."""
    return ssl.create_default_context(cafile=authorities)


@asynccontextmanager
async def _open_stream(url: str, authorities: str | None) -> AsyncIterator[_Stream]:
    """TCP, and TLS if the URL says so. Raises OSError, or BrokenResourceError without TLS."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    tcp = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    stream: _Stream = tcp
    if secure:
        context = _trusting(authorities)
        stream = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    try:
        if isinstance(stream, trio.SSLStream):
            await stream.do_handshake()
        yield stream
    finally:
        with trio.move_on_after(CLOSE_S):
            await stream.aclose()


async def _shake_hands(
    nursery: trio.Nursery,
    stream: _Stream,
    url: str,
    headers: Sequence[tuple[str, str]],
    limit: int,
) -> WebSocketConnection:
    parts = urlsplit(url)
    connection = await wrap_client_stream(
        nursery,
        stream,
        parts.netloc.rpartition("@")[2],
        f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
        extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        message_queue_size=QUEUED_MESSAGES,
        max_message_size=limit,
    )
    if connection.closed is not None:
        raise ConnectionClosed(connection.closed)
    return connection


def _first(group: ExceptionGroup[Exception]) -> Exception:
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found


def _why(refused: Exception) -> str:
    match refused:
        case ConnectionRejected():
            body = (refused.body or b"")[:SHOWN_BYTES].decode(errors="replace")
            return f"HTTP {refused.status_code} {body}".strip()
        case ConnectionClosed():
            return "closed during the handshake"
        case trio.BrokenResourceError():
            return f"no TLS: {refused.__cause__ or refused}"
        case _:
            return f"{type(refused).__name__}: {refused}"
