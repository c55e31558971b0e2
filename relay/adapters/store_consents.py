"""What callers were told and answered, and what was recorded of their calls.

A consent that says "declined" is more than a row. In the same transaction the call's transcript is
removed, and with it what its functions were given, its summary, and what a human who was rung was
to be told; and whatever of that comes later, from a spool or another process, is dropped. What the
caller asked for stays: a booking, a message, the notice to the owner about it.

    consents    the last of hung_up_before, none_needed, stayed, declined stays
    recordings  the last of in-progress, absent, completed, unwanted, deleted stays

An unwanted recording still exists at Twilio, and is to be deleted there. Which ones that are says
`unwanted`: those that were called so, and those of calls that refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from relay.adapters.store_tables import (
    attempts,
    call_outcomes,
    consents,
    recordings,
    tool_calls,
    transcripts,
)
from relay.ports import (
    CallEnded,
    Consented,
    ConsentNoted,
    Entry,
    RecordingNoted,
    ToolCalled,
    TranscriptLine,
    UnwantedRecording,
)

ANSWERS: Final = ("hung_up_before", "none_needed", "stayed", "declined")
STATES: Final = ("in-progress", "absent", "completed", "unwanted", "deleted")
#: A notice of this kind names a recording at Twilio: its ref.
VOICEMAIL: Final = "voicemail"
#: Of these Twilio has nothing any more, or never had.
GONE: Final = ("absent", "deleted")
PORTION: Final = 100

# Asked with every batch that is written: built once (store_records._statement says why).
_DECLINED: Final = sa.select(consents.c.call_sid).where(
    consents.c.call_sid.in_(sa.bindparam("call_sids", expanding=True)),
    consents.c.answer == "declined",
)


# ---- records to rows ------------------------------------------------------------------------


def consent_row(call_sid: str, at: datetime, noted: ConsentNoted) -> dict[str, Any]:
    heard_at = noted.heard_at
    return {
        "call_sid": call_sid,
        "policy": noted.policy,
        "caller_country": noted.caller_country,
        "caller_state": noted.caller_state,
        "business_state": noted.business_state,
        "needed": noted.needed,
        "notice_hash": noted.notice_hash,
        "heard_at": None if heard_at is None else at - timedelta(seconds=noted.at - heard_at),
        "answer": noted.answer,
        "answered_at": at,
        "greeting_ms": noted.greeting_ms,
    }


def recording_row(call_sid: str, at: datetime, noted: RecordingNoted) -> dict[str, Any]:
    return {
        "recording_sid": noted.recording_sid,
        "call_sid": call_sid,
        "state": noted.state,
        "started_at": noted.started_at or at,
        "duration_s": noted.duration_s,
        "url": noted.url,
        "deleted_at": at if noted.state == "deleted" else None,
    }


def merge_consent(statement: Any) -> Any:
    """What is known later in a call may know less of its beginning: nothing is taken back."""
    new, old = statement.excluded, consents.c
    texts = ("policy", "caller_country", "caller_state", "business_state", "notice_hash")
    later = _rank(new.answer, ANSWERS) > _rank(old.answer, ANSWERS)
    same = _rank(new.answer, ANSWERS) == _rank(old.answer, ANSWERS)
    earlier = sa.and_(same, new.answered_at < old.answered_at)
    return statement.on_conflict_do_update(
        index_elements=[old.call_sid],
        set_={name: sa.case((new[name] > old[name], new[name]), else_=old[name]) for name in texts}
        | {
            "needed": sa.or_(new.needed, old.needed),
            "heard_at": _least(new.heard_at, old.heard_at),
            "greeting_ms": _least(new.greeting_ms, old.greeting_ms),
            "answer": sa.case((later, new.answer), else_=old.answer),
            "answered_at": sa.case(
                (sa.or_(later, earlier), new.answered_at), else_=old.answered_at
            ),
        },
    )


def merge_recording(statement: Any) -> Any:
    """Callbacks come twice and in any order; what was deleted stays so."""
    new, old = statement.excluded, recordings.c
    later = _rank(new.state, STATES) > _rank(old.state, STATES)
    unwanted = STATES.index("unwanted")
    blank = sa.or_(_rank(new.state, STATES) >= unwanted, _rank(old.state, STATES) >= unwanted)
    return statement.on_conflict_do_update(
        index_elements=[old.recording_sid],
        set_={
            "state": sa.case((later, new.state), else_=old.state),
            "started_at": _least(new.started_at, old.started_at),
            "duration_s": sa.case(
                (old.duration_s.is_(None), new.duration_s),
                (new.duration_s > old.duration_s, new.duration_s),
                else_=old.duration_s,
            ),
            "url": sa.case((blank, ""), (new.url > old.url, new.url), else_=old.url),
            "deleted_at": _least(new.deleted_at, old.deleted_at),
        },
    )


def _rank(column: Any, order: Sequence[str]) -> sa.Case[int]:
    return sa.case({name: place for place, name in enumerate(order)}, value=column, else_=-1)


def _least(one: Any, other: Any) -> sa.Case[Any]:
    return sa.case((other.is_(None), one), (one < other, one), else_=other)


# ---- a refusal ------------------------------------------------------------------------------


def declines(entries: Sequence[Entry]) -> set[str]:
    """Calls whose refusal is among the entries."""
    return {
        entry.call_sid
        for entry in entries
        if isinstance(entry.record, ConsentNoted) and entry.record.answer == "declined"
    }


def lock(connection: sa.Connection) -> None:
    """Wait for all who have looked whether a call refused, and may still write words of it."""
    if connection.dialect.name == "postgresql":  # SQLite lets one transaction write at a time
        connection.execute(sa.text("LOCK TABLE consents IN ACCESS EXCLUSIVE MODE"))


def declined(connection: sa.Connection, call_sids: Collection[str]) -> set[str]:
    """Which of the calls have refused."""
    return set(connection.execute(_DECLINED, {"call_sids": list(call_sids)}).scalars())


def without_words(entry: Entry) -> Entry | None:
    """What may be kept of an entry of a call that refused; None: nothing."""
    match entry.record:
        case TranscriptLine():
            return None
        case ToolCalled() as called:
            return replace(entry, record=replace(called, arguments="", output=""))
        case CallEnded() as ended:
            return replace(entry, record=replace(ended, summary=""))
    return entry


def forget(connection: sa.Connection, call_sids: Collection[str]) -> None:
    """Remove the words of calls that have refused just now."""
    for change, table in (
        (sa.delete(transcripts), transcripts),
        (sa.update(tool_calls).values(arguments="", output=""), tool_calls),
        (
            sa.update(call_outcomes).where(call_outcomes.c.summary.is_not(None)).values(summary=""),
            call_outcomes,
        ),
        (sa.update(attempts).values(summary=""), attempts),
    ):
        connection.execute(change.where(table.c.call_sid.in_(sorted(call_sids))))


# ---- reading --------------------------------------------------------------------------------


def consented(connection: sa.Connection, call_sid: str) -> Consented:
    """What a call's next stream must know."""
    answer = connection.scalar(sa.select(consents.c.answer).where(consents.c.call_sid == call_sid))
    columns = recordings.c
    query = sa.select(columns.recording_sid).where(
        columns.call_sid == call_sid, columns.state == "in-progress"
    )
    return Consented(answer or "", connection.scalar(query.limit(1)) or "")


def at_twilio(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[str]:
    """SIDs of some recordings that Twilio still has, for all we know."""
    columns = recordings.c
    query = sa.select(columns.recording_sid).where(columns.state.not_in(GONE), where)
    return list(connection.execute(query.order_by(columns.recording_sid).limit(PORTION)).scalars())


def gone(connection: sa.Connection, recording_sid: str, at: datetime) -> None:
    """Twilio has deleted a recording."""
    connection.execute(
        sa.update(recordings)
        .where(recordings.c.recording_sid == recording_sid)
        .values(state="deleted", url="", deleted_at=at)
    )


def unwanted(connection: sa.Connection) -> list[UnwantedRecording]:
    """Some recordings that are to be deleted at Twilio, the oldest first."""
    columns = recordings.c
    refused = sa.select(consents.c.call_sid).where(consents.c.answer == "declined")
    query = (
        sa.select(columns.call_sid, columns.recording_sid)
        .where(
            columns.state.not_in(GONE),
            sa.or_(columns.state == "unwanted", columns.call_sid.in_(refused)),
        )
        .order_by(columns.started_at, columns.recording_sid)
        .limit(PORTION)
    )
    return [UnwantedRecording(*row) for row in connection.execute(query)]


def disown(connection: sa.Connection, call_sids: Sequence[str]) -> None:
    """Forget the recordings of some calls, but for the names of those that Twilio still has."""
    columns = recordings.c
    theirs = columns.call_sid.in_(call_sids)
    connection.execute(sa.delete(recordings).where(theirs, columns.state.in_(GONE)))
    connection.execute(
        sa.update(recordings).where(theirs).values(state="unwanted", url="", duration_s=None)
    )
