"""Records leave the calls here, and are written down whatever the database does.

    keep ─▶ memory ─┬─ the database answers ──────────▶ stored
                    └─ it does not, or not in time ─▶ spool ─ it is back ─▶ stored

A call never waits: `keep` only appends to a bounded queue. One task writes what has gathered, by
BATCH_ENTRIES or after BATCH_S, straight to the database; while many calls leave a little all the
time, every PACE_S, since a batch costs a thread's wake and a commit however small it is. When that
fails or takes longer than DIRECT_S, the batch goes to the spool (spool.py), and so does all that
follows it while anything waits there, so that records stay in their order; a second task replays
the spool, and removes what is stored. An entry is *safe* once it is in the database or fsynced in
the spool.

With the disk out of order as well, entries stay in memory, up to a bound, and the newest are
refused, counted and told on `/readyz`. Everything may be written twice: the store's upserts make
that harmless. An entry that the database will never take (StoreError.refused), or that this
version does not know, is set aside in the spool, so that it holds up nobody and is not lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeVar

import structlog
import trio

from relay.errors import SpoolError, StoreError
from relay.ports import CallStore, Entry
from relay.shell.entry_json import UnknownEntry, decode, encode
from relay.shell.spool import Group, Spool

BATCH_ENTRIES: Final = 100
BATCH_S: Final = 0.05
# From one batch's beginning to the next one's, unless that is full or somebody waits for it.
PACE_S: Final = 0.25
# The database has this long for a batch before it goes to the spool.
DIRECT_S: Final = 1.0
# A replay has nobody waiting for it, and larger batches.
REPLAY_ENTRIES: Final = 500
REPLAY_S: Final = 10.0
# An fsync that takes longer is a disk that is out of order.
SPOOL_S: Final = 5.0
RETRY_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
# What may wait in memory, which is needed only while neither database nor disk takes anything.
MAX_WAITING: Final = 100_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
# Beside its text an entry costs about this much memory.
ENTRY_BYTES: Final = 400
# A database that hangs holds these threads, and nobody else's.
THREADS: Final = 4

State = Literal["stored", "spooling", "refusing"]
T = TypeVar("T")

_log = structlog.get_logger("relay.journal")


class RunSync(Protocol):
    """Runs what blocks."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


def in_threads(count: int) -> RunSync:
    """Run in at most so many threads, which may be left behind when they hang."""
    limiter = trio.CapacityLimiter(count)

    async def run(function: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=limiter)

    return run


class Journal:
    """The process's journal. refused: entries that were lost for want of room."""

    def __init__(self, store: CallStore, spool: Spool, *, run_sync: RunSync | None = None) -> None:
        """run_sync: how blocking calls run; None: in threads, one of them for the spool."""
        self.refused = 0
        self._store = store
        self._spool = spool
        self._in_store = run_sync or in_threads(THREADS)
        self._on_disk = run_sync or in_threads(1)
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._kept = 0  # entries taken so far, and of them those that are safe
        self._safe = 0
        self._news = trio.Event()
        self._full = trio.Event()
        self._hurry = trio.Event()
        self._began_at = -PACE_S  # the batch before
        self._progress = trio.Event()
        self._spooled = trio.Event()
        self._store_fails = False
        self._disk_fails = False

    # ---- for the calls ----------------------------------------------------------------------

    def keep(self, entry: Entry) -> None:
        """Take an entry. Never waits and never fails."""
        weight = _weight(entry)
        if len(self._waiting) >= MAX_WAITING or self._bytes + weight > MAX_WAITING_BYTES:
            self.refused += 1
            if self.refused == 1:
                _log.error("! journal is full, records are lost")
            return
        self._waiting.append(entry)
        self._bytes += weight
        self._kept += 1
        self._news.set()
        if len(self._waiting) >= BATCH_ENTRIES:
            self._full.set()
            self._hurry.set()

    async def spool(self, entry: Entry) -> None:
        """Put one entry on disk now, past the queue. Raises SpoolError."""
        await self._append([entry])

    async def flushed(self) -> None:
        """Wait until all that was kept so far is safe."""
        goal = self._kept
        while self._safe < goal:
            self._hurry.set()
            await self._progress.wait()

    async def drained(self) -> None:
        """Wait until all that was kept so far is in the database."""
        await self.flushed()
        while self._spool.waiting:
            await self._progress.wait()

    # ---- for who looks after it -------------------------------------------------------------

    def depth(self) -> int:
        """How many entries are in memory alone."""
        return len(self._waiting)

    def spooled(self) -> int:
        """How many wait on disk."""
        return self._spool.waiting

    def state(self) -> State:
        """Where records go now. "refusing": nowhere, they pile up in memory."""
        if self._disk_fails and (self._store_fails or self._spool.waiting):
            return "refusing"
        return "spooling" if self._store_fails or self._spool.waiting else "stored"

    # ---- the tasks --------------------------------------------------------------------------

    async def run(self) -> None:
        """Write for ever."""
        if self._spool.waiting:
            _log.warning("! records of before wait on disk", entries=self._spool.waiting)
            self._spooled.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            nursery.start_soon(self._replay)

    async def _write(self) -> None:
        failures = 0
        while True:
            await self._gathered()
            batch = [self._waiting[i] for i in range(min(len(self._waiting), BATCH_ENTRIES))]
            if await self._written(batch):
                failures = 0
                self._forget(batch)
            else:
                await trio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _gathered(self) -> None:
        await self._news.wait()
        with trio.move_on_after(BATCH_S):
            await self._full.wait()
        with trio.move_on_at(self._began_at + PACE_S):
            await self._hurry.wait()
        self._began_at = trio.current_time()

    async def _written(self, batch: Sequence[Entry]) -> bool:
        """Make a batch safe, one way or the other."""
        if not self._spool.waiting and await self._stored(batch, DIRECT_S):
            self._disk_fails = False  # nobody knows, and nobody needs it
            return True
        try:
            await self._append(batch)
        except SpoolError:
            return False
        return True

    def _forget(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            self._waiting.popleft()
            self._bytes -= _weight(entry)
        self._safe += len(batch)
        if not self._waiting:
            self._news = trio.Event()
        if len(self._waiting) < BATCH_ENTRIES:
            self._full, self._hurry = trio.Event(), trio.Event()
        self._tell()

    def _tell(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    async def _append(self, entries: Sequence[Entry]) -> None:
        try:
            await self._disk(lambda: self._spool.append([encode(entry) for entry in entries]))
        except SpoolError as failed:
            self._disk_fails = True
            _log.error("! spool takes no records", error=str(failed), waiting=self.depth())
            raise
        self._disk_fails = False
        self._spooled.set()

    async def _disk(self, work: Callable[[], T]) -> T:
        try:
            with trio.fail_after(SPOOL_S):
                return await self._on_disk(work)
        except trio.TooSlowError:
            raise SpoolError(f"no answer within {SPOOL_S:g} s") from None

    async def _replay(self) -> None:
        """Bring what waits on disk into the database, in order, whenever it takes it."""
        failures = 0
        while True:
            await self._spooled.wait()
            self._spooled = trio.Event()
            while True:
                try:
                    group = await self._disk(partial(self._spool.oldest, REPLAY_ENTRIES))
                    if not group.payloads:
                        break
                    done = await self._replayed(group)
                except SpoolError as failed:
                    _log.warning("! spool cannot be replayed", error=str(failed))
                    done = False
                if done:
                    failures = 0
                    self._tell()
                else:
                    await trio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                    failures += 1
            self._tell()

    async def _replayed(self, group: Group) -> bool:
        entries: list[Entry] = []
        unknown: list[bytes] = []
        for payload in group.payloads:
            try:
                entries.append(decode(payload))
            except UnknownEntry as error:
                _log.error("! unknown record, set aside", kind=error.kind)
                unknown.append(payload)
        if not await self._stored(entries, REPLAY_S):
            return False
        if unknown:
            await self._disk(partial(self._spool.set_aside, unknown))
        await self._disk(partial(self._spool.done, group))
        return True

    async def _stored(self, entries: Sequence[Entry], within_s: float) -> bool:
        try:
            with trio.fail_after(within_s):
                await self._in_store(partial(self._store.write, entries))
        except StoreError as failed:
            if failed.refused:
                return await self._stored_singly(entries, within_s)
            self._store_failed(str(failed))
            return False
        except trio.TooSlowError:
            self._store_failed(f"no answer within {within_s:g} s")
            return False
        if self._store_fails:
            _log.info("= the database is back", waiting=self._spool.waiting)
        self._store_fails = False
        return True

    async def _stored_singly(self, entries: Sequence[Entry], within_s: float) -> bool:
        """Store what the database takes, and set aside what it never will."""
        if len(entries) > 1:
            for entry in entries:
                if not await self._stored([entry], within_s):
                    return False
            return True
        kind = type(entries[0].record).__name__
        _log.error("! the database refuses a record, set aside", kind=kind)
        try:
            await self._disk(partial(self._spool.set_aside, [encode(entries[0])]))
        except SpoolError:
            return False
        return True

    def _store_failed(self, why: str) -> None:
        if not self._store_fails:
            _log.warning("! the database takes no records", error=why, waiting=self.depth())
        self._store_fails = True


def _weight(entry: Entry) -> int:
    record: Any = entry.record
    values = (getattr(record, field.name) for field in fields(record))
    return ENTRY_BYTES + sum(len(value) for value in values if isinstance(value, str))
