"""The embedded business: hours, services and facts from a TOML file, bookings in the store.

For those who have no booking system of their own, for the demo and for tests. All times here are
the business's own wall clock, except the clock that is passed in.

The store holds one row a filled slot under a unique key, so two callers cannot have the same one,
on however many processes. What is looked at before (hours, free slots) only words the refusal.

The database blocks, so each question is one synchronous function that runs in a worker thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import trio

from relay.adapters.business_file import BusinessFile
from relay.errors import BusinessError, StoreError
from relay.ports import (
    Appointment,
    Booked,
    BookingRequest,
    Bookings,
    BusinessProfile,
    ChangeRequest,
    DayHours,
    FreeStarts,
    Message,
    NotBooked,
    Service,
    is_number,
)

DEADLINE_S = 2.5  # below the 3 s after which the model is told that the tool is still pending
MAX_ALTERNATIVES = 3
SEARCH_DAYS = 14  # how far ahead alternatives are looked for
MAX_AHEAD_DAYS = 366  # beyond it the year was misheard, and hours are not yet known

T = TypeVar("T")
RunSync: TypeAlias = Callable[[Callable[[], T]], Awaitable[T]]


def in_thread() -> RunSync[Any]:
    """Run blocking calls in worker threads of their own, at most four at once.

    A caller who is cancelled leaves the thread behind: the database bounds it, and a booking
    that still lands is found again under its key.
    """
    limiter = trio.CapacityLimiter(4)

    async def run(function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=limiter)

    return run


class LocalBusiness:
    """BusinessApi over a file and a table of bookings.

    What asks the bookings raises BusinessError: after DEADLINE_S, or with the store's failure.
    """

    def __init__(
        self,
        file: BusinessFile,
        bookings: Bookings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        run_sync: RunSync[Any] | None = None,
    ) -> None:
        """clock: UTC, with a time zone. run_sync: how blocking calls run; None: in threads."""
        self._file = file
        self._bookings = bookings
        self._clock = clock
        self._zone = ZoneInfo(file.profile.timezone)
        self._run_sync = in_thread() if run_sync is None else run_sync

    async def profile(self) -> BusinessProfile:
        """What the file says. Never fails."""
        return self._file.profile

    async def now(self) -> datetime:
        """The business's wall clock, without a time zone."""
        return self._local_now()

    async def hours(self, day: date) -> DayHours:
        """What the file says of a date. Never fails."""
        return self._file.hours(day)

    async def slots(self, service: str, day: date) -> FreeStarts | None:
        """When a service may begin on a day; none for a day that is past or a year ahead."""
        return await self._ask(lambda: self._slots(service, day))

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """Book once per key."""
        return await self._ask(lambda: self._book(request, key))

    async def appointments(self, phone: str) -> Sequence[Appointment]:
        """What is still to come for a number, in order."""
        if not is_number(phone):
            return ()
        return await self._ask(lambda: self._bookings.of_phone(phone, self._local_now()))

    async def change(self, request: ChangeRequest, key: str) -> Appointment | NotBooked:
        """Move an appointment, once per key."""
        return await self._ask(lambda: self._change(request, key))

    async def cancel(self, reference: str, phone: str, key: str) -> Appointment | None:
        """Cancel an appointment, once per key."""
        return await self._ask(lambda: self._cancel(reference, phone, key))

    async def leave(self, message: Message, key: str) -> None:
        """Keep a message, once per key."""
        await self._ask(lambda: self._bookings.leave(message, key, self._clock()))

    async def _ask(self, function: Callable[[], T]) -> T:
        try:
            with trio.fail_after(DEADLINE_S):
                answer: T = await self._run_sync(function)
                return answer
        except trio.TooSlowError as error:
            raise BusinessError(f"the bookings did not answer within {DEADLINE_S} s") from error
        except StoreError as error:
            raise BusinessError(f"the bookings: {error}") from error

    def _local_now(self) -> datetime:
        return self._clock().astimezone(self._zone).replace(tzinfo=None)

    # ---- what follows blocks. A key goes first: an answer that was given stays.

    def _book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        if (before := self._bookings.find(key)) is not None:
            return Booked(before.reference, before.service, before.starts_at, repeated=True)
        service = self._file.service(request.service)
        if service is None:
            return NotBooked("unknown_service")
        now, wanted = self._clock(), request.starts_at
        if (reason := self._refusal(service, wanted)) is None:
            exact = BookingRequest(service.name, wanted, request.name, request.phone)
            slots = self._file.slots_of(service, wanted)
            if (booked := self._bookings.book(exact, key, now, slots)) is not None:
                return booked
            reason = "taken"
        return NotBooked(reason, self._alternatives(service, wanted))

    def _change(self, request: ChangeRequest, key: str) -> Appointment | NotBooked:
        if (before := self._bookings.find(key)) is not None:
            return before
        found = self._theirs(request.reference, request.phone)
        if found is None:  # unless the same wish, asked twice at once, was done meanwhile
            return self._bookings.find(key) or NotBooked("unknown_appointment")
        service = self._file.service(found.service)
        if service is None:  # the file has changed since
            return NotBooked("unknown_service")
        wanted = request.starts_at
        if (reason := self._refusal(service, wanted)) is None:
            slots = self._file.slots_of(service, wanted)
            changed = self._bookings.change(request, key, self._clock(), slots)
            if changed is not None:
                return changed
            reason = "taken"
        return NotBooked(reason, self._alternatives(service, wanted))

    def _cancel(self, reference: str, phone: str, key: str) -> Appointment | None:
        if (before := self._bookings.find(key)) is not None:
            return before
        if self._theirs(reference, phone) is None:
            return self._bookings.find(key)
        return self._bookings.cancel(reference, phone, key, self._clock())

    def _theirs(self, reference: str, phone: str) -> Appointment | None:
        """A number's own appointment that is still to come."""
        if not is_number(phone):
            return None
        coming = self._bookings.of_phone(phone, self._local_now())
        return next((each for each in coming if each.reference == reference), None)

    def _refusal(self, service: Service, wanted: datetime) -> str | None:
        now = self._local_now()
        if wanted <= now:
            return "past"
        if wanted - now > timedelta(days=MAX_AHEAD_DAYS):
            return "too_far"
        if wanted in self._file.starts(service, wanted.date()):
            return None
        ends_at = wanted + timedelta(minutes=service.minutes)
        for opens, closes in self._file.hours(wanted.date()).spans:
            if datetime.combine(wanted.date(), opens) <= wanted and ends_at <= datetime.combine(
                wanted.date(), closes
            ):
                return "not_a_slot"
        return "closed"

    def _slots(self, name: str, day: date) -> FreeStarts | None:
        service = self._file.service(name)
        if service is None:
            return None
        starts: Sequence[datetime] = ()
        if day <= self._last_day():
            starts = self._free(service, day)
        later = () if starts else self._later(service, day)
        return FreeStarts(service.name, day, tuple(starts), later)

    def _later(self, service: Service, day: date) -> tuple[datetime, ...]:
        """The first free starts after a day that has none, or from now on if it is past."""
        found: list[datetime] = []
        for each in self._searched(day):
            found += self._free(service, each)
            if len(found) >= MAX_ALTERNATIVES:
                break
        return tuple(found[:MAX_ALTERNATIVES])

    def _alternatives(self, service: Service, wanted: datetime) -> tuple[datetime, ...]:
        """The free starts nearest to what was wanted, on its day first, then on later ones."""
        found: list[datetime] = []
        for each in self._searched(wanted.date()):
            free = self._free(service, each)
            free.sort(key=lambda start: abs(start - wanted))
            found += free[: MAX_ALTERNATIVES - len(found)]
            if len(found) == MAX_ALTERNATIVES:
                break
        return tuple(sorted(found))

    def _free(self, service: Service, day: date) -> list[datetime]:
        """Every free start of a day that is still to come, in order."""
        now = self._local_now()
        starts = [start for start in self._file.starts(service, day) if start > now]
        if not starts:
            return []
        taken = set(self._bookings.taken(day))
        return [start for start in starts if taken.isdisjoint(self._file.slots_of(service, start))]

    def _searched(self, wanted: date) -> list[date]:
        """Where else to look: from a day on, or from today if it is past. Nowhere for a day that
        is too far ahead: what is free a year from now is not what its caller means."""
        first = max(wanted, self._local_now().date())
        days = min(SEARCH_DAYS, (self._last_day() - first).days + 1)
        return [first + timedelta(days=ahead) for ahead in range(days)]

    def _last_day(self) -> date:
        return (self._local_now() + timedelta(days=MAX_AHEAD_DAYS)).date()
