"""The embedded business: hours, services and facts from a TOML file, bookings in the store.

For those who have no booking system of their own, for the demo and for tests. The file is read
once, at the start, and every fault in it is named together. Times in it are the business's own
wall clock; so are all times here, except the clock that is passed in.

Slots. Each span of hours is cut into steps of `slot_minutes`, counted from its opening. An
appointment starts on a step, fills as many as its service needs, and ends within the span. The
store holds one row a filled slot under a unique key, so two callers cannot have the same one,
on however many processes.

The database blocks, so each question is one synchronous function that runs in a worker thread.
"""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import trio

from relay.errors import BusinessError, ConfigError, StoreError
from relay.ports import (
    Booked,
    BookingRequest,
    Bookings,
    BusinessProfile,
    DayHours,
    NotBooked,
    Service,
)

DEADLINE_S = 2.5  # below the 3 s after which the model is told that the tool is still pending
MAX_ALTERNATIVES = 3
SEARCH_DAYS = 14  # how far ahead alternatives are looked for
MAX_AHEAD_DAYS = 366  # beyond it the year was misheard, and hours are not yet known

Span: TypeAlias = tuple[time, time]
T = TypeVar("T")
RunSync: TypeAlias = Callable[[Callable[[], T]], Awaitable[T]]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


# ---- the file -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day with its own hours; no spans: closed."""

    spans: tuple[Span, ...]
    note: str


@dataclass(frozen=True, slots=True)
class BusinessFile:
    """What the file says. week: spans of Monday to Sunday.

    holidays: by "2026-12-25" for one date, or "12-25" for every year; the date goes first.
    """

    profile: BusinessProfile
    week: tuple[tuple[Span, ...], ...]
    holidays: Mapping[str, Holiday]
    slot_minutes: int

    def hours(self, day: date) -> DayHours:
        """Opening hours of a date."""
        for key in (day.isoformat(), f"{day:%m-%d}"):
            if (holiday := self.holidays.get(key)) is not None:
                return DayHours(day, holiday.spans, holiday.note)
        return DayHours(day, self.week[day.weekday()])

    def service(self, name: str) -> Service | None:
        """The service of a name, whatever its case."""
        wanted = name.strip().casefold()
        for service in self.profile.services:
            if service.name.casefold() == wanted:
                return service
        return None

    def slots_of(self, service: Service, starts_at: datetime) -> tuple[datetime, ...]:
        """Starts of the slots that an appointment fills, its own first."""
        count = -(-service.minutes // self.slot_minutes)
        return tuple(starts_at + timedelta(minutes=self.slot_minutes * n) for n in range(count))

    def starts(self, service: Service, day: date) -> Iterator[datetime]:
        """Every start that the hours of a day allow, in order, booked or not."""
        for opens, closes in self.hours(day).spans:
            start, end = datetime.combine(day, opens), datetime.combine(day, closes)
            while start + timedelta(minutes=service.minutes) <= end:
                yield start
                start += timedelta(minutes=self.slot_minutes)


def load_business(path: Path | None = None) -> BusinessFile:
    """Read a business file; None: the packaged example. Raises ConfigError naming every fault."""
    source = resources.files("relay.adapters") / "business.toml" if path is None else path
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not TOML: {error}") from error
    reader = _Reader(table)
    business = reader.business()
    if reader.faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in reader.faults))
    return business


class _Reader:
    """Reads a parsed file and gathers its faults; what it returns is good only without any."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.faults: list[str] = []

    def business(self) -> BusinessFile:
        self.only(
            self.table,
            "",
            {"name", "timezone", "slot_minutes", "hours", "services", "holidays", "facts"},
        )
        return BusinessFile(
            profile=BusinessProfile(
                name=self.text(self.table, "name", ""),
                timezone=self.zone(),
                services=self.services(),
                facts=self.facts(),
            ),
            week=self.week(),
            holidays=self.holidays(),
            slot_minutes=self.minutes(self.table, "slot_minutes", "", default=30),
        )

    def zone(self) -> str:
        name = self.text(self.table, "timezone", "")
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            if name:
                self.faults.append(f'timezone: "{name}" is no time zone, such as Europe/Berlin')
        return name

    def services(self) -> tuple[Service, ...]:
        found: dict[str, Service] = {}
        for where, row in self.rows("services", {"name", "minutes"}):
            name = self.text(row, "name", where)
            if name.casefold() in found:
                self.faults.append(f'{where}name: "{name}" stands twice')
            found[name.casefold()] = Service(name, self.minutes(row, "minutes", where))
        return tuple(found.values())

    def facts(self) -> Mapping[str, str]:
        facts = self.mapping("facts")
        return {topic: self.text(facts, topic, "facts.") for topic in facts}

    def week(self) -> tuple[tuple[Span, ...], ...]:
        hours = self.mapping("hours")
        self.only(hours, "hours.", set(WEEKDAYS))
        if not hours:
            self.faults.append("hours: missing; name at least one open day")
        return tuple(self.spans(hours.get(day, []), f"hours.{day}") for day in WEEKDAYS)

    def holidays(self) -> Mapping[str, Holiday]:
        found: dict[str, Holiday] = {}
        for where, row in self.rows("holidays", {"date", "note", "open"}):
            key = self.day_key(row.get("date"), where)
            note = self.text(row, "note", where) if "note" in row else ""
            found[key] = Holiday(self.spans(row.get("open", []), f"{where}open"), note)
        return found

    def day_key(self, value: object, where: str) -> str:
        text = value.isoformat() if isinstance(value, date) else value
        if isinstance(text, str):
            try:
                # 2024 is a leap year: "02-29" is a day of every year that has it.
                date.fromisoformat(text if len(text) == 10 else f"2024-{text}")
                return text
            except ValueError:
                pass
        self.faults.append(f'{where}date: write "2026-12-25", or "12-25" for every year')
        return ""

    def spans(self, value: object, where: str) -> tuple[Span, ...]:
        spans: list[Span] = []
        for text in value if isinstance(value, list) else [value]:
            span = _span(text)
            if span is None:
                self.faults.append(f'{where}: write ["09:00-12:00", "13:00-17:00"], not {text!r}')
            elif spans and span[0] < spans[-1][1]:
                self.faults.append(f"{where}: {text} begins before the span before it ends")
            else:
                spans.append(span)
        return tuple(spans)

    # -- the file's plain values

    def rows(self, name: str, known: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        value = self.table.get(name, [])
        for number, row in enumerate(value if isinstance(value, list) else [value]):
            where = f"{name}[{number}]."
            if isinstance(row, dict):
                self.only(row, where, known)
                yield where, row
            else:
                self.faults.append(f"{name}: write each one under its own [[{name}]]")

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.table.get(name, {})
        if isinstance(value, dict):
            return value
        self.faults.append(f"{name}: write it as a table, [{name}]")
        return {}

    def only(self, table: dict[str, Any], where: str, known: set[str]) -> None:
        self.faults += [
            f"{where}{key}: unknown; known are {', '.join(sorted(known))}"
            for key in table
            if key not in known
        ]

    def text(self, table: dict[str, Any], key: str, where: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        self.faults.append(f"{where}{key}: {'missing' if value is None else 'write some text'}")
        return ""

    def minutes(
        self, table: dict[str, Any], key: str, where: str, default: int | None = None
    ) -> int:
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 5 <= value <= 480:
            return value
        self.faults.append(f"{where}{key}: write a number of minutes from 5 to 480")
        return 30


def _span(text: object) -> Span | None:
    if not isinstance(text, str):
        return None
    opens, _, closes = text.partition("-")
    try:
        span = time.fromisoformat(opens.strip()), time.fromisoformat(closes.strip())
    except ValueError:
        return None
    naive = span[0].tzinfo is None and span[1].tzinfo is None
    return span if naive and span[0] < span[1] else None


# ---- the port -------------------------------------------------------------------------------


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
    """BusinessApi over a file and a table of bookings."""

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

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """Book once per key. Raises BusinessError: after DEADLINE_S, or the store's failure."""
        try:
            with trio.fail_after(DEADLINE_S):
                answer: Booked | NotBooked = await self._run_sync(lambda: self._book(request, key))
                return answer
        except trio.TooSlowError as error:
            raise BusinessError(f"the bookings did not answer within {DEADLINE_S} s") from error
        except StoreError as error:
            raise BusinessError(f"the bookings: {error}") from error

    def _local_now(self) -> datetime:
        return self._clock().astimezone(self._zone).replace(tzinfo=None)

    def _book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """Blocks. The key goes first: an answer that was given stays, whatever time it is now."""
        if (before := self._bookings.find(key)) is not None:
            return before
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

    def _alternatives(self, service: Service, wanted: datetime) -> tuple[datetime, ...]:
        """The free starts nearest to what was wanted, on its day first, then on later ones."""
        now = self._local_now()
        first_day = min(max(wanted, now), now + timedelta(days=MAX_AHEAD_DAYS)).date()
        found: list[datetime] = []
        for ahead in range(SEARCH_DAYS):
            day = first_day + timedelta(days=ahead)
            free = [start for start in self._free(service, day) if start > now]
            free.sort(key=lambda start: abs(start - wanted))
            found += free[: MAX_ALTERNATIVES - len(found)]
            if len(found) == MAX_ALTERNATIVES:
                break
        return tuple(sorted(found))

    def _free(self, service: Service, day: date) -> list[datetime]:
        starts = list(self._file.starts(service, day))
        if not starts:
            return []
        taken = set(self._bookings.taken(day))
        return [start for start in starts if taken.isdisjoint(self._file.slots_of(service, start))]
