"""What a database holds, read past the store."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import metadata


def rows(url: str, table: str) -> list[dict[str, Any]]:
    """Every row of a table, by its primary key, read through an engine of our own."""
    engine = make_engine(parse_url(url))
    found = metadata.tables[table]
    with engine.connect() as connection:
        query = sa.select(found).order_by(*found.primary_key)
        result = [dict(row) for row in connection.execute(query).mappings()]
    engine.dispose()
    return result
