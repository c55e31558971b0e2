"""The embedded business's file: who it is, when it is open, what it offers, as TOML.

It is read once, at the start, and every fault in it is named together. Times in it are the
business's own wall clock.

Slots. Each span of hours is cut into steps of `slot_minutes`, counted from its opening. An
appointment starts on a step, fills as many as its service needs, and ends within the span.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from relay.errors import ConfigError
from relay.ports import BusinessProfile, DayHours, Service

Span: TypeAlias = tuple[time, time]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


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
    which = f"BUSINESS_FILE {source}"
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{which}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{which}: not TOML: {error}") from error
    reader = _Reader(table)
    business = reader.business()
    if reader.faults:
        raise ConfigError("\n".join(f"{which}: {fault}" for fault in reader.faults))
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
