"""A connection of which the beginning was read already, as if it had not been."""

from __future__ import annotations

import socket
from contextlib import suppress

import trio


class PushBack(trio.abc.HalfCloseableStream):
    """A socket stream whose first bytes were already read."""

    def __init__(self, stream: trio.SocketStream, first: bytes) -> None:
        self._stream = stream
        self._first = first
        self.socket = stream.socket  # Hypercorn asks it for the addresses

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._first:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        size = len(self._first) if max_bytes is None else max_bytes
        some, self._first = self._first[:size], self._first[size:]
        return some

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Shut down before any checkpoint: Hypercorn ends a response inside the app's task, which
        Quart-Trio has cancelled by then, and would otherwise leave the peer waiting for an end."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self._stream.aclose()
