"""One task that waits for all media sockets of the process, and has each of them read.

Waking a task costs Trio more than a frame costs us, and fifty frames a second come in on each call.
So the sockets stand in an epoll set of their own, in which they stay, and one task waits for that;
a socket's `ready` then reads what there is and feeds it to its call, all in one go. What a step
sends is held back until the socket has been read, so that frames that came together leave together.
The calls' alarms ring here, too (clock.py), between one round of reading and the next.

Nothing of a call's failure gets here: `ready` must hand it to the call's own task (native_socket).
Without a pump, or where the system has no epoll, each socket is waited for by its own task.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final, Protocol

import trio

from relay.shell.clock import Clock

# Sockets that are read in a row, and how often one looks for more before other tasks get a turn:
# under load more has come meanwhile, and waiting for it costs a task's wake.
ROUND: Final = 64
ROUNDS: Final = 4


class Held(Protocol):
    """A socket with something to send."""

    def send_held(self) -> None: ...


class Pump:
    """The watched sockets. `run` is the one task."""

    def __init__(self) -> None:
        self.holding = False  # a socket is being read: what is sent now waits for its end
        self.held: list[Held] = []
        self.clock = Clock()
        self._epoll = select.epoll()
        self._epoll.register(self.clock.fd, select.EPOLLIN)
        self._ready: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever fd can be read. It must not raise, and not wait."""
        self._ready[fd] = ready
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Watch it no more. Must be said before fd is closed; may be said twice."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    async def run(self) -> None:
        """Until cancelled."""
        current.set(self)
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for _ in range(ROUNDS):
                    if not self._round():
                        break
        finally:
            current.set(None)
            self._epoll.close()
            self.clock.close()

    def _round(self) -> bool:
        """Read what can be read now. False: nothing could."""
        held = self.held
        readable = self._epoll.poll(0, ROUND)
        for fd, _ in readable:
            ready = self._ready.get(fd)
            if ready is None:
                continue  # the clock's, or one that was forgotten in this very round
            self.holding = True
            ready()
            self.holding = False
            while held:
                held.pop().send_held()
        self.clock.look()
        return bool(readable)


#: The pump of this Trio program, if one runs.
current: trio.lowlevel.RunVar[Pump | None] = trio.lowlevel.RunVar("relay.pump", None)

AVAILABLE: Final = hasattr(select, "epoll")
