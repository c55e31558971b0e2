"""Tries to reach a human: each step is taken by one process only, and none is taken back.

Of a call whose caller refused to be written down nothing is kept of what the human is told.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime

import sqlalchemy as sa

from relay.adapters import store_consents
from relay.adapters.store_records import inserted
from relay.adapters.store_tables import attempts
from relay.ports import Attempt
from relay.ports.humans import BEFORE


def opened(connection: sa.Connection, attempt: Attempt) -> None:
    if store_consents.declined(connection, [attempt.call_sid]):
        attempt = replace(attempt, summary="")
    inserted(connection, attempts, asdict(attempt))


def find(connection: sa.Connection, attempt: str) -> Attempt | None:
    return _first(connection, attempts.c.attempt == attempt)


def newest(connection: sa.Connection, call_sid: str) -> Attempt | None:
    return _first(connection, attempts.c.call_sid == call_sid)


def move(
    connection: sa.Connection, attempt: str, state: str, at: datetime, reason: str = ""
) -> bool:
    """Whether the step was to be taken, and nobody had taken it."""
    statement = (
        sa.update(attempts)
        .where(attempts.c.attempt == attempt, attempts.c.state.in_(sorted(BEFORE[state])))
        .values(state=state, reason=reason, changed_at=at)
        .returning(sa.literal(1))
    )
    return bool(connection.execute(statement).all())


def note(connection: sa.Connection, attempt: str, *, leg_sid: str, summary: str) -> None:
    of_call = sa.select(attempts.c.call_sid).where(attempts.c.attempt == attempt)
    if summary and store_consents.declined(connection, connection.execute(of_call).scalars().all()):
        summary = ""
    known = {name: fact for name, fact in (("leg_sid", leg_sid), ("summary", summary)) if fact}
    if known:
        connection.execute(sa.update(attempts).where(attempts.c.attempt == attempt).values(**known))


def _first(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Attempt | None:
    query = sa.select(attempts).where(where).order_by(attempts.c.opened_at.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Attempt(**row._mapping)
