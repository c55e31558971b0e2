"""The embedded business's appointments: once per key, and never two in one slot.

Both promises are the database's: the idempotency key is the primary key of `booking_writes`, a
slot's start that of `booking_slots`. Whoever inserts second waits for the first to commit, then
sees it. Nothing is read first and trusted later.

Every transaction takes what it needs in one order: the appointment's row, the key's row, then
slots by their start. So two that want the same wait for each other, and never in a circle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from relay.adapters.store_records import inserted
from relay.adapters.store_tables import booking_slots, booking_writes, bookings
from relay.errors import StoreError
from relay.ports import Appointment, Booked, BookingRequest, ChangeRequest

# References are six digits: easy to say, hard to mishear. A clash is met by the next of a series.
MAX_CLASHES = 64

BOOKED, CHANGED, CANCELLED = "booked", "changed", "cancelled"


class SlotTaken(Exception):  # noqa: N818 - leaves the transaction, and is no error outside
    """Rolls back a booking or a change whose slots are not all free."""


# ---- reading --------------------------------------------------------------------------------


def find(connection: sa.Connection, key: str) -> Appointment | None:
    """What was booked, changed or cancelled under a key, as it was then."""
    then, now = booking_writes.c, bookings.c
    query = (
        sa.select(then.reference, now.service, then.starts_at, now.name)
        .join_from(booking_writes, bookings, then.reference == now.reference)
        .where(then.key == key)
    )
    row = connection.execute(query).first()
    return None if row is None else Appointment(*row, repeated=True)


def of_phone(connection: sa.Connection, phone: str, after: datetime) -> list[Appointment]:
    """A number's appointments that begin after a local moment, in order."""
    rows = connection.execute(
        sa.select(bookings)
        .where(bookings.c.phone == phone, bookings.c.state == BOOKED, bookings.c.starts_at > after)
        .order_by(bookings.c.starts_at, bookings.c.reference)
    )
    return [_appointment(row) for row in rows]


def taken(connection: sa.Connection, day: date) -> list[datetime]:
    """Starts of the slots that are filled on a day, in order."""
    begins = datetime.combine(day, time.min)
    start = booking_slots.c.starts_at
    query = (
        sa.select(start).where(start >= begins, start < begins + timedelta(days=1)).order_by(start)
    )
    return list(connection.execute(query).scalars())


def own(connection: sa.Connection, request: BookingRequest) -> Booked | None:
    """The very same appointment, if this caller has it already under another key.

    A model that asks again spells its arguments anew ("Ann", "ann"): telling the caller that
    their own appointment is taken would be absurd.
    """
    query = sa.select(bookings).where(
        bookings.c.starts_at == request.starts_at,
        bookings.c.service == request.service,
        bookings.c.state == BOOKED,
    )
    row = connection.execute(query).first()
    if row is None or not request.phone or row.phone != request.phone:
        return None
    if row.name.casefold() != request.name.casefold():
        return None
    return Booked(row.reference, row.service, row.starts_at, repeated=True)


# ---- writing: each in a transaction of its own ----------------------------------------------


def book(
    connection: sa.Connection,
    request: BookingRequest,
    key: str,
    at: datetime,
    slots: Sequence[datetime],
) -> Booked:
    """Book, or say what the key has booked. Raises SlotTaken: roll back then."""
    reference = _insert_booking(connection, request, key, at)
    if reference is None:
        before = find(connection, key)
        if before is None:
            raise StoreError("no booking reference is free")
        return Booked(before.reference, before.service, before.starts_at, repeated=True)
    _first_under_key(
        connection,
        key=key,
        reference=reference,
        kind=BOOKED,
        starts_at=request.starts_at,
        phone=request.phone,
        at=at,
    )
    # In order: two bookings that overlap wait for each other, they do not deadlock.
    rows = [{"starts_at": start, "key": key} for start in sorted(slots)]
    if inserted(connection, booking_slots, rows) != len(rows):
        raise SlotTaken
    return Booked(reference, request.service, request.starts_at)


def change(
    connection: sa.Connection,
    request: ChangeRequest,
    key: str,
    at: datetime,
    slots: Sequence[datetime],
) -> Appointment | None:
    """Move an appointment, or say where the key has moved it. Raises SlotTaken: roll back then."""
    row = _standing(connection, request.reference, request.phone)
    if row is None:
        return find(connection, key)
    if not _first_under_key(
        connection,
        key=key,
        reference=row.reference,
        kind=CHANGED,
        starts_at=request.starts_at,
        phone=request.phone,
        at=at,
    ):
        return find(connection, key)
    _move_slots(connection, row.key, set(slots))
    connection.execute(
        sa.update(bookings).where(bookings.c.key == row.key).values(starts_at=request.starts_at)
    )
    return Appointment(row.reference, row.service, request.starts_at, row.name)


def cancel(
    connection: sa.Connection, reference: str, phone: str, key: str, at: datetime
) -> Appointment | None:
    """Cancel an appointment, or say which the key has cancelled; None: it is not theirs."""
    row = _standing(connection, reference, phone)
    if row is None:
        return find(connection, key)
    if not _first_under_key(
        connection,
        key=key,
        reference=row.reference,
        kind=CANCELLED,
        starts_at=row.starts_at,
        phone=phone,
        at=at,
    ):
        return find(connection, key)
    connection.execute(sa.delete(booking_slots).where(booking_slots.c.key == row.key))
    connection.execute(sa.update(bookings).where(bookings.c.key == row.key).values(state=CANCELLED))
    return _appointment(row)


def _standing(connection: sa.Connection, reference: str, phone: str) -> sa.Row[Any] | None:
    """A number's appointment that is not cancelled, held until the transaction ends."""
    query = (
        sa.select(bookings)
        .where(
            bookings.c.reference == reference,
            bookings.c.phone == phone,
            bookings.c.state == BOOKED,
        )
        .with_for_update()
    )
    return connection.execute(query).first()


def _first_under_key(connection: sa.Connection, **row: object) -> bool:
    """Write down who did what under a key; False: the key has done something already."""
    return inserted(connection, booking_writes, row) == 1


def _move_slots(connection: sa.Connection, key: str, wanted: set[datetime]) -> None:
    """Free the slots that are left and fill the new ones, in the one order that all keep."""
    mine = sa.select(booking_slots.c.starts_at).where(booking_slots.c.key == key)
    filled = set(connection.execute(mine).scalars())
    for start in sorted(filled ^ wanted):
        if start in filled:
            connection.execute(sa.delete(booking_slots).where(booking_slots.c.starts_at == start))
        elif not inserted(connection, booking_slots, {"starts_at": start, "key": key}):
            raise SlotTaken


def _insert_booking(
    connection: sa.Connection, request: BookingRequest, key: str, at: datetime
) -> str | None:
    """The new booking's reference; None: the key is taken, or all its references are."""
    row = {
        "key": key,
        "service": request.service,
        "starts_at": request.starts_at,
        "name": request.name,
        "phone": request.phone,
        "booked_at": at,
    }
    for attempt in range(MAX_CLASHES):
        reference = _reference(key, attempt)
        if inserted(connection, bookings, row | {"reference": reference}):
            return reference
        if find(connection, key) is not None:
            return None
    return None


def _reference(key: str, attempt: int) -> str:
    digest = hashlib.sha256(f"{attempt}:{key}".encode()).digest()
    return str(100_000 + int.from_bytes(digest[:8], "big") % 900_000)


def _appointment(row: sa.Row[Any]) -> Appointment:
    return Appointment(row.reference, row.service, row.starts_at, row.name)
