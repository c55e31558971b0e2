"""Messages on their way to one peer, in order, and bounded.

`post` never waits: a peer that reads too slowly is an event for the core, not a stall. As long as
the peer keeps up and its socket can do so, a message goes from `post` into the socket at once, and
`flush`, at the end of a step, sends what the step has posted; no task is woken for that. What the
peer does not take is queued for the one task that may wait, `run`, until that has caught up.
"""

from __future__ import annotations

import math
from collections import deque

import trio

from relay.errors import SocketClosed
from relay.ports import QuickSocket, Socket
from relay.shell.native_socket import NativeSocket
from relay.websocket import Lane

# A peer that takes nothing for this long will not take anything any more.
SEND_S = 5.0


class Outbox:
    """Messages on their way to one socket. capacity: of those that wait."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[str] = deque()
        self._bell = trio.lowlevel.ParkingLot()
        self._quick: QuickSocket | None = None  # a socket that keeps up
        self._socket: QuickSocket | None = None  # the same, whether it keeps up or not
        self._lagging = False  # it holds some of what it has taken
        self._taken = False  # it has taken something since the last flush
        self._closed = False
        self.lane: Lane | None = None  # by which an ear may send between our messages

    def post(self, text: str) -> bool:
        """Send or queue a message. False: the queue is full. After close it goes nowhere."""
        if self._closed:
            return True
        if self._quick is not None and self._quick.send_nowait(text):
            self._taken = True
            return True
        self._keep_up(False)
        if len(self._waiting) >= self._capacity:
            return False
        self._waiting.append(text)
        self._bell.unpark()
        return True

    def append(self, audio: str) -> bool:
        """Send caller audio at once. False: that cannot be now, and it must be posted as text."""
        if self._quick is None or self._closed or not self._quick.append_nowait(audio):
            return False
        self._taken = True
        return True

    def play(self, stream_sid: str, mulaw: bytes, mark: str) -> bool:
        """Send our speech and its mark at once. False: they must be posted as text."""
        if self._quick is None or self._closed:
            return False
        if not self._quick.play_nowait(stream_sid, mulaw, mark):
            return False
        self._taken = True
        return True

    def flush(self) -> None:
        """The step is over: send what it has posted."""
        if self._taken and self._socket is not None:
            self._taken = False
            self._socket.flush(self._lag)

    def _flush_lane(self) -> None:
        if self._socket is not None:
            self._socket.flush(self._lag)

    def _lag(self) -> None:
        self._lagging = True
        self._keep_up(False)
        self._bell.unpark()

    def _keep_up(self, keeps_up: bool) -> None:
        """Messages go into the socket at once, or wait. Behind one that waits nobody may send."""
        self._quick = self._socket if keeps_up else None
        if isinstance(self._socket, NativeSocket):
            self._socket.lend(lent=keeps_up and not self._closed)

    def close(self) -> None:
        """No more messages; `run` ends when the queued ones are written."""
        self._closed = True
        self._keep_up(self._quick is not None)
        self._bell.unpark()

    async def run(self, socket: Socket) -> bool:
        """Write until closed, then close the socket; or until the peer is gone.

        False: the peer is stuck. What then becomes of its socket is not decided here.
        """
        self._socket = socket if isinstance(socket, QuickSocket) else None
        if isinstance(socket, NativeSocket):
            self.lane = socket.lane(self._flush_lane)
        try:
            with trio.CancelScope() as scope:
                try:
                    while True:
                        while self._waiting or self._lagging:
                            scope.deadline = trio.current_time() + SEND_S
                            await self._write(socket)
                            scope.deadline = math.inf
                        if self._closed:
                            break
                        self._keep_up(True)
                        await self._bell.park()
                except SocketClosed:
                    return True
        finally:
            self._closed, self.lane = True, None
            self._keep_up(False)
            self._socket = None  # which knows us: a cycle
            self._waiting.clear()
        if scope.cancelled_caught:
            return False
        await socket.aclose()
        return True

    async def _write(self, socket: Socket) -> None:
        """What the socket holds, or the oldest message that waits."""
        if self._lagging and self._socket is not None:
            await self._socket.drain()
            self._lagging = False
        else:
            await socket.send(self._waiting.popleft())
