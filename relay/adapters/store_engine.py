"""From a DATABASE_URL to an engine, and from a driver's error to one line of ours.

SQLite: WAL, so that readers never wait for the writer; synchronous=FULL, so that what was
committed survives a power cut; every writing transaction says BEGIN IMMEDIATE, so that it waits
its turn at the start instead of failing in the middle. The driver's own transaction handling is
switched off, because it begins too late.

PostgreSQL: bounded in every direction (connecting, a statement, a dead peer), and without
server-side prepared statements. The bounds go along as a connection is opened, which poolers
such as PgBouncer refuse: a few connections a process need none. One that accepts connections and
refuses to write, as in a fail-over, is away.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)

from relay.errors import ConfigError, StoreError

# What is bounded, in seconds. Nobody waits for a write in a call; a claim has its own deadline.
CONNECT_S = 3
STATEMENT_S = 5

# One journal, stream claims, bookings: more connections than this would only queue elsewhere.
POOL_SIZE = 4


def parse_url(database_url: str) -> URL:
    """The URL with its driver. Raises ConfigError for what is neither SQLite nor PostgreSQL."""
    try:
        url = sa.make_url(database_url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "DATABASE_URL is no database URL; write sqlite:///relay.db or postgresql://…"
        ) from error
    match url.drivername:
        case "postgres" | "postgresql" | "postgresql+psycopg":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite" | "sqlite+pysqlite" if url.database and url.database != ":memory:":
            return url.set(drivername="sqlite")
        case "sqlite" | "sqlite+pysqlite":
            raise ConfigError("DATABASE_URL: SQLite needs a file, as in sqlite:///relay.db")
        case other:
            raise ConfigError(f"DATABASE_URL: {other}:// is unknown; use sqlite or postgresql")


def make_engine(url: URL, *, statement_s: int = STATEMENT_S, **pool: Any) -> sa.Engine:
    """An engine for a parsed URL. Connects to nothing yet.

    statement_s: how long one statement may take; on SQLite, how long it waits for the lock.
    """
    # Parameters are what callers said: they never belong into an error's text.
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            url, connect_args={"timeout": statement_s}, hide_parameters=True, **pool
        )
        sa.event.listen(engine, "connect", _on_sqlite_connect)
        sa.event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    engine = sa.create_engine(
        url,
        connect_args={
            "connect_timeout": CONNECT_S,
            "prepare_threshold": None,
            "application_name": "relay",
            "options": f"-c statement_timeout={statement_s * 1000} -c timezone=UTC",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_S * 1000,
        },
        hide_parameters=True,
        pool_pre_ping=True,
        **pool,
    )
    sa.event.listen(engine, "handle_error", _on_postgresql_error)
    return engine


def pooled(url: URL) -> sa.Engine:
    """The engine of a running relay."""
    return make_engine(
        url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=STATEMENT_S, pool_use_lifo=True
    )


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")


def _switch_to_wal(connection: Any) -> None:
    """Done once in the life of a file; afterwards it only asks.

    Of several processes that meet on a new file, SQLite refuses some at once, without the
    patience that it has for every other lock. So the patience is here.
    """
    give_up_at = time.monotonic() + STATEMENT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
        time.sleep(0.01)


def _on_sqlite_begin(connection: sa.Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


#: The SQLSTATE of who does not write: a standby, or who was the primary before a fail-over.
_READ_ONLY: Final = "25006"


def _read_only(error: BaseException | None) -> bool:
    return getattr(error, "sqlstate", None) == _READ_ONLY


#: The SQLSTATEs of what is beyond a limit of the server's own, as a key too long for its index.
_BEYOND_LIMITS: Final = "54"


def _refused(error: SQLAlchemyError) -> bool:
    """Whether what was to be written is at fault: it will be taken at no other time."""
    if isinstance(error, DataError | IntegrityError):
        return True
    # A plain StatementError is a value that did not even reach the driver.
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return type(error) is StatementError or sqlstate.startswith(_BEYOND_LIMITS)


def _on_postgresql_error(context: sa.engine.ExceptionContext) -> None:
    """Give up connections to who does not write: the next ones may lead to who does by now."""
    if _read_only(context.original_exception):
        context.is_disconnect = True


#: What a PostgreSQL says at the door that will be over soon.
_SOON: Final = ("starting up", "shutting down", "recovery mode", "too many clients")


def _away(error: SQLAlchemyError, text: str) -> bool:
    """Whether nobody answered, or nobody who writes. Who says FATAL has answered: to a wrong
    password, say."""
    if _refused(error):
        return False
    if _read_only(getattr(error, "orig", None)):
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    return "FATAL:" not in text or any(words in text for words in _SOON)


@contextmanager
def mapped(url: URL) -> Iterator[None]:
    """Turn whatever the database raises into a StoreError of one line, without personal values."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        lines = str(cause).splitlines() or [type(cause).__name__]
        line = lines[0].strip()
        if "unable to open database file" in line:
            line += ": its folder must exist, and the relay be allowed to write in it"
        if "readonly database" in line:
            line += ": the relay must be allowed to write in it"
        if "unsupported startup parameter" in line:
            line += ": a pooler answers there, and DATABASE_URL needs the direct address"
        away = url.get_backend_name() == "postgresql" and _away(error, str(cause))
        shown = url.render_as_string(hide_password=True)
        raise StoreError(
            f"DATABASE_URL {shown}: {line}", refused=_refused(error), away=away
        ) from error
    except OverflowError as error:  # SQLite's driver; PostgreSQL says so itself
        shown = url.render_as_string(hide_password=True)
        raise StoreError(f"DATABASE_URL {shown}: {error}", refused=True) from error
