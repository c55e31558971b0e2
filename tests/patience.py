"""A clock for what is tested in real time in one process, both ends of its sockets in it.

It counts how long the loop's thread worked and how long it chose to sleep, and not how long it was
kept from either: a busy machine makes such a test last longer, and lets no deadline pass that a
quiet one would have met. What still counts is a sleep into which news come without waking anybody,
so none is longer than NAP_S; a cushion of `wait_all_tasks_blocked` has to be shorter.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Final

import trio
import trio.testing
from trio._core._run import GLOBAL_RUN_CONTEXT as RUN
from trio.abc import Clock, Instrument

from relay.websocket import Round

NAP_S: Final = 0.02
LOOK_S: Final = 0.001


class PatientClock(Clock):
    def __init__(self) -> None:
        self._now = 1000.0
        self._worked_s = time.thread_time()
        self._lay_down_at: float | None = None
        self._nap_s = 0.0

    def start_clock(self) -> None:
        self._worked_s = time.thread_time()

    def current_time(self) -> float:
        worked_s = time.thread_time()
        if self._lay_down_at is None:
            self._now += worked_s - self._worked_s
        else:
            self._now += min(self._nap_s, time.monotonic() - self._lay_down_at)
            self._lay_down_at = None
        self._worked_s = worked_s
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return self.lie_down(deadline - self.current_time())

    def lie_down(self, at_most_s: float) -> float:
        """Before the thread sleeps. Returns how long it may."""
        self.current_time()
        self._nap_s = min(max(0.0, at_most_s), NAP_S)
        self._lay_down_at = time.monotonic()
        return self._nap_s


class Resting(Round):
    """Of the pump. While somebody talks it is C that sleeps, and trio's clock is not asked.

    A patient clock that was not told would stand still meanwhile, and what waits for it would have
    to be worked off: half of a second of such a call was processor time. A jumping one is to sleep
    as little as it may.
    """

    def look(self, slice_ns: int = 0, *more: int) -> Any:
        if slice_ns and type(clock := trio.lowlevel.current_clock()) is PatientClock:
            slice_ns = int(1e9 * clock.lie_down(slice_ns / 1e9))
        return super().look(slice_ns, *more)


class JumpingClock(PatientClock, Instrument):
    """Skips what everybody sleeps through: for tests whose every end is in this process.

    Unlike trio's own, it may be used with sockets and threads: it jumps when a look at all sockets
    has found no news since the last step of a task, and no thread of trio's is at work.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stepped = True

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._stepped = True

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if self._stepped or trio.testing.active_thread_count() or deadline == inf:
            self._stepped = False
            return min(super().deadline_to_sleep_time(deadline), LOOK_S)
        self._now = max(self.current_time(), deadline)
        return 0.0


class Threads(Instrument):
    """Keeps trio's own jumping clock from jumping while a thread of trio's is at work.

    It looks when the clock would jump, and at each step only until the threads are done: at all
    steps it would be a twentieth of what a call costs. It jumps itself, as the clock would: that
    asks for all of the loop's statistics to learn of one deadline, which is a thirtieth again.
    """

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._threshold = clock.autojump_threshold
        clock._autojump = self._jump_or_wait  # type: ignore[method-assign]

    def _jump_or_wait(self) -> None:
        if trio.testing.active_thread_count():
            self._clock.autojump_threshold = inf
            trio.lowlevel.add_instrument(self)
        else:
            ahead_s = RUN.runner.deadlines.next_deadline() - self._clock.current_time()
            if 0 < ahead_s < inf:
                self._clock.jump(ahead_s)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if not trio.testing.active_thread_count():
            trio.lowlevel.remove_instrument(self)
            self._clock.autojump_threshold = self._threshold


def runner(make: Callable[[], PatientClock]) -> Callable[..., object]:
    """As trio.run, on a clock of ours unless the test has one of its own."""

    def run(
        function: Callable[..., Awaitable[object]],
        *arguments: Any,
        clock: Clock | None = None,
        instruments: Sequence[Instrument] = (),
    ) -> object:
        if clock is None:
            clock = make()
        if isinstance(clock, Instrument):
            instruments = [*instruments, clock]
        if isinstance(clock, trio.testing.MockClock) and clock.autojump_threshold != inf:
            Threads(clock)
        return trio.run(function, *arguments, clock=clock, instruments=instruments)

    return run


patiently: Final = runner(PatientClock)
in_jumps: Final = runner(JumpingClock)
