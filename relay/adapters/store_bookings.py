"""The embedded business's appointments: once per key, and never two in one slot.

Both promises are the database's: the idempotency key is the primary key of `bookings`, a slot's
start that of `booking_slots`. Whoever inserts second waits for the first to commit, then sees it.
Nothing is read first and trusted later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa

from relay.adapters.store_records import inserted
from relay.adapters.store_tables import booking_slots, bookings
from relay.errors import StoreError
from relay.ports import Booked, BookingRequest

# References are six digits: easy to say, hard to mishear. A clash is met by the next of a series.
MAX_CLASHES = 64


class SlotTaken(Exception):  # noqa: N818 - leaves the transaction, and is no error outside
    """Rolls back a booking whose slots are not all free."""


def find(connection: sa.Connection, key: str) -> Booked | None:
    """What was booked under a key."""
    row = connection.execute(sa.select(bookings).where(bookings.c.key == key)).first()
    return None if row is None else Booked(row.reference, row.service, row.starts_at)


def taken(connection: sa.Connection, day: date) -> list[datetime]:
    """Starts of the slots that are filled on a day, in order."""
    begins = datetime.combine(day, time.min)
    start = booking_slots.c.starts_at
    query = (
        sa.select(start).where(start >= begins, start < begins + timedelta(days=1)).order_by(start)
    )
    return list(connection.execute(query).scalars())


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
        booked = find(connection, key)
        if booked is None:
            raise StoreError("no booking reference is free")
        return booked
    # In order: two bookings that overlap wait for each other, they do not deadlock.
    rows = [{"starts_at": start, "key": key} for start in sorted(slots)]
    if inserted(connection, booking_slots, rows) != len(rows):
        raise SlotTaken
    return Booked(reference, request.service, request.starts_at)


def own(connection: sa.Connection, request: BookingRequest) -> Booked | None:
    """The very same appointment, if this caller has it already under another key.

    A model that asks again spells its arguments anew ("Ann", "ann"): telling the caller that
    their own appointment is taken would be absurd.
    """
    query = sa.select(bookings).where(
        bookings.c.starts_at == request.starts_at, bookings.c.service == request.service
    )
    row = connection.execute(query).first()
    if row is None or not request.phone or row.phone != request.phone:
        return None
    if row.name.casefold() != request.name.casefold():
        return None
    return Booked(row.reference, row.service, row.starts_at)


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
