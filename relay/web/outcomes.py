"""What became of a call after its stream ended, written by one task behind the answers' back.

A webhook only notes it here. The records of the stream itself go through the journal; an outcome
that comes later than the stream must be written later too, so the task first lets the journal
empty itself, then writes, and tries again while the database is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
import trio

from relay.errors import StoreError
from relay.ports import CallStore

MAX_WAITING: Final = 10_000
JOURNAL_S: Final = 2.0  # an outcome waits this long for the records before it
WRITE_S: Final = 5.0
RETRY_S: Final = (0.25, 1.0, 2.0, 5.0)

_log = structlog.get_logger("relay.outcomes")

RunSync = Callable[[Callable[[], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """only_if_none: a guess, which must not replace what is known."""

    call_sid: str
    at: datetime
    outcome: str
    reason: str
    only_if_none: bool = False


async def in_thread(write: Callable[[], None]) -> None:
    """Run a blocking write in a thread that may be left behind."""
    await trio.to_thread.run_sync(write, abandon_on_cancel=True)


class Outcomes:
    """The process's late outcomes."""

    def __init__(
        self,
        store: CallStore,
        *,
        journal_flushed: Callable[[], Awaitable[None]],
        run_sync: RunSync = in_thread,
    ) -> None:
        self._store = store
        self._journal_flushed = journal_flushed
        self._run_sync = run_sync
        self._waiting: deque[Outcome] = deque()
        self._news = trio.Event()
        self._idle = trio.Event()

    def note(
        self, call_sid: str, outcome: str, reason: str = "", *, only_if_none: bool = False
    ) -> None:
        """Take an outcome. Never waits, never fails; a full queue loses its oldest."""
        if len(self._waiting) >= MAX_WAITING:
            _log.error("! outcomes are full, the oldest is lost")
            self._waiting.popleft()
        at = datetime.now(UTC)
        self._waiting.append(Outcome(call_sid, at, outcome, reason, only_if_none))
        self._news.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    def depth(self) -> int:
        """How many are not written yet."""
        return len(self._waiting)

    async def written(self) -> None:
        """Wait until all that was noted so far is written."""
        if self._waiting:
            await self._idle.wait()

    async def run(self) -> None:
        """Write what is noted, in order, for ever."""
        failures = 0
        while True:
            await self._news.wait()
            outcome = self._waiting[0]
            with trio.move_on_after(JOURNAL_S) as patience:
                await self._journal_flushed()
            # A guess must have seen all that is known; a fact need not wait any longer.
            unsure = outcome.only_if_none and patience.cancelled_caught
            if not unsure and await self._written(outcome):
                failures = 0
                if self._waiting and self._waiting[0] is outcome:
                    self._waiting.popleft()
            else:
                await trio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
            if not self._waiting:
                self._news = trio.Event()
                self._idle.set()

    async def _written(self, outcome: Outcome) -> bool:
        try:
            with trio.fail_after(WRITE_S):
                await self._run_sync(partial(self._write, outcome))
        except (StoreError, trio.TooSlowError) as error:
            _log.warning("! outcome not written", error=str(error), waiting=self.depth())
            return False
        return True

    def _write(self, outcome: Outcome) -> None:
        if outcome.only_if_none:
            row = self._store.call(outcome.call_sid)
            if row is None or row.outcome is not None:
                return
        self._store.set_outcome(outcome.call_sid, outcome.at, outcome.outcome, outcome.reason)
