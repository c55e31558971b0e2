"""A bounded queue of messages for one peer, and the one task that writes them.

`post` never waits: a peer that reads too slowly is an event for the core, not a stall. One writer
a socket keeps the order and never interleaves.
"""

from __future__ import annotations

import math

import trio

from relay.errors import SocketClosed
from relay.ports import Socket

# A peer that takes nothing for this long will not take anything any more.
SEND_S = 5.0


class Outbox:
    """Messages on their way to one socket."""

    def __init__(self, capacity: int) -> None:
        self._send, self._receive = trio.open_memory_channel[str](capacity)
        self._closed = False

    def post(self, text: str) -> bool:
        """Queue a message. False: the queue is full. After close it goes nowhere."""
        if self._closed:
            return True
        try:
            self._send.send_nowait(text)
        except trio.WouldBlock:
            return False
        except trio.BrokenResourceError:
            pass  # the writer has ended: its peer is gone, and the reader says so
        return True

    def close(self) -> None:
        """No more messages; `run` ends when the queued ones are written."""
        self._closed = True
        self._send.close()

    async def run(self, socket: Socket) -> bool:
        """Write until closed, then close the socket; or until the peer is gone.

        False: the peer is stuck. What then becomes of its socket is not decided here.
        """
        async with self._receive:
            with trio.CancelScope() as scope:
                try:
                    async for text in self._receive:
                        scope.deadline = trio.current_time() + SEND_S
                        await socket.send(text)
                        scope.deadline = math.inf
                except SocketClosed:
                    return True
        if scope.cancelled_caught:
            return False
        await socket.aclose()
        return True
