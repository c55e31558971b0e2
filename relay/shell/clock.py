"""The alarms of all calls, in one heap, beside the sockets that the pump waits for.

A Trio deadline costs a cancelled scope and a task's wake each time it rings, and while the agent
speaks each call rings ten times a second. Here a ring costs a function call: the pump looks at the
heap whenever it has read something, and a timer that stands in its epoll set wakes it when nothing
else does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Protocol

import trio

from relay.audio._native import lib

NEVER: Final = float("inf")
#: The timer waits this much longer: under load a frame has come before it, and woken the pump.
SLACK_S: Final = 0.002
#: Entries that will not ring, of alarms set anew, may be as many as the others and this.
STALE: Final = 1000


class Rings(Protocol):
    """Who is rung at. entered: which of its times in the heap counts; NEVER: none of them."""

    entered: float

    def ring(self, now: float) -> None:
        """The time that was entered has come. Must not raise, and not wait."""
        ...


class Clock:
    """The heap, and the timer. fd: can be read when somebody should call `look`."""

    def __init__(self) -> None:
        self.fd = lib.clock_open()
        if self.fd < 0:
            raise OSError("no timer that can be waited for")
        self._time = trio.lowlevel.current_clock().current_time
        self._heap: list[tuple[float, int, Rings]] = []
        self._serial: Callable[[], int] = count().__next__
        self._timer_at = NEVER
        self._prune_at = STALE

    def enter(self, at: float, who: Rings) -> None:
        """Ring at `at`, and at no other time of who's that is in the heap."""
        who.entered = at
        heappush(self._heap, (at, self._serial(), who))
        if at + SLACK_S < self._timer_at:
            self._set_timer(at)
        if len(self._heap) > self._prune_at:
            self._prune()

    def look(self) -> None:
        """Ring all that is due."""
        heap = self._heap
        if not heap:
            return
        now = self._time()
        if heap[0][0] > now and now < self._timer_at:
            return
        while heap and heap[0][0] <= now:
            at, _, who = heappop(heap)
            if who.entered == at:
                who.entered = NEVER
                who.ring(now)
            heap = self._heap  # which may have been pruned meanwhile
        self._set_timer(heap[0][0] if heap else NEVER)

    def close(self) -> None:
        os.close(self.fd)

    def _set_timer(self, at: float) -> None:
        self._timer_at = at + SLACK_S
        lib.clock_set(self.fd, self._timer_at - self._time())

    def _prune(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].entered == entry[0]]
        heapify(self._heap)
        self._prune_at = 2 * len(self._heap) + STALE
