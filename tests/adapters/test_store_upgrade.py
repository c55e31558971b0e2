"""Tables from nothing, from a half-way house, from several processes at once; and faults."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from relay.adapters.store import open_store, upgrade
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import metadata
from relay.adapters.store_upgrade import alembic_config
from relay.errors import ConfigError, StoreError
from relay.ports import Appointment, ChangeRequest, Entry, OutcomeSettled


def engine_of(url: str) -> sa.Engine:
    return make_engine(parse_url(url), poolclass=NullPool)


def tables(url: str) -> set[str]:
    return set(sa.inspect(engine_of(url)).get_table_names())


def test_the_migrations_make_the_tables_that_the_code_knows(empty_url: str) -> None:
    upgrade(empty_url)
    with engine_of(empty_url).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_an_upgrade_is_done_once_and_keeps_what_is_there(empty_url: str) -> None:
    upgrade(empty_url)
    store = open_store(empty_url)
    settled = OutcomeSettled("abandoned", "r")
    store.write([Entry("CA1", datetime(2026, 11, 20, tzinfo=UTC), settled)])
    upgrade(empty_url)
    row = store.call("CA1")
    store.close()
    assert row is not None
    assert row.outcome == "abandoned"


def test_a_booking_of_an_older_version_keeps_its_key_s_answer(empty_url: str) -> None:
    """What was booked before changes were written down can be found, and moved."""
    ten = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
    at = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    with engine_of(empty_url).begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            sa.text(
                "INSERT INTO bookings (key, reference, service, starts_at, name, phone, booked_at)"
                " VALUES ('k1', '123456', 'cleaning', :ten, 'Ann', '+15550100', :at)"
            ).bindparams(sa.bindparam("ten", ten, sa.DateTime), sa.bindparam("at", at, sa.DateTime))
        )
    upgrade(empty_url)
    store = open_store(empty_url)
    old = Appointment("123456", "cleaning", ten, "Ann")
    assert store.find("k1") == old
    assert store.of_phone("+15550100", ten - timedelta(days=1)) == [old]
    later = ten + timedelta(hours=1)
    moved = store.change(ChangeRequest("123456", "+15550100", later), "k2", at, [later])
    assert moved == Appointment("123456", "cleaning", later, "Ann")
    assert store.find("k1") == old
    store.close()


REVISIONS = [
    step.revision for step in ScriptDirectory.from_config(alembic_config()).walk_revisions()
][::-1]
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RENAMED = {("transcripts", "at"): "started_at"}


def value(column: sa.Column[Any]) -> object:
    """Something for a column, by its type; of the same call wherever there is one."""
    match column.type:
        case sa.Boolean():
            return True
        case sa.Integer():
            return 41
        case sa.DateTime(timezone=True):
            return NOON
        case sa.DateTime():
            return NOON.replace(tzinfo=None)
        case sa.Date():
            return NOON.date()
        case sa.LargeBinary():
            return b"sound"
    return "CA1" if column.name == "call_sid" else f"{column.table.name} {column.name}"


def told(url: str) -> dict[str, dict[str, object]]:
    """The one row of each table, as the driver gives it; a column's new name is its old one."""
    rows: dict[str, dict[str, object]] = {}
    engine = engine_of(url)
    with engine.connect() as connection:
        for table in set(sa.inspect(connection).get_table_names()) - {"alembic_version"}:
            query = sa.text(f"SELECT * FROM {table}")  # noqa: S608 - to reflect them takes longer
            [row] = connection.execute(query).mappings().all() or [{}]
            rows[table] = {RENAMED.get((table, name), name): each for name, each in row.items()}
    engine.dispose()
    return rows


@pytest.mark.parametrize("revision", REVISIONS)
def test_all_that_any_older_version_kept_is_there_and_read(empty_url: str, revision: str) -> None:
    engine = engine_of(empty_url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        old = sa.MetaData()
        old.reflect(connection)
        for table in old.sorted_tables:
            if table.name != "alembic_version":
                row = {column.name: value(column) for column in table.c}
                connection.execute(table.insert().values(row))
    engine.dispose()
    before = told(empty_url)
    upgrade(empty_url)
    after = told(empty_url)
    for name, row in before.items():
        assert row.items() <= after[name].items(), name
    with closing(open_store(empty_url)) as store:
        assert store.call("CA1") is not None
        assert store.past("CA1") is not None
        assert len(store.overview(9)) == 1
        assert [day.day for day in store.costs(9)] == [NOON.date()] * ("spend" in before)
        assert "transcripts" in store.everything("CA1")
        assert [each.reference for each in store.of_phone("bookings phone", NOON.min)] == (
            ["bookings reference"] if before["bookings"].get("state", "booked") == "booked" else []
        )
        assert store.forget_words(NOON + timedelta(days=1)) > 0
        store.erase("+15550100", NOON, ["CA1"])
        assert store.call("CA1") is None


def test_a_downgrade_leaves_nothing(empty_url: str) -> None:
    upgrade(empty_url)
    with engine_of(empty_url).begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert tables(empty_url) == {"alembic_version"}


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    """A foreign table in the way of the last one: the first ones are rolled back."""
    with engine_of(empty_url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE stream_claims (x integer)"))
    with pytest.raises(StoreError, match="stream_claims"):
        upgrade(empty_url)
    assert tables(empty_url) == {"stream_claims"}


def test_processes_that_start_at_once_all_find_the_tables(empty_url: str) -> None:
    """Three of them: forks, which have imported everything before they begin."""
    program = (
        "import os, sys\n"
        "from datetime import datetime, UTC\n"
        "from relay.adapters.store import open_store, upgrade\n"
        "others = []\n"
        "while len(others) < 2 and (other := os.fork()):\n"
        "    others.append(other)\n"
        "upgrade(sys.argv[1])\n"
        "store = open_store(sys.argv[1])\n"
        "claimed = store.claim_stream('n', 'CA1', datetime.now(UTC))\n"
        "os.write(1, f'{claimed}\\n'.encode())\n"  # one write: no other's gets into it
        "if len(others) == 2:\n"
        "    sys.exit(any([os.waitpid(other, 0)[1] for other in others]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, empty_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == ["False", "False", "True"]


@pytest.mark.parametrize("number", range(10))
def test_threads_that_meet_on_a_new_file_all_find_the_tables(tmp_path: Path, number: int) -> None:
    """A process is slow to start; threads meet closer, and SQLite cannot tell them apart."""
    url = f"sqlite:///{tmp_path}/relay.db"
    meet = threading.Barrier(6)

    def start(_: int) -> None:
        meet.wait()
        upgrade(url)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(6)))
    assert "calls" in tables(url)


def test_tables_of_a_newer_program_are_left_alone(empty_url: str) -> None:
    upgrade(empty_url)
    with engine_of(empty_url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"\(9999\) are newer"):
        upgrade(empty_url)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="its folder must exist") as caught:
        upgrade(f"sqlite:///{tmp_path}/none/relay.db")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_text("this is a letter, and no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        upgrade(f"sqlite:///{tmp_path}/relay.db")


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    """Read-only for everybody, root included, by way of SQLite itself."""
    path = tmp_path / "relay.db"
    upgrade(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="readonly"):
        upgrade(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StoreError) as caught:
        upgrade("postgres://relay:hunter2@127.0.0.1:1/relay")
    assert "Connection refused" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_not_there(migrated_postgresql: str) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        upgrade(migrated_postgresql.replace("/migrated", "/nowhere"))


@pytest.mark.parametrize(
    "url", ["", "relay.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgres://h:port/x"]
)
def test_what_is_no_database_url(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        upgrade(url)
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d?sslmode=require", "postgresql+psycopg"),
        ("sqlite:///relay.db", "sqlite"),
    ],
)
def test_every_spelling_of_a_url(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver
