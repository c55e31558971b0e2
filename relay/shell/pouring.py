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

# Twilio's frame. Any other length is counted by the codec, which knows of parts of a ms.
FRAME_BYTES, FRAME_MS = 160, 20


class Pouring:
    """What a pump calls for one socket. Made by the task that is going to wait."""

    __slots__ = (
        "_by", "_ear", "_fd", "_go_on", "_hear", "_over", "_run", "_step", "_take", "_task",
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

    def by_ear(self, ear: Ear, take: Take, hear: Hear, go_on: Callable[[int], object]) -> None:
        """Have messages received by the ear. go_on: hands on what else there is, of this kind"""
        self._ear, self._take, self._hear, self._go_on = ear, take, hear, go_on

    def ready(self) -> None:
        result = outcome.capture(self._run, self._step)
        if isinstance(result, outcome.Error):
            self.give_up(result)
        del result  # its traceback leads to this frame: a cycle, which all of the call hangs on

    def text(self, text: str) -> None:
        result = outcome.capture(self._run, self._take, text)
        if isinstance(result, outcome.Error):
            self.give_up(result)
        del result  # as above

    def came(self, kind: int) -> None:
        result = outcome.capture(self._run, self._go_on, kind)
        if isinstance(result, outcome.Error):
            self.give_up(result)
        del result  # as above

    def heard(self, note: Note, audio: str) -> None:
        _, _, mulaw_bytes, rises, level_db, _, _, told, unsent = note
        ear = self._ear
        assert ear is not None  # noqa: S101 - it was the ear that heard
        ms = FRAME_MS if mulaw_bytes == FRAME_BYTES else ear.whole_ms(mulaw_bytes)
        if unsent:
            ear.flush_lane()
        frame = CallerAudio(audio, ms, level_db, rises, told == 1)
        result = outcome.capture(self._run, self._hear, frame)
        if isinstance(result, outcome.Error):
            self.give_up(result)
        del result  # as above

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
