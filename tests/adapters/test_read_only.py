"""A PostgreSQL that takes connections and refuses to write, as an old primary after a fail-over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import structlog.testing
import trio

from relay import wiring_store
from relay.adapters.store import SqlStore, open_store
from relay.core.records import CallOpened, TranscriptLine
from relay.errors import StoreError
from relay.ports import Entry, WriteBegun
from relay.shell.intents import Answer, Intents
from relay.shell.journal import Journal
from relay.shell.spool import open_spool
from relay.web.health import Probe
from tests.databases import rows

AT = datetime(2026, 11, 20, tzinfo=UTC)
LINES = 12


class Switch:
    """Has the session's server refuse to write, for everybody who is connected or will be."""

    def __init__(self, run: Callable[[str], None]) -> None:
        self._run = run

    def off(self) -> None:
        self._run("ALTER SYSTEM SET default_transaction_read_only = on")
        self._run("SELECT pg_reload_conf()")

    def on(self) -> None:
        self._run("ALTER SYSTEM RESET default_transaction_read_only")
        self._run("SELECT pg_reload_conf()")


@pytest.fixture
def writing(postgres: ModuleType, postgres_home: Path) -> Iterator[Switch]:
    switch = Switch(partial(postgres.execute, postgres_home))
    yield switch
    switch.on()


@contextmanager
def opened(url: str) -> Iterator[SqlStore]:
    store = open_store(url)
    yield store
    store.close()


def line(number: int) -> Entry:
    text = f"line {number}"
    return Entry("CA1", AT, TranscriptLine(0.0, f"i{number}", "caller", number, text, text))


async def until(condition: Callable[[], object]) -> None:
    """The server's settings take a moment."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await trio.sleep(0.01)


async def test_records_wait_on_disk_and_arrive_when_it_writes_again(
    migrated_postgresql: str, tmp_path: Path, writing: Switch
) -> None:
    with opened(migrated_postgresql) as store:
        spool = open_spool(tmp_path)
        journal = Journal(store, spool)
        write = partial(wiring_store.probe, store)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(journal.run)
            journal.keep(Entry("CA1", AT, CallOpened(0.0, "MZ1", "+15551230001")))
            await journal.drained()
            assert await Probe(write, journal).database() == "ok"
            writing.off()
            for number in range(LINES):
                journal.keep(line(number))
                await until(lambda: journal.depth() == 0)
            await until(lambda: journal.state() == "spooling")
            assert spool.waiting > 0
            assert await Probe(write, journal).database() == "away"
            assert [row["call_sid"] for row in rows(migrated_postgresql, "calls")] == ["CA1"]
            writing.on()
            with trio.fail_after(30):
                await journal.drained()
            assert journal.state() == "stored"
            tasks.cancel_scope.cancel()
        assert not spool.waiting
        spool.close()
    assert journal.refused == 0
    stored = sorted(row["position"] for row in rows(migrated_postgresql, "transcripts"))
    assert stored == list(range(LINES)), "all of them, and none twice"


async def test_a_wish_is_kept_on_disk_before_the_business_is_asked(
    migrated_postgresql: str, tmp_path: Path, writing: Switch
) -> None:
    told: list[Answer] = []

    async def booked() -> Answer:
        assert spool.waiting == 1
        return Answer("{}", ok=True, status="done", outcome="booked")

    with opened(migrated_postgresql) as store, structlog.testing.capture_logs() as logs:
        spool = open_spool(tmp_path)
        journal = Journal(store, spool)
        intents = Intents(store, journal, unavailable="no")
        writing.off()
        await until(lambda: _refuses(store))
        wish = WriteBegun("k", "+15551230001", "book", "{}", "call_1")
        await intents.once("CA1", wish, booked, told.append)
        spool.close()
    assert [answer.ok for answer in told] == [True]
    assert "! intent goes to the spool" in [each["event"] for each in logs]


async def test_its_connections_are_given_up_since_another_may_write_by_now(
    migrated_postgresql: str, writing: Switch
) -> None:
    with opened(migrated_postgresql) as store:
        before = _backend(store)
        assert _backend(store) == before, "kept, as long as it writes"
        writing.off()
        await until(lambda: _refuses(store))
        writing.on()
        await until(lambda: not _refuses(store))
        assert _backend(store) != before


async def test_a_start_waits_for_one_that_writes(
    migrated_postgresql: str, writing: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring_store, "AGAIN_S", 0.05)
    with opened(migrated_postgresql) as store, structlog.testing.capture_logs() as logs:
        writing.off()
        await until(lambda: _refuses(store))
        assert not await wiring_store.prepare(store, migrated_postgresql)
        with pytest.raises(StoreError, match="not been reached"):
            store.ping()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(wiring_store.prepare_when_back, store, migrated_postgresql)
            await trio.sleep(0.3)
            writing.on()
        store.ping()
    assert "! the database cannot be used" not in [each["event"] for each in logs]


def _refuses(store: SqlStore) -> bool:
    """A record that was refused would be set aside: this one is to be tried again."""
    try:
        wiring_store.probe(store)
    except StoreError as error:
        return "read-only" in str(error) and error.away and not error.refused
    return False


def _backend(store: SqlStore) -> int:
    with store._engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
