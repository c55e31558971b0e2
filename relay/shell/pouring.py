"""A socket that a pump reads in place of the task that waits here.

What comes is handed on in that task's context, and what that raises comes out of that task: a
call's failure is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import outcome
import trio

from relay.core.events import CallerAudio
from relay.shell.pump import Pump
from relay.websocket import Ear, Note

#: A whole message.
Take: TypeAlias = Callable[[str | bytes], None]
Hear: TypeAlias = Callable[[CallerAudio], None]


class Pouring:
    """What a pump calls for one socket. Made by the task that is going to wait."""

    __slots__ = (
        "_by", "_catch_up", "_ear", "_fd", "_go_on", "_hear", "_over", "_run", "_step", "_task",
    )  # fmt: skip

    def __init__(self, by: Pump, fd: int, step: Callable[[], object]) -> None:
        """step: receives and hands on what came"""
        self._by, self._fd, self._step = by, fd, step
        self._task = trio.lowlevel.current_task()
        self._run = self._task.context.run
        self._ear: Ear | None = None
        self._over = False

    async def wait(self) -> None:
        """Until something is raised, which then is raised here."""
        self._by.watch(self._fd, self, self._ear)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def by_ear(
        self,
        ear: Ear,
        hear: Hear,
        catch_up: Callable[[], None],
        go_on: Callable[[int], object],
    ) -> None:
        """Have messages received by the ear.

        catch_up: asks the ear what has passed; go_on: hands on what else there is, of this kind
        """
        self._ear, self._hear = ear, hear
        self._catch_up, self._go_on = catch_up, go_on

    def ready(self) -> None:
        self._do(self._step)

    def came(self, kind: int) -> None:
        self._do(self._go_on, kind)

    def passed(self) -> None:
        self._do(self._catch_up)

    def heard(self, note: Note, audio: str) -> None:
        _, _, mulaw_bytes, rises, level_db, _, _ = note
        ear = self._ear
        assert ear is not None  # noqa: S101 - it was the ear that heard
        self._do(self._hear, CallerAudio(audio, ear.whole_ms(mulaw_bytes), level_db, rises))

    def lags(self) -> None:
        if self._ear is not None:
            self._ear.flush_lane()

    def _do(self, act: Callable[..., object], *args: object) -> None:
        """In the task's context, and what it raises is raised there."""
        result = outcome.capture(self._run, act, *args)
        if isinstance(result, outcome.Error):
            self.give_up(result)
        del result  # its traceback leads to this frame: a cycle, which all of the call hangs on

    def give_up(self, result: outcome.Outcome[None]) -> None:
        """Wake the task with this: it is over. Until it has woken, others may find that as well."""
        if not self._over:
            self._end()
            trio.lowlevel.reschedule(self._task, result)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._end()
        return trio.lowlevel.Abort.SUCCEEDED

    def _end(self) -> None:
        self._over = True
        self._by.forget(self._fd)
