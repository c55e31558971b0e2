"""trio-websocket behind the Socket seam, on both sides, with deadlines of our own.

Measured reasons (reliability.md, 0.5): trio-websocket's `connect_timeout` does not bound a peer
that accepts and stays silent, so every open stands in a scope of ours. No compression; explicit
message limits: 64 KiB from Twilio, whose messages are tiny, 16 MiB from the model, which may send
a whole item.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

from relay.errors import DialError, SocketClosed
from relay.ports import Socket

PHONE_MESSAGE_BYTES = 64 * 1024
MODEL_MESSAGE_BYTES = 16 * 1024 * 1024
# One reader that never waits for anybody needs little; a burst of deltas should not stop TCP.
QUEUED_MESSAGES = 128
CONNECT_S = 3.0
CLOSE_S = 2.0


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

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        # A close frame's reason has 123 bytes (RFC 6455, 5.5).
        short = reason.encode()[:123].decode(errors="ignore")
        with trio.move_on_after(self._close_s):
            await self._connection.aclose(code, short)


def _closed(gone: ConnectionClosed) -> SocketClosed:
    if gone.reason is None:
        return SocketClosed(1006)
    return SocketClosed(gone.reason.code, gone.reason.reason or "")


@asynccontextmanager
async def dial(
    url: str,
    headers: Sequence[tuple[str, str]],
    *,
    connect_s: float = CONNECT_S,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Socket]:
    """Open a WebSocket as a client and close it at the end of the block.

    Raises DialError when there is no connection after connect_s, whatever the peer does or not.
    """
    # The scope spans the whole block, since the connection's nursery lives in it; once
    # connected it has no deadline any more.
    with trio.CancelScope(deadline=trio.current_time() + connect_s) as scope:
        opened = False
        try:
            async with open_websocket_url(
                url,
                ssl_context=ssl_context,
                extra_headers=[(name.encode(), value.encode()) for name, value in headers],
                message_queue_size=QUEUED_MESSAGES,
                max_message_size=MODEL_MESSAGE_BYTES,
                connect_timeout=connect_s,
                disconnect_timeout=CLOSE_S,
            ) as connection:
                opened = True
                scope.deadline = float("inf")
                yield WebSocket(connection)
        except (HandshakeError, OSError, ssl.SSLError) as refused:
            if opened:
                raise
            raise DialError(f"{type(refused).__name__}: {refused}") from refused
    if scope.cancelled_caught and not opened:
        raise DialError(f"no answer within {connect_s:g} s")
