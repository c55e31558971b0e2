"""Two in-memory WebSockets, back to back, that close, fill up and die like real ones.

A message is readable at the other end once its delay has passed, never before the message ahead
of it. As on a real WebSocket: a peer's close is seen behind the messages it sent before; after
our own close nothing can be read any more; a `drop` loses what is still on its way and shows as
1006 on both sides. A sender waits while the other end has a full queue, which is how a
peer that does not read is felt.

Only trio's clock and FIFO parking lots are used, so the order of messages is the same in every
run, also under trio's autojump clock.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from relay.errors import SocketClosed

CAPACITY = 1024  # messages; a ten-second stall of 20 ms media is 500


@dataclass(slots=True)
class _Ping:
    """Answered by whoever reads it; back as its own answer."""

    answered: trio.Event = field(default_factory=trio.Event)
    read: bool = False


_Sent: TypeAlias = str | bytes | _Ping


@dataclass(slots=True)
class _Way:
    """One direction: messages with the time at which each can be read, then perhaps an end."""

    capacity: int
    messages: collections.deque[tuple[float, _Sent]] = field(default_factory=collections.deque)
    last_at: float = -math.inf
    ended: SocketClosed | None = None
    deaf: bool = False  # its reader closed: what is still sent goes nowhere
    reader: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    writers: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def arrival(self, delay: float) -> float:
        self.last_at = max(self.last_at, trio.current_time() + delay)
        return self.last_at

    def wake(self) -> None:
        self.reader.unpark_all()
        self.writers.unpark_all()


class MemorySocket:
    """One end of a `memory_pair`. Obeys relay.ports.Socket; `send` also takes bytes (a binary
    message), so that a test can play a peer that breaks its protocol."""

    def __init__(self, inbound: _Way, outbound: _Way, delay: Callable[[], float] | None) -> None:
        self._in = inbound
        self._out = outbound
        self._delay = delay
        self._closed: SocketClosed | None = None

    async def receive(self) -> str | bytes:
        """Wait for the next message. Raises SocketClosed: with the peer's code once its messages
        are read, with our own after our `aclose`, with `drop`'s after a drop."""
        way = self._in
        # To park is a checkpoint; one more each time would be a fifth of all the steps of a call.
        if way.messages or way.ended is not None or self._closed is not None:
            await trio.lowlevel.checkpoint()
        while True:
            if self._closed is not None:
                raise SocketClosed(self._closed.code, self._closed.reason)
            due = way.messages[0][0] if way.messages else way.last_at
            if not way.messages and way.ended is None:
                await way.reader.park()
            elif due > trio.current_time():
                with trio.move_on_at(due):
                    await way.reader.park()
            elif way.messages:
                way.writers.unpark()
                message = way.messages.popleft()[1]
                if not isinstance(message, _Ping):
                    return message
                self._answer(message)
            elif way.ended is not None:
                raise SocketClosed(way.ended.code, way.ended.reason)

    async def send(self, text: str | bytes) -> None:
        """Send one message; waits while the peer's queue is full. Raises SocketClosed."""
        # What fits goes out without a turn for others, as from the relay's own sockets; that turn
        # would be a quarter of all the steps of a call.
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        while len(self._out.messages) >= self._out.capacity:
            await self._out.writers.park()
            self._check_open()
        if self._out.deaf:
            await trio.lowlevel.checkpoint()
            return
        self._put(text)

    async def ping(self) -> None:
        """Wait until the peer has read what was sent so far: whoever does not read is not there."""
        self._check_open()
        ping = _Ping()
        self._put(ping)
        await ping.answered.wait()

    def _answer(self, ping: _Ping) -> None:
        if ping.read:
            ping.answered.set()
        elif self._out.ended is None and not self._out.deaf:
            ping.read = True
            self._put(ping)

    def _put(self, message: _Sent) -> None:
        self._out.messages.append(
            (self._out.arrival(self._delay() if self._delay else 0.0), message)
        )
        self._out.reader.unpark()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye: the peer reads what was sent, then sees the code. Never waits for it."""
        await trio.lowlevel.checkpoint()
        if self._closed is not None:
            return
        self._closed = SocketClosed(code, reason)
        self._in.deaf = True
        self._in.messages.clear()
        if self._out.ended is None:
            self._out.ended = SocketClosed(code, reason)
            self._out.arrival(self._delay() if self._delay else 0.0)
        self._in.wake()
        self._out.wake()

    def drop(self, code: int = 1006) -> None:
        """Die without goodbye, both ends at once. What has arrived can still be read by the
        peer; what was on its way, in either direction, is lost."""
        now = trio.current_time()
        self._closed = self._closed or SocketClosed(code)
        for way in (self._in, self._out):
            while way.messages and way.messages[-1][0] > now:
                way.messages.pop()
            way.last_at = now
            way.ended = way.ended or SocketClosed(code)
            way.wake()

    def _check_open(self) -> None:
        """Raise if nothing can be sent: we closed, or the peer's close has reached us."""
        gone = self._closed
        if gone is None and self._in.ended is not None and self._in.last_at <= trio.current_time():
            gone = self._in.ended
        if gone is None and self._out.ended is not None:
            gone = self._out.ended
        if gone is not None:
            raise SocketClosed(gone.code, gone.reason)


def memory_pair(
    *, capacity: int = CAPACITY, delay: Callable[[], float] | None = None
) -> tuple[MemorySocket, MemorySocket]:
    """Make two connected sockets. `delay` is asked, in seconds, for each message either way;
    order is kept whatever it answers. `capacity` bounds each direction, in messages."""
    there, back = _Way(capacity), _Way(capacity)
    return MemorySocket(back, there, delay), MemorySocket(there, back, delay)
