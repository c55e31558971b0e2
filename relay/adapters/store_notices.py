"""Notices for the owner: their rows, and the queue that those rows are.

A claim is a lock with an end. PostgreSQL skips rows that another claim is about to take; on
SQLite one writer at a time claims. Who reports too late changes nothing that is another's by then.

Texts to the owner that calls failed are gathered before they are claimed: one speaks for all that
are due, whose rows are folded into it (`holder` is its id), and who is due soon after the last one
waits for the next. One that could not be sent yet speaks for those that came meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from relay.adapters.store_tables import calls, notices
from relay.ports import CALL_FAILED, Notice, OwnerNotice, Settled

# What a notice says, and what a fault says of itself: neither has an end that we can trust.
MAX_TEXT_CHARS: Final = 2000
MAX_ERROR_CHARS: Final = 200
# No claim is held as long.
_LEASES: Final = timedelta(hours=1)

# Where what calls failed is gathered, and the lock for that: who gathers looks at others' rows.
GATHERED: Final = "sms_owner"
GATHER_LOCK: Final = 73530

# Who is told of a kind of notice.
Channels: TypeAlias = Callable[[str], Sequence[str]]


def notice_id(call_sid: str, ref: str) -> str:
    """The name of a notice, the same wherever and whenever its record is stored."""
    name = f"{call_sid}\0{ref}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(name).hexdigest()[:32]


def notice_rows(
    call_sid: str, at: datetime, notice: OwnerNotice, channels: Channels
) -> Iterator[dict[str, Any]]:
    """One row a channel; one that is only kept where nobody is to be told."""
    told = channels(notice.kind)
    for channel in told or ("none",):
        yield {
            "id": notice_id(call_sid, notice.ref),
            "channel": channel,
            "call_sid": call_sid,
            "ref": notice.ref,
            "kind": notice.kind,
            "at": at,
            "text": notice.text[:MAX_TEXT_CHARS],
            "state": "pending" if told else "kept",
            "next_at": at,
        }


def any_due(connection: sa.Connection, channels: Sequence[str], now: datetime) -> bool:
    """Whether there is something to claim, or a claim to take away."""
    due = _due(channels, now, "pending", "sending")
    return bool(connection.scalar(sa.select(sa.exists().where(due))))


def lapse(
    connection: sa.Connection, channels: Sequence[str], now: datetime, into: Settled
) -> list[tuple[str, str]]:
    """Take away the claims that are over. Returns id and channel of each."""
    over: dict[str, Any] = {"state": into, "last_error": "its sender never reported"}
    if into != "pending":
        over["settled_at"] = now
    statement = sa.update(notices).where(_due(channels, now, "sending")).values(over)
    found = connection.execute(statement.returning(notices.c.id, notices.c.channel))
    return [(row.id, row.channel) for row in found]


def gather(connection: sa.Connection, now: datetime, every: timedelta) -> None:
    """Have one text tell of all calls that failed, and none come too soon after the last."""
    failed = sa.and_(
        notices.c.channel == GATHERED,
        notices.c.kind == "failed",
        notices.c.ref == CALL_FAILED,
    )
    new = sa.and_(failed, _due([GATHERED], now, "pending"), notices.c.tries == 0)
    if connection.scalar(sa.select(sa.exists().where(new))) is not True:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(GATHER_LOCK)))
    wait_until = _spoken_until(connection, failed, now, every)
    if wait_until is not None:
        connection.execute(sa.update(notices).where(new).values(next_at=wait_until))
        return
    speaker = connection.scalar(
        sa.select(notices.c.id)
        .where(failed, notices.c.state == "pending")
        .where(sa.or_(notices.c.tries > 0, notices.c.next_at <= now))
        .order_by(notices.c.tries.desc(), notices.c.at, notices.c.id)
        .limit(1)
    )
    folded = {"state": "folded", "holder": speaker, "settled_at": now}
    connection.execute(sa.update(notices).where(new, notices.c.id != speaker).values(folded))


def _spoken_until(
    connection: sa.Connection, failed: sa.ColumnElement[bool], now: datetime, every: timedelta
) -> datetime | None:
    """How long the owner has been told enough; None: they may be told now."""
    sending = sa.exists().where(failed, notices.c.state == "sending")
    if connection.scalar(sa.select(sending)):
        return now + every
    last = connection.scalar(
        sa.select(sa.func.max(notices.c.settled_at)).where(
            failed,
            notices.c.state.in_(("sent", "unknown")),
            notices.c.settled_at > now - every,
            notices.c.next_at > now - every - _LEASES,  # for the index's sake
        )
    )
    return None if last is None else last + every


def claim(
    connection: sa.Connection,
    channels: Sequence[str],
    *,
    now: datetime,
    until: datetime,
    holder: str,
    limit: int,
) -> list[Notice]:
    """Take pending notices that are due, oldest first. The caller owns the transaction."""
    query = (
        sa.select(notices, calls.c.caller)
        .join_from(notices, calls, notices.c.call_sid == calls.c.call_sid, isouter=True)
        .where(_due(channels, now, "pending"))
        .order_by(notices.c.next_at, notices.c.id)
        .limit(limit)
        .with_for_update(of=notices, skip_locked=True)
    )
    found = connection.execute(query).mappings().all()
    folded = _folded(connection, [row["id"] for row in found if row["channel"] == GATHERED])
    for row in found:
        connection.execute(
            sa.update(notices)
            .where(notices.c.id == row["id"], notices.c.channel == row["channel"])
            .values(state="sending", holder=holder, next_at=until, tries=row["tries"] + 1)
        )
    return [_notice(row, folded) for row in found]


def _folded(connection: sa.Connection, speakers: Sequence[str]) -> dict[str, int]:
    """How many others each of these tells of."""
    query = (
        sa.select(notices.c.holder, sa.func.count())
        .where(notices.c.state == "folded", notices.c.holder.in_(speakers))
        .group_by(notices.c.holder)
    )
    found = connection.execute(query).all() if speakers else []
    return dict(map(tuple, found))


def settle(
    connection: sa.Connection,
    notice: Notice,
    holder: str,
    state: Settled,
    *,
    at: datetime,
    error: str,
) -> bool:
    """What came of a claimed notice; False when it is not this holder's any more."""
    values: dict[str, Any] = {"state": state, "last_error": error[:MAX_ERROR_CHARS]}
    values["next_at" if state == "pending" else "settled_at"] = at
    statement = (
        sa.update(notices)
        .where(
            notices.c.id == notice.id,
            notices.c.channel == notice.channel,
            notices.c.holder == holder,
        )
        .values(values)
    )
    return connection.scalar(statement.returning(sa.literal(1))) is not None


def _due(channels: Sequence[str], now: datetime, *states: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        notices.c.state.in_(states), notices.c.next_at <= now, notices.c.channel.in_(channels)
    )


def _notice(row: Any, folded: Mapping[str, int]) -> Notice:
    return Notice(
        row["id"],
        row["channel"],
        row["call_sid"],
        row["kind"],
        row["at"],
        row["text"],
        row["caller"],
        row["tries"] + 1,
        folded.get(row["id"], 0) if row["channel"] == GATHERED else 0,
    )
