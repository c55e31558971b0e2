"""What people and programs read of the calls: the list, one call whole, a day's costs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from relay.adapters.store_tables import call_overview, calls, daily_costs, metadata
from relay.ports import CallSummary, DayCosts


def overview(connection: sa.Connection, limit: int, since: datetime | None) -> list[CallSummary]:
    """The latest calls, the newest first."""
    c = call_overview.c
    query = sa.select(
        c.call_sid,
        c.started_at,
        c.caller,
        c.called,
        c.outcome,
        c.reason,
        c.summary,
        c.duration_ms,
        c.greeting_ms,
        c.micro_usd,
    )
    if since is not None:
        query = query.where(c.started_at >= since)
    query = query.order_by(c.started_at.desc(), c.call_sid).limit(limit)
    return [CallSummary(**row) for row in connection.execute(query).mappings()]


def costs(connection: sa.Connection, limit: int) -> list[DayCosts]:
    """The latest days that cost something, the newest first."""
    c = daily_costs.c
    sorts = (c.model_micro_usd, c.words_micro_usd, c.phone_micro_usd, c.voice_micro_usd)
    query = sa.select(c.day, c.calls, *sorts)
    query = query.order_by(c.day.desc()).limit(limit)
    return [DayCosts(*row) for row in connection.execute(query)]


def everything(connection: sa.Connection, call_sid: str) -> dict[str, list[dict[str, Any]]]:
    """All that is kept of a call, by table, in the order in which it happened; {}: nothing is."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in metadata.sorted_tables:
        if "call_sid" not in table.c:
            continue
        query = sa.select(table).where(table.c.call_sid == call_sid).order_by(*_order(table))
        if rows := [dict(row) for row in connection.execute(query).mappings()]:
            found[table.name] = rows
    return found if calls.name in found else {}


def _order(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    by_time = [table.c[name] for name in ("position", "started_at", "at") if name in table.c]
    return [*by_time, *table.primary_key]
