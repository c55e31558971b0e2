"""The contract of docs/business-api.md as types: what goes over the wire, and what it means.

Both ends use them: business_http asks, `relay business` answers. Each struct has `of`, which makes
it from what the ports speak of, or `meaning`, which goes the other way, or both. Whatever does not
fit is a BusinessError, whoever sent it. docs/business-api.openapi.yaml says the same once more,
and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Annotated, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from relay.errors import BusinessError
from relay.ports import (
    Appointment,
    Booked,
    BookingRequest,
    BusinessProfile,
    ChangeRequest,
    DayHours,
    FreeStarts,
    Message,
    NotBooked,
    Service,
)

# The business's own wall clock: whose ten o'clock would one with a zone be?
Moment: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$")
]
Clock: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{2}:[0-9]{2}(:[0-9]{2})?$")]
Reference: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
Phone: TypeAlias = Annotated[str, msgspec.Meta(max_length=32)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=4000)]

S = TypeVar("S", bound=msgspec.Struct)


def read(body: bytes, shape: type[S]) -> S:
    """JSON in the contract's shape. Raises BusinessError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BusinessError(f"outside the contract: {error}") from error


# ---- what is asked --------------------------------------------------------------------------


class BookingWish(msgspec.Struct):
    """POST bookings."""

    service: Name
    starts_at: Moment
    name: Name
    phone: Phone

    @classmethod
    def of(cls, request: BookingRequest) -> BookingWish:
        return cls(request.service, _minutes(request.starts_at), request.name, request.phone)

    def meaning(self) -> BookingRequest:
        return BookingRequest(self.service, _moment(self.starts_at), self.name, self.phone)


class ChangeWish(msgspec.Struct):
    """POST bookings/change."""

    reference: Reference
    phone: Phone
    starts_at: Moment

    @classmethod
    def of(cls, request: ChangeRequest) -> ChangeWish:
        return cls(request.reference, request.phone, _minutes(request.starts_at))

    def meaning(self) -> ChangeRequest:
        return ChangeRequest(self.reference, self.phone, _moment(self.starts_at))


class CancelWish(msgspec.Struct):
    """POST bookings/cancel."""

    reference: Reference
    phone: Phone


class Search(msgspec.Struct):
    """POST bookings/search."""

    phone: Phone


class MessageLeft(msgspec.Struct):
    """POST messages."""

    kind: Literal["message", "quote"]
    name: Name
    phone: Phone
    text: Text
    about: Name = ""
    call_back: Phone = ""

    @classmethod
    def of(cls, message: Message) -> MessageLeft:
        kind: Literal["message", "quote"] = "quote" if message.kind == "quote" else "message"
        return cls(
            kind, message.name, message.phone, message.text, message.about, message.call_back
        )

    def meaning(self) -> Message:
        return Message(self.kind, self.name, self.phone, self.text, self.about, self.call_back)


# ---- what is answered -----------------------------------------------------------------------


class ServiceOffered(msgspec.Struct):
    name: str
    minutes: int


class Profile(msgspec.Struct):
    """GET profile."""

    name: str
    timezone: str
    services: list[ServiceOffered] = []
    facts: dict[str, str] = {}

    @classmethod
    def of(cls, profile: BusinessProfile) -> Profile:
        services = [ServiceOffered(each.name, each.minutes) for each in profile.services]
        return cls(profile.name, profile.timezone, services, dict(profile.facts))

    def meaning(self) -> BusinessProfile:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise BusinessError(f"there is no such time zone: {self.timezone[:40]!r}") from error
        services = tuple(Service(one.name, one.minutes) for one in self.services)
        return BusinessProfile(self.name, self.timezone, services, self.facts)


class Hours(msgspec.Struct, kw_only=True):
    """GET hours."""

    day: date = msgspec.field(name="date")
    open: list[tuple[Clock, Clock]]
    note: str = ""

    @classmethod
    def of(cls, hours: DayHours) -> Hours:
        spans = [(f"{opens:%H:%M}", f"{closes:%H:%M}") for opens, closes in hours.spans]
        return cls(day=hours.day, open=spans, note=hours.note)

    def meaning(self, asked: date) -> DayHours:
        _same_day(asked, self.day)
        spans = tuple((_time(opens), _time(closes)) for opens, closes in self.open)
        return DayHours(self.day, spans, self.note)


class Slots(msgspec.Struct, kw_only=True):
    """GET slots."""

    service: str
    day: date = msgspec.field(name="date")
    starts: list[Moment]
    later: list[Moment] = []

    @classmethod
    def of(cls, free: FreeStarts) -> Slots:
        starts, later = map(_minutes, free.starts), map(_minutes, free.later)
        return cls(service=free.service, day=free.day, starts=list(starts), later=list(later))

    def meaning(self, asked: date) -> FreeStarts:
        _same_day(asked, self.day)
        return FreeStarts(self.service, self.day, _moments(self.starts), _moments(self.later))


class Booking(msgspec.Struct):
    """An appointment: one that was booked, moved or cancelled, or is still to come."""

    reference: Reference
    service: str
    starts_at: Moment
    name: str = ""

    @classmethod
    def of(cls, booked: Booked | Appointment) -> Booking:
        name = booked.name if isinstance(booked, Appointment) else ""
        return cls(booked.reference, booked.service, _minutes(booked.starts_at), name)

    def booked(self, repeated: bool) -> Booked:
        return Booked(self.reference, self.service, _moment(self.starts_at), repeated)

    def appointment(self, repeated: bool = False) -> Appointment:
        return Appointment(
            self.reference, self.service, _moment(self.starts_at), self.name, repeated
        )


class Bookings(msgspec.Struct):
    """What a number has before it."""

    bookings: list[Booking]

    @classmethod
    def of(cls, appointments: Iterable[Appointment]) -> Bookings:
        return cls([Booking.of(each) for each in appointments])

    def meaning(self) -> tuple[Appointment, ...]:
        return tuple(each.appointment() for each in self.bookings)


class Refusal(msgspec.Struct):
    """409: it could not be had, and what could."""

    reason: Annotated[str, msgspec.Meta(min_length=1)]
    alternatives: list[Moment] = []

    @classmethod
    def of(cls, refused: NotBooked) -> Refusal:
        return cls(refused.reason, list(map(_minutes, refused.alternatives)))

    def meaning(self) -> NotBooked:
        return NotBooked(self.reason, _moments(self.alternatives))


class Taken(msgspec.Struct):
    """A message is kept. Said in so many words, lest any web page at that address count."""

    taken: bool


class Failure(msgspec.Struct):
    """Whatever else went wrong; for people who read logs."""

    error: str


# ---- dates and times ------------------------------------------------------------------------


def _minutes(at: datetime) -> str:
    return at.isoformat(timespec="minutes")


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise BusinessError(f"outside the contract: there is no {text!r}") from error


def _moments(texts: Iterable[str]) -> tuple[datetime, ...]:
    return tuple(map(_moment, texts))


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise BusinessError(f"outside the contract: there is no {text!r}") from error


def _same_day(asked: date, told: date) -> None:
    if told != asked:
        raise BusinessError(f"asked for {asked}, answered for {told}")
