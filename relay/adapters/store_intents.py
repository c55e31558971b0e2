"""Writes that happen once: a row each, made of its beginnings and its ends, in any order.

A beginning brings what is needed to try again, an end what came of it. Of several beginnings the
first names the model's call and the last counts; of several ends "done" stays above all others,
then the latest. So whoever replays a spool changes nothing, and the question "is it still open?"
is asked of the row as it stands: without an end, or begun again after one that was not "done".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from relay.adapters.store_tables import intents
from relay.ports import WriteBegun, WriteEnded, WriteRow

# As many as are looked at in one go; whoever finishes them asks again.
MAX_UNFINISHED = 200

_TIMES = ("first_at", "begun_at")
_WISH = ("call_sid", "caller", "tool", "arguments", "call_id")
_END = ("ended_at", "status", "output", "outcome")
_later = intents.alias()
_OVERTAKEN = sa.exists().where(
    _later.c.call_sid == intents.c.call_sid,
    _later.c.status == "done",
    _later.c.ended_at > intents.c.ended_at,
)
_COLUMNS = (
    *(intents.c[name] for name in ("key", *_WISH, "begun_at", "status", "output", "outcome")),
    _OVERTAKEN.correlate(intents),
)


def begun_row(call_sid: str, at: datetime, begun: WriteBegun) -> dict[str, Any]:
    """The columns of a beginning."""
    return {
        "key": begun.key,
        "call_sid": call_sid,
        "caller": begun.caller,
        "tool": begun.tool,
        "arguments": begun.arguments,
        "call_id": begun.call_id,
        "first_at": at,
        "begun_at": at,
        "output": "",
        "outcome": "",
    }


def ended_row(call_sid: str, at: datetime, ended: WriteEnded) -> dict[str, Any]:
    """The columns of an end."""
    return {
        "key": ended.key,
        "call_sid": call_sid,
        "caller": "",
        "tool": "",
        "arguments": "",
        "call_id": "",
        "ended_at": at,
        "status": ended.status,
        "output": ended.output,
        "outcome": ended.outcome,
    }


def merge_begun(statement: Any) -> Any:
    """Of several beginnings: the first one's words, the last one's time."""
    new, old = statement.excluded, intents.c
    first = sa.or_(old.first_at.is_(None), new.first_at < old.first_at)
    last = sa.or_(old.begun_at.is_(None), new.begun_at > old.begun_at)
    return statement.on_conflict_do_update(
        index_elements=[old.key],
        set_={name: sa.case((first, new[name]), else_=old[name]) for name in (*_WISH, "first_at")}
        | {"begun_at": sa.case((last, new.begun_at), else_=old.begun_at)},
    )


def merge_ended(statement: Any) -> Any:
    """Of several ends: what was done stays done; else the latest."""
    new, old = statement.excluded, intents.c

    def rank(c: Any) -> Any:
        return sa.tuple_(sa.case((c.status == "done", 1), else_=0), c.ended_at)

    return statement.on_conflict_do_update(
        index_elements=[old.key],
        set_={name: new[name] for name in _END},
        where=sa.or_(old.ended_at.is_(None), rank(new) >= rank(old)),
    )


def find(connection: sa.Connection, key: str) -> WriteRow:
    """What is known of a key that was begun."""
    row = connection.execute(sa.select(*_COLUMNS).where(intents.c.key == key)).one()
    return WriteRow(*row)


def unfinished(connection: sa.Connection, begun_before: datetime) -> list[WriteRow]:
    """Writes that were begun and have no end since, oldest first."""
    c = intents.c
    still_open = sa.or_(c.ended_at.is_(None), sa.and_(c.status != "done", c.begun_at > c.ended_at))
    query = (
        sa.select(*_COLUMNS)
        .where(c.begun_at < begun_before, still_open)
        .order_by(c.begun_at)
        .limit(MAX_UNFINISHED)
    )
    return [WriteRow(*row) for row in connection.execute(query)]
