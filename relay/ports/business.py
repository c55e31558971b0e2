"""The business's own system, and where the embedded one keeps its appointments."""

from __future__ import annotations

import re
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
    """The appointment stands. reference is what a person can say and write down.

    repeated: this key had booked before, and this is that first answer: it may be old by now
    """

    reference: str
    service: str
    starts_at: datetime
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class NotBooked:
    """It could not be had; alternatives: what could.

    reason: taken | closed | unknown_service | past | too_far | not_a_slot, and of a change
        unknown_appointment: the number has no such appointment before it
    """

    reason: str
    alternatives: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Appointment:
    """An appointment of one telephone number. repeated: as in Booked."""

    reference: str
    service: str
    starts_at: datetime
    name: str = ""
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """Another start for an appointment of this number; service and name stay."""

    reference: str
    phone: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class FreeStarts:
    """When a service may begin on a day, in order. later: the next ones, when there are none."""

    service: str
    day: date
    starts: tuple[datetime, ...]
    later: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """What a caller leaves for people to read.

    kind: message | quote
    phone: the number of the line, "" when it is withheld; call_back: another that they asked for
    about: what a quote is wanted of
    """

    kind: str
    name: str
    phone: str
    text: str
    about: str = ""
    call_back: str = ""


_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


def is_number(phone: str) -> bool:
    """Whether this says who calls: an E.164 number, and not "" or "anonymous"."""
    return _NUMBER.fullmatch(phone) is not None


class BusinessApi(Protocol):
    """The business's own system. Every method has its own deadline and may raise BusinessError.

    Whatever writes takes a key and acts once per key: a repeat gets the first answer again, before
    anything else is looked at. What was refused under a key is judged afresh. An appointment
    belongs to the number that it was booked from: no other sees it, moves it or cancels it.
    """

    async def profile(self) -> BusinessProfile: ...

    async def now(self) -> datetime:
        """The business's local wall clock, without a time zone: what "tomorrow" is counted from."""
        ...

    async def hours(self, day: date) -> DayHours: ...

    async def slots(self, service: str, day: date) -> FreeStarts | None:
        """When a service may begin on a day. None: there is no such service."""
        ...

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked: ...

    async def appointments(self, phone: str) -> Sequence[Appointment]:
        """What is still to come for a number, in order; nothing for what is no number."""
        ...

    async def change(self, request: ChangeRequest, key: str) -> Appointment | NotBooked:
        """Move an appointment. What is refused leaves it where it was."""
        ...

    async def cancel(self, reference: str, phone: str, key: str) -> Appointment | None:
        """Cancel an appointment. None: the number has no such appointment before it."""
        ...

    async def leave(self, message: Message, key: str) -> None:
        """Keep a message, or a quote's request, for people to read."""
        ...


class Bookings(Protocol):
    """Where the embedded business keeps its appointments. Blocks; may raise StoreError.

    `book`, `change` and `cancel` do the same again for the same key: give its first answer.
    """

    def find(self, key: str) -> Appointment | None:
        """What was booked, changed or cancelled under a key, as it was then; None: nothing."""
        ...

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        """None: a slot is taken.

        slots: starts of every slot that the appointment fills; empty: its own start alone.
        """
        ...

    def change(
        self, request: ChangeRequest, key: str, at: datetime, slots: Sequence[datetime]
    ) -> Appointment | None:
        """Move an appointment and its slots at once. None: a slot is taken, or it is not theirs."""
        ...

    def cancel(self, reference: str, phone: str, key: str, at: datetime) -> Appointment | None:
        """Cancel an appointment and free its slots. None: it is not theirs, or not any more."""
        ...

    def of_phone(self, phone: str, after: datetime) -> Sequence[Appointment]:
        """A number's appointments that begin after a local moment, in order."""
        ...

    def taken(self, day: date) -> Sequence[datetime]:
        """Starts of the slots that are filled on a day."""
        ...

    def leave(self, message: Message, key: str, at: datetime) -> None: ...
