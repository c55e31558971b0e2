"""What the adapters' tests share: a business of our own, its clock, and databases to throw away.

One PostgreSQL server runs for the whole session, with one migrated database that is emptied for
each test, row by row: to make one, or to truncate its tables, takes longer than most tests do.
Without a server the tests fail, never skip.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

from relay.adapters.store import SqlStore, open_store, upgrade
from relay.adapters.store_tables import metadata
from tests.databases import migrated
from tests.fakes import MemoryBookings


def load(path: Path) -> ModuleType:
    """A Python file as a module: this folder is no package."""
    name = f"relay_tests_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_postgres = load(Path(__file__).with_name("postgres.py"))

T = TypeVar("T")

# Friday, 20 November 2026, 10:00 in New York.
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)

BUSINESS = """
name = "Test Clinic"
timezone = "America/New_York"
slot_minutes = 30

[hours]
monday = ["09:00-12:00", "13:00-17:00"]
tuesday = ["09:00-17:00"]
wednesday = ["09:00-10:30"]
thursday = ["09:00-17:00"]
friday = ["09:00-11:30"]

[[services]]
name = "Cleaning"
minutes = 30
[[services]]
name = "filling"
minutes = 60

[[holidays]]
date = "2026-11-26"
note = "Thanksgiving"
[[holidays]]
date = "12-24"
note = "Christmas Eve"
open = ["09:00-12:00"]

[facts]
parking = "behind the house"
"""


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = FRIDAY

    def __call__(self) -> datetime:
        return self.now


async def run_inline(function: Callable[[], T]) -> T:
    """Blocking calls without threads."""
    return function()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory_bookings() -> MemoryBookings:
    return MemoryBookings()


@pytest.fixture
def inline() -> Callable[[Callable[[], T]], object]:
    return run_inline


@pytest.fixture
def business_path(tmp_path: Path) -> Path:
    path = tmp_path / "business.toml"
    path.write_text(BUSINESS)
    return path


# ---- databases ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> ModuleType:
    """tests/adapters/postgres.py."""
    return _postgres


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[Path]:
    """The socket's folder of a PostgreSQL server that runs for the whole session."""
    with _postgres.running() as home:
        _postgres.execute(home, "CREATE DATABASE migrated")
        upgrade(_postgres.url(home, "migrated"))
        yield home


@pytest.fixture(scope="session")
def bulldozer(postgres_home: Path) -> Iterator[Callable[[], object]]:
    """Leaves no table in the database `bare`: to make a new one takes three times as long."""
    _postgres.execute(postgres_home, "CREATE DATABASE bare")
    with _postgres.connected(postgres_home, "bare") as connection:
        connection.execute(b"SET lock_timeout = '10s'")  # a test that has left a lock there
        yield partial(connection.execute, b"DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture
def empty_postgresql(postgres_home: Path, bulldozer: Callable[[], object]) -> str:
    """The URL of a PostgreSQL database without tables."""
    bulldozer()
    return str(_postgres.url(postgres_home, "bare"))


@pytest.fixture(scope="session")
def broom(postgres_home: Path) -> Iterator[Callable[[], object]]:
    """Empties the migrated database, over one connection: to open one takes ten times as long."""
    emptied = "; ".join(str(table.delete()) for table in reversed(metadata.sorted_tables))
    with _postgres.connected(postgres_home, "migrated") as connection:
        yield partial(connection.execute, emptied.encode())


@pytest.fixture
def migrated_postgresql(postgres_home: Path, broom: Callable[[], object]) -> str:
    """The URL of a PostgreSQL database whose tables are there and empty."""
    broom()
    return str(_postgres.url(postgres_home, "migrated"))


@pytest.fixture
def migrated_sqlite(tmp_path: Path) -> str:
    """The URL of an SQLite database whose tables are there and empty."""
    return migrated(tmp_path / "relay.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return str(request.getfixturevalue("empty_postgresql"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with all its tables."""
    return str(request.getfixturevalue(f"migrated_{request.param}"))


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    store = open_store(database_url)
    yield store
    store.close()
