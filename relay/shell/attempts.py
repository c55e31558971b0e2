"""Attempts to reach a human, as all processes see them: in the store, when it answers in time.

Whoever takes a step asks the store whether it is still to be taken (ports.humans.BEFORE). With the
database away a process knows of its own attempts alone, and a webhook about another's is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
import trio

from relay.errors import StoreError
from relay.ports import Attempt, AttemptStore

log = structlog.get_logger("relay.humans")

ANSWER_S: Final = 1.0  # a human holds the line meanwhile
BRIEF_S: Final = 1.0  # how long a human who has answered waits for the summary
LOOK_S: Final = 0.1

#: A blocking question to the store, within seconds; raises StoreError.
Ask: TypeAlias = Callable[[Callable[[], Any], float], Awaitable[Any]]


class SharedAttempts:
    """The store's attempts. Nothing here raises."""

    def __init__(self, store: AttemptStore, ask: Ask, wall_clock: Callable[[], datetime]) -> None:
        self._store = store
        self._ask = ask
        self._wall_clock = wall_clock

    async def opened(self, attempt: Attempt) -> None:
        await self._tell(partial(self._store.open_attempt, attempt))

    async def noted(self, attempt: str, leg_sid: str, summary: str) -> None:
        """What has become known of an attempt; "" leaves a fact as it is."""
        note = self._store.note_attempt
        await self._tell(partial(note, attempt, leg_sid=leg_sid, summary=summary))

    async def moved(self, attempt: str, state: str, reason: str) -> bool:
        """Take a step. False when it is not to be taken, was taken, or nobody can tell."""
        move = partial(self._store.move_attempt, attempt, state, self._wall_clock(), reason)
        try:
            return bool(await self._ask(move, ANSWER_S))
        except StoreError as error:
            log.warning("attempt not moved", state=state, error=str(error))
            return False

    async def row(self, attempt: str) -> Attempt | None:
        return await self._read(partial(self._store.attempt, attempt))

    async def newest(self, call_sid: str) -> Attempt | None:
        """The newest attempt of a call."""
        return await self._read(partial(self._store.attempt_of, call_sid))

    async def screened(self, attempt: str) -> str | None:
        """A human of another process's call has answered: the summary, as soon as it is written,
        else the reason; None: that attempt is over."""
        if not await self.moved(attempt, "answered", ""):
            return None
        row = first = await self.row(attempt)
        with trio.move_on_after(BRIEF_S):
            while row is None or first is None or row.summary == first.summary:
                await trio.sleep(LOOK_S)
                row = await self.row(attempt)
        return row.summary if row else ""

    async def _read(self, question: Callable[[], Attempt | None]) -> Attempt | None:
        with suppress(StoreError):
            row: Attempt | None = await self._ask(question, ANSWER_S)
            return row
        return None

    async def _tell(self, write: Callable[[], object]) -> None:
        try:
            await self._ask(write, ANSWER_S)
        except StoreError as error:
            log.warning("attempt not stored", error=str(error))
