"""One task that waits for all media sockets of the process, and has each of them read.

Waking a task costs Trio more than a frame costs us, and fifty frames a second come in on each call.
So the sockets stand in an epoll set of their own, in which they stay, and one task waits for that.
One C call then reads them all (relay.websocket.round), and its notes are told to the calls, each in
its own context. What a step sends is held back until the socket has been read, so that what came
together leaves together.
The calls' alarms ring here, too (clock.py), between one round of reading and the next.

While anybody talks and Trio has nothing to do, it is C that waits, as Trio would: it hands on what
comes, and is back when something came that is in a hurry, when there has been something to tell
for a while, or when Trio's own sockets or deadlines have their turn. A wake from sleep costs more
than what is then done for a frame: caches are cold, and so is the peer. So under load one looks
once a tick and not once a frame; a frame waits half a tick for that, at the median.

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

TICK_NS: Final = 900_000
# A frame. What a call is told of one that has gone on already is nothing that a caller could hear;
# and under load an alarm may be as late.
PATIENCE_NS: Final = 20_000_000
# For as long at most C waits, or a deadline goes unseen that was set and woke nobody.
SLICE_S: Final = 0.05
# Where Trio's own epoll set is not known, what waits for it waits for as long.
BLIND_SLICE_S: Final = 0.005
# Others that always have something to do get this long before one looks all the same.
BUSY_S: Final = 0.001
# How long a look at the load takes, some frames' time, and how many sockets a tick are one.
WEIGHED_S: Final = 0.05
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
        # Of models, which seldom speak and are never to be kept waiting; and a Round puts phones in
        # whose callers may be about to interrupt.
        self._eager = select.epoll()
        others = trios_epoll()
        self._blind = others < 0
        self._slice_s = BLIND_SLICE_S if self._blind else SLICE_S
        # What is done is measured by what came since then.
        self._seen, self._since = 0, time.monotonic()
        self._turns = _Turns()
        self._talking = False  # somebody
        self._tick_ns = 0  # under load: how often one looks
        self._round = Round(
            self._epoll.fileno(),
            eager_fd=self._eager.fileno(),
            others_fd=others,
            patient=self.clock.fd,
        )
        self._poured: dict[int, Poured] = {}

    def watch(self, fd: int, poured: Poured, ear: Ear | None = None) -> None:
        """Have a socket read whenever it can be, by its ear if it has one."""
        self._epoll.register(fd, select.EPOLLIN)  # may refuse: then nothing of it stays
        if ear is None:
            self._eager.register(fd, select.EPOLLIN)
        else:
            self._round.lend(fd, ear)
        self._poured[fd] = poured

    def forget(self, fd: int) -> None:
        """Watch it no more. Must be said before fd is closed; may be said twice."""
        if self._poured.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            if not self._round.take_back(fd):
                self._eager.unregister(fd)

    async def run(self) -> None:
        """Until cancelled."""
        current.set(self)
        trio.lowlevel.add_instrument(self._turns)
        try:
            await self._pump()
        finally:
            trio.lowlevel.remove_instrument(self._turns)
            current.set(None)
            self._poured.clear()  # who still waits must be able to give up
            self._epoll.close()
            self._eager.close()
            self.clock.close()

    async def _pump(self) -> None:
        while True:
            if not self._talking:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._look()
            else:
                with trio.move_on_after(BUSY_S) as busy:
                    await wait_all_tasks_blocked()
                if busy.cancelled_caught:
                    self._look()
                else:
                    self._watch()
            self._weigh()

    def _watch(self) -> None:
        """Look until somebody else can go on, or nobody talks."""
        at = asked = time.monotonic()
        due = at + self._turns.ask()
        while self._talking:
            if at - asked >= SLICE_S:
                asked, due = at, at + self._turns.ask()
            if self._turns.wanted or at >= due:
                self._look()
                return
            self._look(int((min(due, asked + self._slice_s) - at) * 1e9))
            if self._blind or self._round.called:
                return
            self._weigh()
            at = time.monotonic()

    def _weigh(self) -> None:
        """Now and then, see how much comes."""
        passed = time.monotonic() - self._since
        if passed >= WEIGHED_S:
            self._talking = self._seen > 0
            self._tick_ns = TICK_NS if self._seen * TICK_NS >= LOAD * passed * 1e9 else 0
            self._seen, self._since = 0, self._since + passed

    def _look(self, slice_ns: int = 0) -> int:
        """Read what can be read, now or within a slice. Returns how many sockets could."""
        held, poured, sound = self.held, self._poured, self._round.sound
        before = -1
        self.holding = True
        for note in self._round.look(slice_ns, self._tick_ns, PATIENCE_NS):
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
        self._seen += self._round.ready
        return self._round.ready


class _Turns(trio.abc.Instrument):
    """Whether anybody wants Trio's turn.

    Its statistics cost as much as a frame, and it is to be known before each look. So they are
    asked for once, and from then on it tells when a task can go on.
    """

    def __init__(self) -> None:
        self.wanted = False

    def ask(self) -> float:
        """Learn it now. Returns the seconds to the next deadline."""
        others = trio.lowlevel.current_statistics()
        self.wanted = others.tasks_runnable > 0
        return others.seconds_to_next_deadline

    def task_scheduled(self, _task: trio.lowlevel.Task) -> None:
        self.wanted = True


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
