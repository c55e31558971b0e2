"""The journal: in order, in batches, on disk when it must be, and never in a call's way."""

from __future__ import annotations

import errno
import itertools
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import trio

from relay.core.records import CallOpened
from relay.errors import StoreError
from relay.ports import Entry
from relay.shell import journal as module
from relay.shell.disk import Disk
from relay.shell.journal import (
    BATCH_ENTRIES,
    BATCH_S,
    DIRECT_S,
    PACE_S,
    SPOOL_S,
    Journal,
    in_threads,
)
from relay.shell.spool import framed, open_spool
from tests.fakes import FakeStore, MemoryDisk, memory_spool

WHEN = datetime(2026, 11, 23, tzinfo=UTC)


def entry(n: int) -> Entry:
    return Entry(f"CA{n}", WHEN, CallOpened(float(n), f"MZ{n}"))


def sids(store: FakeStore) -> list[str]:
    return [each.call_sid for each in store.entries]


def called(numbers: range) -> list[str]:
    return [f"CA{n}" for n in numbers]


class Inline:
    """Runs what blocks at once; what asks the store can be made slow, or never to end."""

    def __init__(self, store_s: float = 0.0, disk_s: float = 0.0) -> None:
        self.store_s = store_s
        self.disk_s = disk_s
        self.starts: list[float] = []

    async def __call__(self, function):
        of_store = "write" in repr(function) and "FakeStore" in repr(function)
        if of_store:
            self.starts.append(trio.current_time())
        await trio.sleep(self.store_s if of_store else self.disk_s)
        return function()


class Bench:
    """A journal with its store and disk, running."""

    def __init__(self, nursery: trio.Nursery, **times: float) -> None:
        self.store, self.disk, self.inline = FakeStore(), MemoryDisk(), Inline(**times)
        self.spool = memory_spool(self.disk)
        self.journal = Journal(self.store, self.spool, run_sync=self.inline)
        nursery.start_soon(self.journal.run)

    def keep(self, numbers: range) -> None:
        for n in numbers:
            self.journal.keep(entry(n))

    def break_disk(self, code: int = errno.ENOSPC) -> None:
        def fail(step: str) -> None:
            if step in {"create", "write", "sync"}:
                raise OSError(code, "No space left on device")

        self.disk.fail = fail


@pytest.fixture
def bench(nursery) -> Bench:
    return Bench(nursery)


# ---- the database answers -------------------------------------------------------------------


async def test_everything_is_written_in_order_and_in_batches(autojump_clock, bench: Bench) -> None:
    bench.keep(range(250))
    assert bench.journal.depth() == 250
    await bench.journal.flushed()
    assert sids(bench.store) == called(range(250))
    assert len(bench.inline.starts) == 3
    assert bench.journal.depth() == 0
    assert bench.journal.state() == "stored"
    assert bench.disk.files == {}, "the disk is not touched"


async def test_a_few_wait_for_more_and_a_hundred_do_not(autojump_clock, bench: Bench) -> None:
    bench.keep(range(1))
    await trio.sleep(BATCH_S / 2)
    bench.keep(range(1, 3))
    await bench.journal.flushed()
    bench.keep(range(3, 3 + BATCH_ENTRIES))
    await bench.journal.flushed()
    assert bench.inline.starts == pytest.approx([BATCH_S, BATCH_S])


async def test_a_little_all_the_time_is_written_now_and_then(autojump_clock, bench: Bench) -> None:
    for n in range(200):
        bench.keep(range(n, n + 1))
        await trio.sleep(0.01)
    waits = [b - a for a, b in itertools.pairwise(bench.inline.starts)]
    assert waits == pytest.approx([PACE_S] * len(waits))
    assert len(waits) == 7
    began = trio.current_time()
    bench.keep(range(200, 201))
    await bench.journal.flushed()
    assert trio.current_time() - began <= 2 * BATCH_S, "somebody waited for it"
    assert sids(bench.store) == called(range(201))


async def test_what_comes_while_a_batch_is_written_comes_after_it(autojump_clock, nursery) -> None:
    bench = Bench(nursery, store_s=0.5)
    bench.keep(range(1))
    await trio.sleep(0.3)
    bench.keep(range(1, 2))
    await bench.journal.flushed()
    assert sids(bench.store) == called(range(2))


async def test_flushed_waits_for_what_was_kept_so_far_only(autojump_clock, nursery) -> None:
    bench = Bench(nursery, store_s=0.2)

    async def goes_on() -> None:
        for n in range(1000):
            bench.keep(range(n, n + 1))
            await trio.sleep(0.01)

    nursery.start_soon(goes_on)
    await trio.sleep(0.1)
    await bench.journal.flushed()
    assert trio.current_time() < 1


async def test_nothing_to_write_is_flushed_at_once(autojump_clock, bench: Bench) -> None:
    with trio.fail_after(0.1):
        await bench.journal.flushed()
        await bench.journal.drained()


# ---- the database does not answer -----------------------------------------------------------


async def test_while_the_store_is_away_records_are_on_disk(autojump_clock, bench: Bench) -> None:
    bench.store.away = True
    with structlog.testing.capture_logs() as logs:
        bench.keep(range(250))
        await bench.journal.flushed()
        assert trio.current_time() < 1, "nobody waited for the database"
        assert (bench.journal.depth(), bench.journal.spooled()) == (0, 250)
        assert bench.journal.state() == "spooling"
        await trio.sleep(60)
        bench.store.away = False
        await bench.journal.drained()
    assert sids(bench.store) == called(range(250))
    assert bench.journal.state() == "stored"
    assert bench.disk.files == {}
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "! the database takes no records"),
        ("info", "= the database is back"),
    ]


async def test_what_comes_while_the_spool_is_replayed_comes_behind_it(
    autojump_clock, nursery
) -> None:
    bench = Bench(nursery, store_s=0.4)
    bench.store.away = True
    bench.keep(range(2000))
    await bench.journal.flushed()
    bench.store.away = False
    for n in range(2000, 2300):
        bench.keep(range(n, n + 1))
        await trio.sleep(0.01)
    await bench.journal.drained()
    assert sids(bench.store) == called(range(2300))
    bench.keep(range(2300, 2301))
    await bench.journal.flushed()
    assert sids(bench.store)[-1] == "CA2300", "and goes straight to the store again"


async def test_a_store_that_hangs_holds_nobody_longer_than_it_may(autojump_clock, nursery) -> None:
    bench = Bench(nursery, store_s=float("inf"))
    bench.keep(range(1))
    await bench.journal.flushed()
    assert trio.current_time() == pytest.approx(BATCH_S + DIRECT_S)
    assert bench.journal.spooled() == 1
    began = trio.current_time()
    bench.keep(range(1, 2))
    await bench.journal.flushed()
    assert trio.current_time() - began == pytest.approx(BATCH_S), "the second does not even ask"
    bench.inline.store_s = 0.0
    await bench.journal.drained()
    assert sids(bench.store) == called(range(2))


async def test_the_store_is_asked_again_but_not_all_the_time(autojump_clock, bench: Bench) -> None:
    bench.store.away = True
    bench.keep(range(1))
    await trio.sleep(30)
    starts = bench.inline.starts[1:]
    waits = [b - a for a, b in itertools.pairwise(starts)]
    assert waits == pytest.approx([0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0, 5.0], abs=0.01)


async def test_a_new_process_replays_what_the_last_one_left(autojump_clock, nursery) -> None:
    disk = MemoryDisk()
    async with trio.open_nursery() as life:
        bench = Bench(life)
        bench.disk.files = disk.files
        bench.store.away = True
        bench.keep(range(120))
        await bench.journal.flushed()
        life.cancel_scope.cancel()
    store = FakeStore()
    journal = Journal(store, memory_spool(disk), run_sync=Inline())
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(journal.run)
        journal.keep(entry(120))
        await journal.drained()
    assert sids(store) == called(range(121))
    assert logs[0]["entries"] == 120


async def test_one_entry_can_be_put_on_disk_at_once(autojump_clock, bench: Bench) -> None:
    bench.store.away = True
    await bench.journal.spool(entry(7))
    assert bench.journal.spooled() == 1
    bench.store.away = False
    await bench.journal.drained()
    assert sids(bench.store) == ["CA7"]


# ---- nor does the disk ----------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_with_neither_records_wait_in_memory_and_the_operator_is_told(
    autojump_clock, bench: Bench, code: int
) -> None:
    bench.store.away = True
    bench.break_disk(code)
    with structlog.testing.capture_logs() as logs:
        bench.keep(range(150))
        await trio.sleep(10)
        assert bench.journal.state() == "refusing"
        assert (bench.journal.depth(), bench.journal.refused) == (150, 0)
        bench.store.away = False
        await bench.journal.flushed()
    assert sids(bench.store) == called(range(150))
    assert bench.journal.state() == "stored"
    assert "! spool takes no records" in {
        line["event"] for line in logs if line["log_level"] == "error"
    }


async def test_a_disk_that_is_back_takes_what_waited(autojump_clock, bench: Bench) -> None:
    bench.store.away = True
    bench.break_disk()
    bench.keep(range(150))
    await trio.sleep(10)
    bench.disk.fail = lambda step: None
    await bench.journal.flushed()
    assert bench.journal.spooled() == 150
    assert bench.journal.state() == "spooling"
    bench.store.away = False
    await bench.journal.drained()
    assert sids(bench.store) == called(range(150))


async def test_a_disk_that_fills_up_meanwhile_loses_nothing(autojump_clock, bench: Bench) -> None:
    bench.store.away = True
    bench.keep(range(100))
    await bench.journal.flushed()
    bench.break_disk()
    bench.keep(range(100, 200))
    await trio.sleep(5)
    assert bench.journal.state() == "refusing"
    bench.store.away = False
    await bench.journal.flushed()
    await bench.journal.drained()
    assert sids(bench.store) == called(range(200))


async def test_a_disk_that_hangs_is_one_that_fails(autojump_clock, nursery) -> None:
    bench = Bench(nursery, disk_s=SPOOL_S * 2)
    bench.store.away = True
    bench.keep(range(1))
    await trio.sleep(SPOOL_S + 1)
    assert bench.journal.state() == "refusing"
    bench.store.away = False
    await bench.journal.flushed()
    assert sids(bench.store)[0] == "CA0"


async def test_a_slow_disk_is_no_fault(autojump_clock, nursery) -> None:
    bench = Bench(nursery, disk_s=0.3)
    bench.store.away = True
    bench.keep(range(300))
    await bench.journal.flushed()
    assert bench.journal.state() == "spooling"
    assert bench.journal.spooled() == 300


@pytest.mark.parametrize(("bound", "value"), [("MAX_WAITING", 3), ("MAX_WAITING_BYTES", 1300)])
async def test_a_full_journal_refuses_the_newest_and_says_so_once(
    autojump_clock, monkeypatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(module, bound, value)
    journal = Journal(FakeStore(), memory_spool())
    with structlog.testing.capture_logs() as logs:
        for n in range(10):
            journal.keep(entry(n))
    assert (journal.depth(), journal.refused) == (3, 7)
    assert [line["log_level"] for line in logs] == ["error"]


async def test_room_comes_back(autojump_clock, bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1300)
    for n in range(30):
        bench.keep(range(n, n + 1))
        await bench.journal.flushed()
    assert bench.journal.refused == 0


# ---- entries that nobody takes --------------------------------------------------------------


class Picky(FakeStore):
    """Refuses batches with one entry in them, for ever; as a database does with a bad value."""

    def write(self, entries):
        if any(each.call_sid == "CA13" for each in entries):
            raise StoreError("value out of range", refused=True)
        super().write(entries)


@pytest.mark.parametrize("away_first", [False, True])
async def test_an_entry_that_the_database_refuses_holds_up_nobody(
    autojump_clock, bench: Bench, away_first: bool
) -> None:
    picky = Picky()
    bench.journal._store = picky
    picky.away = away_first
    with structlog.testing.capture_logs() as logs:
        bench.keep(range(30))
        if away_first:
            bench.journal._store = FakeStore(away=True)
            await bench.journal.flushed()
            picky.away = False
            bench.journal._store = picky
        await bench.journal.drained()
    assert sids(picky) == [f"CA{n}" for n in range(30) if n != 13]
    assert [line["kind"] for line in logs if "refuses" in line["event"]] == ["CallOpened"]
    again = open_spool(Path("spool"), MemoryDisk(files=bench.disk.files))
    assert again.waiting == 1, "it is tried again at the next start"
    assert b"CA13" in again.oldest(9).payloads[0]


async def test_a_record_of_another_version_is_set_aside(autojump_clock, nursery) -> None:
    disk = MemoryDisk()
    before = memory_spool(disk)
    future = b'{"v":9,"kind":"Hologram","call_sid":"CA1","at":"2027-01-01T00:00:00Z","record":{}}'
    before.append([b"nonsense", future])
    store = FakeStore()
    journal = Journal(store, memory_spool(disk), run_sync=Inline())
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(journal.run)
        journal.keep(entry(1))
        await journal.drained()
    assert sids(store) == ["CA1"]
    kinds = [line["kind"] for line in logs if line["event"] == "! unknown record, set aside"]
    assert kinds[1] == "Hologram of version 9"
    (kept,) = disk.files.values()
    assert kept.endswith(framed(b"nonsense") + framed(future))


async def test_a_bug_in_the_store_is_not_swallowed(autojump_clock) -> None:
    class Broken(FakeStore):
        def write(self, entries):
            raise ZeroDivisionError

    journal = Journal(Broken(), memory_spool(), run_sync=Inline())
    journal.keep(entry(1))
    with pytest.RaisesGroup(ZeroDivisionError):
        await journal.run()


# ---- real threads ---------------------------------------------------------------------------


async def test_a_hung_database_costs_its_threads_and_nothing_else(tmp_path: Path) -> None:
    """On the real clock: records are safe on disk, and the journal can be ended."""
    store, spool = FakeStore(hung=True), open_spool(tmp_path)
    before = threading.active_count()
    journal = Journal(store, spool)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        with trio.fail_after(DIRECT_S + 3):
            journal.keep(entry(1))
            await journal.flushed()
        assert threading.active_count() - before <= module.THREADS + 2
        nursery.cancel_scope.cancel()
    assert store.entries == []
    assert spool.waiting == 1
    store.release.set()
    spool.close()


async def test_no_more_threads_than_allowed_hang() -> None:
    """The next one waits for its turn, and its caller gives up as usual."""
    release, running = threading.Event(), []

    def hang() -> None:
        running.append(1)
        release.wait(10)

    run = in_threads(2)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(run, hang)
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    assert len(running) == 2
    release.set()


async def test_a_full_disk_does_not_stop_the_records(tiny_disk: Path) -> None:
    """A disk of 200 KiB, and 600 KiB of records, with the database away meanwhile."""
    store, spool = FakeStore(away=True), open_spool(tiny_disk / "spool", Disk())
    journal = Journal(store, spool)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        with structlog.testing.capture_logs(), trio.fail_after(20):
            for n in range(2000):
                journal.keep(Entry(f"CA{n}", WHEN, CallOpened(float(n), "M" * 300)))
            while journal.state() != "refusing":  # noqa: ASYNC110 - threads set no trio event
                await trio.sleep(0.01)
            assert 0 < journal.spooled() < 2000
            assert journal.refused == 0
            store.away = False
            await journal.flushed()
            await journal.drained()
        nursery.cancel_scope.cancel()
    assert sorted(set(sids(store))) == sorted(called(range(2000)))
    spool.close()
