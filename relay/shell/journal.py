"""Records leave the calls here: one task a process, batches in a worker thread.

A call never waits for the database. `keep` only appends to a bounded queue; the task writes what
has gathered, and what could not be written stays and is tried again, in order. When the queue is
full, the newest entry is refused and counted, and the operator is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from relay.errors import StoreError
from relay.ports import CallStore, Entry

log = structlog.get_logger("relay.journal")

BATCH_ENTRIES = 100
BATCH_S = 0.05
# A write that takes longer than this is given up, and made again: writing twice changes nothing.
WRITE_S = 15.0
RETRY_S = (0.25, 0.5, 1.0, 2.0, 5.0)
# An hour of fifty busy calls; a few hundred bytes each.
MAX_WAITING = 100_000

RunSync = Callable[[Callable[[], None]], Awaitable[None]]


async def in_thread(write: Callable[[], None]) -> None:
    """Run a blocking write in a thread that may be left behind."""
    await trio.to_thread.run_sync(write, abandon_on_cancel=True)


class Journal:
    """The process's journal."""

    def __init__(self, store: CallStore, *, run_sync: RunSync = in_thread) -> None:
        self._store = store
        self._run_sync = run_sync
        self._waiting: deque[Entry] = deque()
        self._news = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self.refused = 0
        self.failing = False

    def keep(self, entry: Entry) -> None:
        """Take an entry. Never waits and never fails."""
        if len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            if self.refused == 1:
                log.error("journal is full, records are lost")
            return
        self._waiting.append(entry)
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._news.set()

    def depth(self) -> int:
        """How many entries are not stored yet."""
        return len(self._waiting)

    async def flushed(self) -> None:
        """Wait until all that was kept so far is stored."""
        while self._waiting:
            await self._idle.wait()

    async def run(self) -> None:
        """Write batches for ever."""
        failures = 0
        while True:
            await self._news.wait()
            await trio.sleep(BATCH_S)
            batch = [self._waiting[i] for i in range(min(len(self._waiting), BATCH_ENTRIES))]
            try:
                with trio.fail_after(WRITE_S):
                    await self._run_sync(partial(self._store.write, batch))
            except (StoreError, trio.TooSlowError) as failed:
                wait_s = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                self.failing = True
                log.warning(
                    "journal cannot write", error=str(failed) or "no answer", waiting=self.depth()
                )
                await trio.sleep(wait_s)
                continue
            failures, self.failing = 0, False
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting:
                self._news = trio.Event()
                self._idle.set()
