"""A store whose database is away, locked, or slow: it says so, in time, and works again after."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from relay.adapters import store_engine
from relay.adapters.store import SqlStore, open_store, upgrade
from relay.errors import StoreError
from relay.ports import CallOpened, Entry

AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def impatient(database_url: str) -> Any:
    """A store with the production settings, but shorter waits."""
    url = store_engine.parse_url(database_url)
    store = SqlStore(store_engine.make_engine(url, statement_s=1), url)
    yield store
    store.close()


def hold(database_url: str) -> Callable[[], None]:
    """Lock the calls table from another connection; returns the release."""
    engine = store_engine.make_engine(store_engine.parse_url(database_url))
    connection = engine.connect()
    connection.begin()
    if engine.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"))

    def release() -> None:
        connection.close()
        engine.dispose()

    return release


def test_a_lock_is_waited_for_but_not_for_ever(impatient: SqlStore, database_url: str) -> None:
    release = hold(database_url)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"locked|statement timeout"):
        impatient.write([Entry("CA1", AT, CallOpened(1.0, "MZ1", "+15550100"))])
    assert 0.5 < time.monotonic() - began < 60
    release()
    impatient.write([Entry("CA1", AT, CallOpened(1.0, "MZ1"))])
    assert impatient.call("CA1") is not None


def test_an_error_names_no_caller(database_url: str) -> None:
    engine = store_engine.make_engine(store_engine.parse_url(database_url))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE calls RENAME TO other"))
    store = open_store(database_url)
    try:
        with pytest.raises(StoreError) as caught:
            store.write([Entry("CA1", AT, CallOpened(1.0, "MZ1", "+15550100"))])
    finally:
        store.close()
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE other RENAME TO calls"))
        engine.dispose()
    chain = f"{caught.value} {caught.value.__cause__}"
    assert "calls" in chain
    assert "+15550100" not in chain
    assert "\n" not in str(caught.value)


def test_a_store_opens_before_its_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/later/relay.db"
    store = open_store(url)
    with pytest.raises(StoreError, match="unable to open"):
        store.ping()
    (tmp_path / "later").mkdir()
    upgrade(url)
    store.ping()
    assert store.call("CA1") is None
    store.close()


def test_a_server_that_dropped_every_connection_is_asked_again(
    migrated_postgresql: str, postgres: ModuleType
) -> None:
    store = open_store(migrated_postgresql)
    store.ping()
    engine = store_engine.make_engine(store_engine.parse_url(migrated_postgresql))
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name <> :own"
            ),
            {"own": postgres.OWN},
        )
    engine.dispose()
    store.write([Entry("CA1", AT, CallOpened(1.0, "MZ1"))])
    assert store.call("CA1") is not None
    store.close()


def test_sqlite_keeps_what_it_has_committed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relay.db"
    upgrade(url)
    engine = store_engine.make_engine(store_engine.parse_url(url))
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "secure_delete")
        }
    engine.dispose()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 5000,
        "secure_delete": 1,
    }


def test_reading_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relay.db"
    upgrade(url)
    store = open_store(url)
    release = hold(url)
    assert store.call("CA1") is None  # and this is before the release
    release()
    store.close()


def refuse_at_the_door(listener: socket.socket, message: bytes) -> None:
    """Be a PostgreSQL, or a pooler before one, that does not take a connection's options."""
    connection, _ = listener.accept()
    with connection:
        while int.from_bytes(connection.recv(8)[4:]) >> 16 != 3:  # TLS and the like are asked for
            connection.sendall(b"N")
        fields = b"SFATAL\0C08P01\0M" + message + b"\0\0"
        connection.sendall(b"E" + (4 + len(fields)).to_bytes(4) + fields)


def test_a_pooler_that_refuses_our_options_is_named() -> None:
    # PgBouncer 1.18 says it so, 1.20 and later "… in options: statement_timeout".
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        told = b"unsupported startup parameter: options"
        thread = threading.Thread(target=refuse_at_the_door, args=(listener, told))
        thread.start()
        with pytest.raises(StoreError, match="a pooler answers there") as caught:
            upgrade(f"postgresql://relay:secret@127.0.0.1:{port}/relay")
        thread.join()
    assert not caught.value.away, "a start must not wait for it to come back"
