"""Rings at the core's deadline. The core decides when; this only rings.

Where a pump runs, its clock keeps the time for all calls (clock.py): a later time is not even told
to it, it is found when the earlier one rings. Elsewhere a Trio deadline does.
"""

from __future__ import annotations

from collections.abc import Callable

import outcome
import trio

from relay.shell import pump
from relay.shell.clock import NEVER, Clock


class Alarm:
    """One call's alarm clock. `set` is synchronous and cheap when nothing changes."""

    def __init__(self) -> None:
        self.entered = NEVER
        self._at = NEVER
        self._scope: trio.CancelScope | None = None
        self._clock: Clock | None = None
        self._task: trio.lowlevel.Task | None = None  # that waits for the clock
        self._ring: Callable[[], None] = lambda: None
        self._ringing = False
        self._stopped = False

    def set(self, at: float | None) -> None:
        """Ring at `at`, in trio's clock; None: not until it is set again."""
        at = NEVER if at is None else at
        if at == self._at:
            return
        self._at = at
        if self._clock is not None:
            if at < self.entered:
                self._clock.enter(at, self)
        elif self._scope is not None:
            self._scope.deadline = at

    def stop(self) -> None:
        """End `run`."""
        self._stopped = True
        if self._task is not None:
            if not self._ringing:
                self._end(self._task, outcome.Value(None))
        elif self._scope is not None:
            self._scope.cancel()

    async def run(self, ring: Callable[[], None]) -> None:
        """Ring whenever the time has come, until stopped. Raises what `ring` raised."""
        by = pump.current.get()
        if by is not None:
            await self._run_by(by.clock, ring)
            return
        while not self._stopped:
            with trio.CancelScope(deadline=self._at) as self._scope:
                await trio.sleep_forever()
            if not self._stopped:
                self._at = NEVER  # so that the same time can be set anew
                ring()

    async def _run_by(self, clock: Clock, ring: Callable[[], None]) -> None:
        if self._stopped:
            return
        self._clock, self._ring, self._task = clock, ring, trio.lowlevel.current_task()
        if self._at < NEVER:
            clock.enter(self._at, self)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def ring(self, now: float) -> None:
        """The clock has come to a time that was entered; meanwhile it may be a later one."""
        task, clock = self._task, self._clock
        if task is None or clock is None:
            return
        if self._at > now:
            if self._at < NEVER:
                clock.enter(self._at, self)
            return
        self._at, self._ringing = NEVER, True  # so that the same time can be set anew
        result = outcome.capture(task.context.run, self._ring)
        self._ringing = False
        if self._stopped or isinstance(result, outcome.Error):
            self._end(task, result)

    def _end(self, task: trio.lowlevel.Task, result: outcome.Outcome[None]) -> None:
        self._forget()
        trio.lowlevel.reschedule(task, result)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        if self._ringing:  # it is cancelled by its own ring: that may still raise
            self._stopped = True
            return trio.lowlevel.Abort.FAILED
        self._forget()
        return trio.lowlevel.Abort.SUCCEEDED

    def _forget(self) -> None:
        """Nothing of the call stays in the clock until its time would have come."""
        self.entered, self._task, self._clock = NEVER, None, None
        self._ring = lambda: None
