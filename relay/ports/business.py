"""The business's own system, and where the embedded one keeps its appointments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    minutes: int


@dataclass(frozen=True, slots=True)
class BusinessProfile:
    """Who the agent answers for. facts: what a caller may be told, by topic."""

    name: str
    timezone: str
    services: tuple[Service, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayHours:
    """Opening hours of one date, local time; no spans: closed. note: "holiday", say."""

    day: date
    spans: tuple[tuple[time, time], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """starts_at is local to the business, without a time zone, to the minute."""

    service: str
    starts_at: datetime
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Booked:
    """The appointment stands. reference is what a person can say and write down."""

    reference: str
    service: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class NotBooked:
    """It could not be had; alternatives: what could.

    reason: taken | closed | unknown_service | past | too_far | not_a_slot
    """

    reason: str
    alternatives: tuple[datetime, ...] = ()


class BusinessApi(Protocol):
    """The business's own system. Every method has its own deadline and may raise BusinessError."""

    async def profile(self) -> BusinessProfile: ...

    async def now(self) -> datetime:
        """The business's local wall clock, without a time zone: what "tomorrow" is counted from."""
        ...

    async def hours(self, day: date) -> DayHours: ...

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """Book once per key: a repeat of the key gets the first answer again."""
        ...


class Bookings(Protocol):
    """Where the embedded business keeps its appointments. Blocks; may raise StoreError."""

    def find(self, key: str) -> Booked | None:
        """What was booked under a key; None: nothing."""
        ...

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        """None: a slot is taken. The same key always gets the same Booked.

        slots: starts of every slot that the appointment fills; empty: its own start alone.
        """
        ...

    def taken(self, day: date) -> Sequence[datetime]:
        """Starts of the slots that are filled on a day."""
        ...
