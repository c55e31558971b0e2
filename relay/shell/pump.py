"""One task that waits for all media sockets of the process, and has each of them read.

Waking a task costs Trio more than a frame costs us, and fifty frames a second come in on each call.
So the sockets stand in an epoll set of their own, in which they stay, and one task waits for that.
One C call then reads them all (relay.websocket.round), and its notes are told to the calls, each in
its own context. What a step sends is held back until the socket has been read, so that what came
together leaves together.
The calls' alarms ring here, too (clock.py), between one round of reading and the next.

A wake from sleep costs more than what is then done for a frame: caches are cold, and so is the
peer. So under load one looks once a tick and not once a frame; a frame waits half a tick for that,
at the median. And where Trio has nothing to do it is C that waits for the next tick, as Trio would:
it hands on what comes, and is back when something came that is in a hurry, when Trio's own sockets
or deadlines have their turn, or after a slice.

Nothing of a call's failure gets here: what is called must hand it to the call's own task
(native_socket). Without a pump, or where the system has no epoll, each socket is waited for by its
own task.
"""

from __future__ import annotations

import select
import time
from typing import Final, Protocol

import trio
from trio._core._generated_run import wait_all_tasks_blocked  # trio.testing's imports pytest
from trio._core._run import GLOBAL_RUN_CONTEXT

from relay.shell.clock import Clock
from relay.websocket import HEARD, LAGS, PASSED, READABLE, Ear, Note, Round

# How often one looks for more before other tasks get a turn, while nothing is paced.
ROUNDS: Final = 4
TICK_NS: Final = 900_000
# What a call is told of a frame that has gone on already is nothing that a caller could hear. Where
# Trio's own epoll set is not known, what waits for it waits for as long.
SLICE_NS: Final = 10_000_000
BLIND_SLICE_NS: Final = 5_000_000
# Others that always have something to do get this long before one looks all the same.
BUSY_S: Final = 0.001
# How long a look at the load takes, a frame's time, and how many sockets a tick are one.
WEIGHED_S: Final = 0.02
LOAD: Final = 1.25


class Held(Protocol):
    """A socket with something to send."""

    def send_held(self) -> None: ...


class Poured(Protocol):
    """A socket that is read. Nothing of it raises or waits."""

    def ready(self) -> None:
        """There is something to be received."""

    def passed(self) -> None:
        """Frames have gone on, or a mark has come back, that nobody was told of."""

    def heard(self, note: Note, audio: str) -> None:
        """A frame was received and converted."""

    def lags(self) -> None:
        """Frames have gone on that could not be sent whole."""

    def came(self, kind: int) -> None:
        """Something else was: a frame of this kind, or what relay.websocket.round says instead."""


class Pump:
    """The watched sockets. `run` is the one task."""

    def __init__(self) -> None:
        self.holding = False  # a socket is being read: what is sent now waits for its end
        self.held: list[Held] = []
        self.clock = Clock()
        self._epoll = select.epoll()
        self._epoll.register(self.clock.fd, select.EPOLLIN)
        self._eager = select.epoll()  # of models: they seldom speak, and never to be kept waiting
        others = trios_epoll()
        self._slice_ns = SLICE_NS if others >= 0 else BLIND_SLICE_NS
        self._round = Round(
            self._epoll.fileno(),
            eager_fd=self._eager.fileno(),
            others_fd=others,
            patient=self.clock.fd,
        )
        self._poured: dict[int, Poured] = {}

    def watch(self, fd: int, poured: Poured, ear: Ear | None = None) -> None:
        """Have a socket read whenever it can be, by its ear if it has one."""
        self._poured[fd] = poured
        if ear is None:
            self._eager.register(fd, select.EPOLLIN)
        else:
            self._round.lend(fd, ear)
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Watch it no more. Must be said before fd is closed; may be said twice."""
        if self._poured.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            if not self._round.take_back(fd):
                self._eager.unregister(fd)

    async def run(self) -> None:
        """Until cancelled."""
        current.set(self)
        try:
            await self._pump()
        finally:
            current.set(None)
            self._epoll.close()
            self._eager.close()
            self.clock.close()

    async def _pump(self) -> None:
        loaded, seen, since = False, 0, time.monotonic()
        while True:
            if loaded:
                with trio.move_on_after(BUSY_S) as busy:
                    await wait_all_tasks_blocked()
                seen += self._look() if busy.cancelled_caught else self._watch()
            else:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for _ in range(ROUNDS):
                    found = self._look()
                    seen += found
                    if not found:
                        break
            passed = time.monotonic() - since
            if passed >= WEIGHED_S:
                loaded = seen * TICK_NS >= LOAD * passed * 1e9
                seen, since = 0, since + passed

    def _watch(self) -> int:
        """Look for a slice, or until somebody else can go on. Returns as _look, of all looks."""
        seen, until = 0, time.monotonic_ns() + self._slice_ns
        while True:
            others = trio.lowlevel.current_statistics()
            left = min(until - time.monotonic_ns(), others.seconds_to_next_deadline * 1e9)
            if others.tasks_runnable or left < TICK_NS:
                return seen + self._look()
            seen += self._look(int(left))
            if self._round.called:
                return seen

    def _look(self, slice_ns: int = 0) -> int:
        """Read what can be read, now or within a slice. Returns how many sockets could."""
        held, poured, sound = self.held, self._poured, self._round.sound
        before = -1
        self.holding = True
        for note in self._round.look(slice_ns, TICK_NS):
            fd, kind = note[0], note[1]
            if fd != before:
                while held:
                    held.pop().send_held()
                before = fd
            socket = poured.get(fd)
            if socket is None:
                continue  # the clock, or one that was forgotten in this very round
            if kind == PASSED:
                socket.passed()
            elif kind == HEARD:
                at = note[5]
                socket.heard(note, sound[at : at + note[6]].decode())
            elif kind == READABLE:
                socket.ready()
            elif kind == LAGS:
                socket.lags()
            else:
                socket.came(kind)
        self.holding = False
        while held:
            held.pop().send_held()
        self.clock.look()
        return self._round.ready


def trios_epoll() -> int:
    """The fd of the epoll set that Trio itself waits for; -1 if that cannot be learnt.

    Trio does not publish it. Without it, all is as well, but what waits for Trio waits longer.
    """
    runner = getattr(GLOBAL_RUN_CONTEXT, "runner", None)
    epoll = getattr(getattr(runner, "io_manager", None), "_epoll", None)
    return epoll.fileno() if isinstance(epoll, select.epoll) else -1


#: The pump of this Trio program, if one runs.
current: trio.lowlevel.RunVar[Pump | None] = trio.lowlevel.RunVar("relay.pump", None)

AVAILABLE: Final = hasattr(select, "epoll")
