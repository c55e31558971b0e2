"""docs/records.md: its queries run on both databases, its tables are the tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from relay.adapters.store import SqlStore
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import metadata, views
from relay.config import Settings
from tests.adapters.test_store_contract import CHOSEN, ENDED, LINE, OPENED, SPENT, TOOL, entry

TEXT = (Path(__file__).parents[2] / "docs" / "records.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?);\n```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_of_the_guide_runs(store: SqlStore, database_url: str, number: int) -> None:
    store.write([entry(r, 0, "CA…") for r in (OPENED, LINE, TOOL, CHOSEN, ENDED, SPENT)])
    engine = make_engine(parse_url(database_url))
    with engine.connect() as connection:
        rows = connection.execute(sa.text(QUERIES[number])).all()
    engine.dispose()
    nothing = "HAVING" in QUERIES[number] or "'failed'" in QUERIES[number]
    assert bool(rows) != nothing


def test_the_guide_has_queries() -> None:
    assert len(QUERIES) >= 8


def test_every_table_view_and_setting_of_records_is_named() -> None:
    for name in [*metadata.tables, *views.tables]:
        assert f"`{name}`" in TEXT, name
    for name in ("RETENTION_DAYS", "MAX_CALL_USD", "MAX_DAY_USD", "PRICES_FILE", "LOG_PII"):
        assert name.lower() in Settings.model_fields
        assert name in TEXT
    assert f"`RETENTION_DAYS` ({Settings.model_fields['retention_days'].default})" in TEXT
