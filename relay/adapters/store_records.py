"""Records to upserts: every statement is idempotent, and blind to the order of arrival.

A batch may be written twice, and an old one after a newer one (a spool that is replayed). So each
table says which of two versions of a row stays, in the WHERE of its upsert:

    calls          the earliest opening with a stream, else the earliest; the disposition
                   of the latest stream, and of one stream the latest
    transcripts    the latest version of an item; at the same moment, the one heard further
    spend          the greater amount
    tool_calls     a final status before "running"; then the latest
    call_outcomes  the latest end; but the aftermath (OutcomeSettled) has the last word on the
                   outcome, and a guess yields to everything
    notices        the earliest, until it is on its way (store_notices)
    intents        what was done stays done, else the latest (store_intents)

Any order of any writes ends in the same rows: tests/adapters/test_store_contract.py shuffles.

    consents,      see store_consents
    recordings

What was erased stays so: records of an erased call that come late, or again, are dropped, but for
what says that there is a recording of it, which is to be deleted. So are the words of a call whose
caller refused (store_consents).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from relay.adapters import store_consents, store_intents
from relay.adapters.store_notices import Channels, notice_rows
from relay.adapters.store_tables import (
    call_outcomes,
    calls,
    consents,
    erased_calls,
    intents,
    notices,
    recordings,
    spend,
    tool_calls,
    transcripts,
)
from relay.errors import Misuse
from relay.ports import (
    CallEnded,
    CallOpened,
    ConsentNoted,
    DispositionChosen,
    Entry,
    OutcomeSettled,
    OwnerNotice,
    RecordingNoted,
    RecordingState,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
    WriteBegun,
    WriteEnded,
    failed_notice,
)

# As _statement below: asked with every batch.
_ERASED: Final = sa.select(erased_calls.c.call_sid).where(
    erased_calls.c.call_sid.in_(sa.bindparam("call_sids", expanding=True))
)
# Both spell ON CONFLICT alike; SQLAlchemy keeps two classes for it.
Insert: TypeAlias = postgresql.Insert
Row: TypeAlias = dict[str, Any]


def insert(dialect: str, table: sa.Table) -> Insert:
    """INSERT of a dialect ("sqlite", "postgresql"), with its on_conflict_do_…"""
    make: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: Insert = make(table)
    return statement


@cache
def _statement(dialect: str, merge: Callable[[Insert], Insert], table: sa.Table) -> Insert:
    """Built once: the threads that write share an interpreter with everybody's audio, and what
    SQLAlchemy builds ends in cycles that wait for the collector."""
    return merge(insert(dialect, table))


def inserted(connection: sa.Connection, table: sa.Table, rows: Row | Sequence[Row]) -> int:
    """Insert rows that clash with none; returns how many.

    Counted by RETURNING: a driver's own row count is not to be had of every one.
    """
    statement = insert(connection.dialect.name, table).values(rows).on_conflict_do_nothing()
    return len(connection.execute(statement.returning(sa.literal(1))).all())


def write(connection: sa.Connection, entries: Sequence[Entry], channels: Channels) -> None:
    """Upsert entries, whatever was written before them. The caller owns the transaction.

    channels: who is told of a kind of notice
    """
    batches: dict[Callable[[Insert], Insert], list[Row]] = defaultdict(list)
    call_sids = {entry.call_sid for entry in entries}
    gone = _erased(connection, call_sids)
    if refusing := store_consents.declines(entries) - gone:
        store_consents.lock(connection)
    refused = refusing | store_consents.declined(connection, call_sids)
    for given in entries:
        entry = _kept(given, gone, refused)
        if entry is not None:
            for merge, row in _rows(entry, channels):
                batches[merge].append(row)
    for merge, table, key in _ORDER:
        if rows := batches.get(merge):
            # The same order of tables and keys everywhere, so that two writers queue up.
            rows.sort(key=lambda row: [row[column] for column in key])
            connection.execute(_statement(connection.dialect.name, merge, table), rows)
    if refusing:
        store_consents.forget(connection, refusing)
    for entry in sorted(entries, key=lambda each: each.call_sid):
        if isinstance(entry.record, OutcomeSettled) and entry.call_sid not in gone:
            _settle(connection, entry, entry.record, channels)


def _settle(
    connection: sa.Connection, entry: Entry, settled: OutcomeSettled, channels: Channels
) -> None:
    """The aftermath's word on a call's outcome. If it stands, the owner hears of a failure."""
    row = {"call_sid": entry.call_sid, "outcome": settled.outcome, "reason": settled.reason}
    if settled.guess:
        stands = inserted(connection, call_outcomes, row) == 1
    else:
        statement = _statement(connection.dialect.name, _merge_settled, call_outcomes)
        last_word = statement.returning(sa.literal(1))
        stands = connection.scalar(last_word, row | {"settled_at": entry.at}) is not None
    if stands and settled.outcome == "failed":
        notice = failed_notice(0.0, settled.reason)
        write(connection, [Entry(entry.call_sid, entry.at, notice)], channels)


def _kept(entry: Entry, gone: Collection[str], refused: Collection[str]) -> Entry | None:
    """What may be kept of an entry; None: nothing."""
    if entry.call_sid in gone:
        match entry.record:
            case RecordingNoted(sid, state):
                left: RecordingState = "deleted" if state == "deleted" else "unwanted"
                return replace(entry, record=RecordingNoted(sid, left))
            case OwnerNotice(kind=store_consents.VOICEMAIL, ref=sid):
                return replace(entry, record=RecordingNoted(sid, "unwanted"))
        return None
    return store_consents.without_words(entry) if entry.call_sid in refused else entry


def _erased(connection: sa.Connection, call_sids: Collection[str]) -> set[str]:
    return set(connection.execute(_ERASED, {"call_sids": list(call_sids)}).scalars())


def _rows(entry: Entry, channels: Channels) -> list[tuple[Callable[[Insert], Insert], Row]]:
    call_sid, at = entry.call_sid, entry.at
    match entry.record:
        case CallOpened() as opened:
            row = _fields(opened) | {"call_sid": call_sid, "started_at": at}
            return [(_merge_opened, row)]
        case TranscriptLine() as line:
            return [(_merge_line, _fields(line) | {"call_sid": call_sid, "started_at": at})]
        case ToolCalled() as called:
            return [(_merge_tool, _fields(called) | {"call_sid": call_sid, "at": at})]
        case DispositionChosen(disposition=disposition, reason=reason, returns=returns):
            row = {
                "call_sid": call_sid,
                "started_at": at,
                "disposition": disposition,
                "disposition_reason": reason,
                "disposition_at": at,
                "disposition_returns": returns,
            }
            return [(_merge_disposition, row)]
        case CallEnded() as ended:
            began = at - timedelta(milliseconds=ended.duration_ms)
            return [
                (_merge_mentioned, {"call_sid": call_sid, "started_at": began}),
                (_merge_ended, _fields(ended) | {"call_sid": call_sid, "ended_at": at}),
            ]
        case ConsentNoted() as noted:
            row = store_consents.consent_row(call_sid, at, noted)
            return [(store_consents.merge_consent, row)]
        case RecordingNoted() as noted:
            row = store_consents.recording_row(call_sid, at, noted)
            return [(store_consents.merge_recording, row)]
        case SpendAdded() as added:
            return [(_merge_spend, _fields(added) | {"call_sid": call_sid, "at": at})]
        case OwnerNotice() as notice:
            return [(_merge_notice, row) for row in notice_rows(call_sid, at, notice, channels)]
        case OutcomeSettled():  # and its outcome: see _settle
            return [(_merge_mentioned, {"call_sid": call_sid, "started_at": at})]
        case WriteBegun() as begun:
            return [(store_intents.merge_begun, store_intents.begun_row(call_sid, at, begun))]
        case WriteEnded() as ended:
            return [(store_intents.merge_ended, store_intents.ended_row(call_sid, at, ended))]
        case other:
            raise Misuse(f"no table for {type(other).__name__}")


def _fields(record: CallOpened | TranscriptLine | ToolCalled | CallEnded | SpendAdded) -> Row:
    """A record's own fields; its monotonic `at` stays behind, the entry has the real one."""
    return {
        field.name: getattr(record, field.name) for field in fields(record) if field.name != "at"
    }


# ---- which version of a row stays -----------------------------------------------------------


def _merge_opened(statement: Insert) -> Insert:
    """The first stream's opening stays. The ringing's has no stream, and may be written by another
    process, behind it; a row that another record made has neither numbers nor a start to trust."""
    new, old = statement.excluded, calls.c
    columns = ("started_at", "stream_sid", "caller", "called")
    earlier = new.started_at < old.started_at
    return statement.on_conflict_do_update(
        index_elements=[old.call_sid],
        set_={name: new[name] for name in columns},
        where=sa.case(
            (
                new.stream_sid == "",
                sa.and_(old.stream_sid == "", sa.or_(old.called == "", earlier)),
            ),
            else_=sa.or_(old.stream_sid == "", earlier),
        ),
    )


def _merge_mentioned(statement: Insert) -> Insert:
    """A call that another record names, before its opening was written."""
    return statement.on_conflict_do_nothing(index_elements=[calls.c.call_sid])


def _merge_disposition(statement: Insert) -> Insert:
    """A later stream's stays, however the clocks of the streams' machines differ."""
    new, old = statement.excluded, calls.c
    columns = ("disposition", "disposition_reason", "disposition_at", "disposition_returns")
    counted = sa.func.coalesce(old.disposition_returns, -1)
    later = sa.tuple_(new.disposition_returns, new.disposition_at) >= sa.tuple_(
        counted, old.disposition_at
    )
    return statement.on_conflict_do_update(
        index_elements=[old.call_sid],
        set_={name: new[name] for name in columns},
        where=sa.or_(old.disposition_at.is_(None), later),
    )


def _merge_line(statement: Insert) -> Insert:
    return _keep_greater(
        statement,
        transcripts,
        lambda c: (
            c.started_at,
            sa.func.coalesce(c.heard_ms, -1),
            sa.func.length(c.generated_text),
            c.generated_text,
            c.heard_text,
            c.position,  # a line only ever moves back, to make room
        ),
    )


def _merge_tool(statement: Insert) -> Insert:
    return _keep_greater(
        statement,
        tool_calls,
        lambda c: (sa.case((c.status == "running", 0), else_=1), c.at, c.status, c.output),
    )


def _merge_spend(statement: Insert) -> Insert:
    """A phone's row grows; of anything else there is one version."""
    return _keep_greater(statement, spend, lambda c: (c.micro_usd, c.at, c.model, c.note))


def _merge_ended(statement: Insert) -> Insert:
    new, old = statement.excluded, call_outcomes.c
    columns = ("ended_at", "duration_ms", "greeting_ms", "notice_heard", "barge_ins", "summary")
    settled = old.settled_at.is_not(None)
    return statement.on_conflict_do_update(
        index_elements=[old.call_sid],
        set_={name: new[name] for name in columns}
        | {name: sa.case((settled, old[name]), else_=new[name]) for name in ("outcome", "reason")},
        where=sa.or_(old.ended_at.is_(None), new.ended_at >= old.ended_at),
    )


def _merge_settled(statement: Insert) -> Insert:
    new, old = statement.excluded, call_outcomes.c
    return statement.on_conflict_do_update(
        index_elements=[old.call_sid],
        set_={name: new[name] for name in ("outcome", "reason", "settled_at")},
        where=sa.or_(old.settled_at.is_(None), new.settled_at >= old.settled_at),
    )


def _merge_notice(statement: Insert) -> Insert:
    """Once an owner was told, or is being told, nothing changes what they were told."""
    new, old = statement.excluded, notices.c
    columns = ("kind", "at", "text", "next_at")
    return statement.on_conflict_do_update(
        index_elements=list(notices.primary_key),
        set_={name: new[name] for name in columns},
        where=sa.and_(
            old.tries == 0,
            sa.tuple_(new.at, new.text, new.kind) < sa.tuple_(old.at, old.text, old.kind),
        ),
    )


def _keep_greater(
    statement: Insert, table: sa.Table, rank: Callable[[Any], tuple[Any, ...]]
) -> Insert:
    """Of two versions of a row, the one whose rank is greater stays: a total order, so that the
    order of arrival does not matter."""
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: new[column.name] for column in table.c if not column.primary_key},
        where=sa.tuple_(*rank(new)) >= sa.tuple_(*rank(table.c)),
    )


_CALL = ("call_sid",)
_ORDER: tuple[tuple[Callable[[Insert], Insert], sa.Table, tuple[str, ...]], ...] = (
    (_merge_opened, calls, _CALL),
    (_merge_mentioned, calls, _CALL),
    (_merge_disposition, calls, _CALL),
    (_merge_line, transcripts, ("call_sid", "item_id")),
    (_merge_tool, tool_calls, ("call_sid", "call_id")),
    (_merge_ended, call_outcomes, _CALL),
    (_merge_notice, notices, ("id", "channel")),
    (store_intents.merge_begun, intents, ("key",)),
    (store_intents.merge_ended, intents, ("key",)),
    (_merge_spend, spend, ("call_sid", "ref")),
    (store_consents.merge_consent, consents, _CALL),
    (store_consents.merge_recording, recordings, ("recording_sid",)),
)
