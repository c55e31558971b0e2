"""Taking words and people out of the database again, so that nothing of them can be read.

A person is erased by telephone number. Every table answers for itself by its columns: one with a
`call_sid` holds rows of calls, one with a number holds rows of people. What a call cost stays: it
is money, and says nothing of anybody. Calls that were erased are remembered by their SID alone, so
that a record that waits in a spool, or is about to be written, does not bring them back. What
Twilio recorded of them, voicemails too, stays as a name to be deleted there, by whoever sweeps.

SQLite overwrites what is deleted (`secure_delete`) in the file; `scrub` empties the log of changes
beside it. PostgreSQL's own vacuum does it there, in its own time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from relay.adapters import store_consents
from relay.adapters.store_consents import VOICEMAIL
from relay.adapters.store_records import inserted
from relay.adapters.store_tables import (
    attempts,
    booking_slots,
    bookings,
    call_outcomes,
    calls,
    erased_calls,
    intents,
    metadata,
    notices,
    recordings,
    spend,
    tool_calls,
    transcripts,
)
from relay.ports import Erased

#: Columns that hold a person's telephone number.
NUMBERS: Final = ("caller", "phone", "call_back")
CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
#: Kept when a person is erased: amounts, and what keeps the erased out.
#: … and the names of recordings that somebody must still delete at Twilio.
KEPT: Final = frozenset({spend.name, erased_calls.name, recordings.name})
#: Notices that are still to be delivered keep their words, while somebody tries; those of
#: voicemails until the recording is deleted.
UNDER_WAY: Final = ("pending", "sending")
#: Calls at once: nobody who writes waits long for the lock.
PORTION: Final = 200
#: So many last digits are a number without its country, as callers say theirs. With a plus before
#: them they are another country's: Tampa's +1 656 234 5678 ends as Singapore's +65 6234 5678.
WITHOUT_COUNTRY: Final = 10


def erase(
    connection: sa.Connection, phone: str, at: datetime, others: Collection[str] = ()
) -> Erased:
    """Remove a person by telephone number (E.164). The caller owns the transaction.

    others: calls of theirs of which little or nothing has come yet
    """
    if connection.dialect.name == "postgresql":  # SQLite lets one transaction write at a time
        connection.execute(sa.text("LOCK TABLE erased_calls IN ACCESS EXCLUSIVE MODE"))
    query = sa.select(calls.c.call_sid).where(_is(calls.c.caller, phone))
    call_sids = tuple(sorted({*connection.execute(query).scalars(), *others}))
    for sid in call_sids:
        inserted(connection, erased_calls, {"call_sid": sid, "at": at})
    rows: dict[str, int] = {}
    their_bookings = sa.select(bookings.c.key).where(_is(bookings.c.phone, phone))
    rows[booking_slots.name] = _deleted(
        connection, booking_slots, booking_slots.c.key.in_(their_bookings)
    )
    _disown_voicemails(connection, call_sids, at)
    for table in metadata.sorted_tables:
        if table.name in KEPT:
            continue
        theirs = [_is(table.c[name], phone) for name in NUMBERS if name in table.c]
        if "call_sid" in table.c:
            theirs.append(table.c.call_sid.in_(call_sids))
        if theirs:
            rows[table.name] = _deleted(connection, table, sa.or_(*theirs))
    store_consents.disown(connection, call_sids)
    return Erased(call_sids, {name: count for name, count in rows.items() if count})


def _disown_voicemails(connection: sa.Connection, call_sids: Collection[str], at: datetime) -> None:
    """Have the voicemails deleted that Twilio still has: what names them now is about to go."""
    told = notices.c
    query = sa.select(told.ref, told.call_sid).where(
        told.kind == VOICEMAIL, told.text != "", told.call_sid.in_(call_sids)
    )
    for ref, call_sid in connection.execute(query.distinct()).all():
        unwanted = {"recording_sid": ref, "call_sid": call_sid, "state": "unwanted", "url": ""}
        inserted(connection, recordings, {**unwanted, "started_at": at})


def recordings_of(connection: sa.Connection, phone: str) -> list[str]:
    """SIDs of what Twilio has recorded of a person: their calls, their voicemails."""
    theirs = sa.select(calls.c.call_sid).where(_is(calls.c.caller, phone))
    of_calls = store_consents.at_twilio(connection, recordings.c.call_sid.in_(theirs))
    return sorted({*_voicemails(connection, notices.c.call_sid.in_(theirs)), *of_calls})


def old_recordings(connection: sa.Connection, before: datetime) -> list[str]:
    """SIDs of some recordings from before a moment that Twilio still has, for all we know."""
    voicemails = _voicemails(connection, (notices.c.at < before) & (notices.c.text != ""))
    of_calls = store_consents.at_twilio(connection, recordings.c.started_at < before)
    return sorted({*voicemails, *of_calls})


def recording_gone(connection: sa.Connection, recording_sid: str, at: datetime) -> None:
    """Twilio has deleted a recording: what was said of it goes as well."""
    store_consents.gone(connection, recording_sid, at)
    its = (notices.c.kind == VOICEMAIL) & (notices.c.ref == recording_sid)
    connection.execute(sa.update(notices).where(its).values(text=""))


def _voicemails(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[str]:
    query = sa.select(notices.c.ref).where(notices.c.kind == VOICEMAIL, where).distinct()
    return list(connection.execute(query.order_by(notices.c.ref).limit(PORTION)).scalars())


def forget_words(connection: sa.Connection, before: datetime) -> int:
    """Remove what was said before a moment, of some calls. Returns rows; 0: there are no more."""
    lines, tools, ends = transcripts.c, tool_calls.c, call_outcomes.c
    told, rung, done = notices.c, attempts.c, intents.c
    count = _some(connection, sa.delete(transcripts), lines, lines.started_at < before)
    for change, columns, old in (
        (
            sa.update(tool_calls).values(arguments="", output=""),
            tools,
            (tools.at < before) & ((tools.arguments != "") | (tools.output != "")),
        ),
        (
            sa.update(call_outcomes).values(summary=None),
            ends,
            (ends.ended_at < before) & ends.summary.is_not(None),
        ),
        (
            sa.update(notices).values(text=""),
            told,
            (told.at < before)
            & (told.text != "")
            & told.state.not_in(UNDER_WAY)
            & (told.kind != VOICEMAIL),
        ),
        (  # nobody has claimed it since: its channel is not there any more
            sa.update(notices).values(text="", state="failed", last_error="nobody delivers this"),
            told,
            (told.next_at < before) & told.state.in_(UNDER_WAY) & (told.kind != VOICEMAIL),
        ),
        (
            sa.update(attempts).values(summary=""),
            rung,
            (rung.changed_at < before) & (rung.summary != ""),
        ),
        (
            sa.update(intents).values(caller="", arguments="", output=""),
            done,
            (done.ended_at < before) & ((done.arguments != "") | (done.output != "")),
        ),
    ):
        count += _some(connection, change, columns, old)
    return count


def scrub(connection: sa.Connection) -> bool:
    """Empty SQLite's log of changes, outside any transaction. False: somebody still reads it."""
    if connection.dialect.name != "sqlite":
        return True
    try:
        busy, *_ = connection.connection.cursor().execute(CHECKPOINT).fetchone()
    except sqlite3.OperationalError:
        return False
    return not busy


def _is(column: sa.ColumnElement[str], phone: str) -> sa.ColumnElement[bool]:
    """Whether a column holds this number, with blanks and dashes or without its country."""
    digits: Any = column
    for mark in "-(). ":
        digits = sa.func.replace(digits, mark, "")
    wanted = "".join(char for char in phone if char.isdecimal())
    return sa.cast(digits, sa.Text).in_({f"+{wanted}", wanted, wanted[-WITHOUT_COUNTRY:]})


def _some(
    connection: sa.Connection,
    change: sa.Delete | sa.Update,
    columns: Any,
    old: sa.ColumnElement[bool],
) -> int:
    """Change what is old, of a portion of the calls."""
    sids = connection.execute(sa.select(columns.call_sid).where(old).distinct().limit(PORTION))
    return _changed(connection, change.where(columns.call_sid.in_(sids.scalars().all()), old))


def _deleted(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
    return _changed(connection, sa.delete(table).where(where))


def _changed(connection: sa.Connection, statement: sa.Delete | sa.Update) -> int:
    return len(connection.execute(statement.returning(sa.literal(1))).all())
