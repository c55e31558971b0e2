"""The journal: in order, in batches, again and again, and never in a call's way."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import structlog
import trio

from relay.core.records import CallOpened
from relay.errors import StoreError
from relay.ports import Entry
from relay.shell import journal as module
from relay.shell.journal import BATCH_ENTRIES, WRITE_S, Journal
from tests.fakes import FakeStore

WHEN = datetime(2026, 11, 23, tzinfo=UTC)


def entry(n: int) -> Entry:
    return Entry(f"CA{n}", WHEN, CallOpened(float(n), f"MZ{n}"))


class Batches:
    """Runs writes inline and counts them; a write can be made slow, or never to end."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.starts: list[float] = []

    async def __call__(self, write) -> None:
        self.starts.append(trio.current_time())
        await trio.sleep(self.seconds)
        write()


async def test_everything_is_written_in_order_and_in_batches(autojump_clock, nursery):
    store, batches = FakeStore(), Batches()
    journal = Journal(store, run_sync=batches)
    nursery.start_soon(journal.run)
    for n in range(250):
        journal.keep(entry(n))
    assert journal.depth() == 250
    await journal.flushed()
    assert [e.call_sid for e in store.entries] == [f"CA{n}" for n in range(250)]
    assert len(batches.starts) == 3
    assert journal.depth() == 0


async def test_what_comes_while_a_batch_is_written_comes_after_it(autojump_clock, nursery):
    store = FakeStore()
    journal = Journal(store, run_sync=Batches(1.0))
    nursery.start_soon(journal.run)
    journal.keep(entry(1))
    await trio.sleep(0.5)
    journal.keep(entry(2))
    await journal.flushed()
    assert [e.call_sid for e in store.entries] == ["CA1", "CA2"]


async def test_a_store_that_is_away_gets_everything_when_it_is_back(autojump_clock, nursery):
    store = FakeStore(away=True)
    batches = Batches()
    journal = Journal(store, run_sync=batches)
    nursery.start_soon(journal.run)
    with structlog.testing.capture_logs() as logs:
        for n in range(BATCH_ENTRIES + 1):
            journal.keep(entry(n))
        await trio.sleep(20)
        assert journal.failing
        assert store.entries == []
        journal.keep(entry(999))
        store.away = False
        await journal.flushed()
    assert [e.call_sid for e in store.entries][-2:] == [f"CA{BATCH_ENTRIES}", "CA999"]
    assert len(store.entries) == BATCH_ENTRIES + 2
    assert not journal.failing
    waits = [b - a for a, b in zip(batches.starts, batches.starts[1:], strict=False)]
    assert waits[:4] == pytest.approx([0.3, 0.55, 1.05, 2.05], abs=0.01)
    assert max(waits) < 5.1
    assert len(logs) == len([w for w in waits if w > 0.2])


async def test_a_store_that_hangs_is_asked_again(autojump_clock, nursery):
    store, batches = FakeStore(), Batches(float("inf"))
    journal = Journal(store, run_sync=batches)
    nursery.start_soon(journal.run)
    journal.keep(entry(1))
    await trio.sleep(WRITE_S + 0.1)
    assert journal.failing
    batches.seconds = 0.0
    await journal.flushed()
    assert len(store.entries) == 1
    assert not journal.failing


async def test_a_full_journal_refuses_the_newest_and_says_so_once(autojump_clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    journal = Journal(FakeStore())
    with structlog.testing.capture_logs() as logs:
        for n in range(10):
            journal.keep(entry(n))
    assert (journal.depth(), journal.refused) == (3, 7)
    assert [line["log_level"] for line in logs] == ["error"]


async def test_nothing_to_write_is_flushed_at_once(autojump_clock):
    with trio.fail_after(0.1):
        await Journal(FakeStore()).flushed()


async def test_a_bug_in_the_store_is_not_swallowed(autojump_clock):
    class Broken(FakeStore):
        def write(self, entries):
            raise ZeroDivisionError

    journal = Journal(Broken(), run_sync=Batches())
    journal.keep(entry(1))
    with pytest.raises(ZeroDivisionError):
        await journal.run()


async def test_writes_really_run_in_a_thread_that_a_hung_store_may_keep():
    """On the real clock: a hung database holds up nobody who ends the journal."""
    store = FakeStore(hung=True)
    journal = Journal(store)
    with trio.move_on_after(0.3) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            journal.keep(entry(1))
            await journal.flushed()
    assert scope.cancelled_caught
    assert store.entries == []
    store.release.set()
    with trio.fail_after(2):
        while not store.entries:  # noqa: ASYNC110 - the thread cannot set a trio event
            await trio.sleep(0.01)


def test_a_store_error_is_what_an_absent_store_raises():
    with pytest.raises(StoreError):
        FakeStore(away=True).write([])
