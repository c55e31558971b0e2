"""Databases to begin with, and what one holds, read past the store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa

from relay.adapters.store import upgrade
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import metadata

Row: TypeAlias = dict[str, Any]


def migrated(file: Path) -> str:
    """The URL of a new SQLite file whose tables are there and empty."""
    file.write_bytes(_migrated())
    return f"sqlite:///{file}"


@cache
def _migrated() -> bytes:
    """Migrated once a process: a migration takes fifty times as long as a copy."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "relay.db"
        upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def rows(url: str, table: str) -> list[Row]:
    """Every row of a table, by its primary key, read through an engine of our own."""
    with reading(url) as read:
        return read(table)


@contextmanager
def reading(url: str) -> Iterator[Callable[[str], list[Row]]]:
    """The same for who reads often: a PostgreSQL spends more on a connection than on a query."""
    engine = make_engine(parse_url(url))

    def read(table: str) -> list[Row]:
        found = metadata.tables[table]
        with engine.connect() as connection:
            query = sa.select(found).order_by(*found.primary_key)
            return [dict(row) for row in connection.execute(query).mappings()]

    try:
        yield read
    finally:
        engine.dispose()
