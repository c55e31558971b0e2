"""Calls without an outcome, and tries to reach a human that nobody has ended."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from relay.adapters.store_tables import attempts, call_outcomes, calls
from relay.ports import Attempt, OpenCall
from relay.ports.humans import BEFORE

_OPEN: Final = sorted(BEFORE["lost"])


def open_calls(
    connection: sa.Connection, since: datetime, before: datetime, limit: int
) -> list[OpenCall]:
    """Calls that began then and have no outcome, oldest first."""
    both = calls.outerjoin(call_outcomes, call_outcomes.c.call_sid == calls.c.call_sid)
    query = (
        sa.select(calls.c.call_sid, calls.c.started_at, calls.c.stream_sid)
        .select_from(both)
        .where(call_outcomes.c.call_sid.is_(None))
        .where(calls.c.started_at >= since, calls.c.started_at < before)
        .order_by(calls.c.started_at)
        .limit(limit)
    )
    rows = connection.execute(query)
    return [OpenCall(sid, at, stream_sid != "") for sid, at, stream_sid in rows]


def open_legs(
    connection: sa.Connection, since: datetime, before: datetime, limit: int
) -> list[Attempt]:
    """Tries that have stood still since then, short of a conversation, oldest first."""
    query = (
        sa.select(attempts)
        .where(attempts.c.state.in_(_OPEN))
        .where(attempts.c.changed_at >= since, attempts.c.changed_at < before)
        .order_by(attempts.c.changed_at)
        .limit(limit)
    )
    return [Attempt(**row._mapping) for row in connection.execute(query)]
