"""What a run of the demo is about, drawn at random: a business, and what its callers want.

The same seed draws the same run, on any day: the business lies where it is early in the morning
now, so that all of every weekday, today included, is still to come. Everything that is drawn comes
from one `Book`, and so do the grammars of all who listen: nobody hears only the right answer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from relay.sim.phrases import WEEKDAYS, Book, Span

BOOK = Book(
    services=("cleaning", "inspection", "filling", "consultation", "massage", "haircut", "repair")
)
MIN_OPEN_DAYS = 4
EARLY_HOUR = 3  # the business's wall clock when a run begins
SLOT_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Booking:
    """What call 1 books. time: HH:MM, on the next such weekday."""

    service: str
    day: str
    time: str
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """What call 4 leaves: who wants to be called back, and about what."""

    name: str
    topic: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One draw.

    hours: opening hours of all seven days, no two open days alike; no spans: closed
    services: minutes by name
    asked: the day whose hours call 1 wants; interrupted: the one that it asks for first
    topic: what call 3 wants to speak to a person about
    meanwhile: the day whose hours call 4 wants while nobody answers
    """

    seed: int
    hours: Mapping[str, tuple[Span, ...]]
    services: Mapping[str, int]
    interrupted: str
    asked: str
    booking: Booking
    topic: str
    meanwhile: str
    message: Message


def draw(seed: int) -> Scenario:
    """Draw a run. The same seed draws the same one."""
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    hours = _hours(rng)
    open_days = [day for day in WEEKDAYS if hours[day]]
    services = {name: rng.choice((30, 60)) for name in rng.sample(BOOK.services, 3)}
    interrupted, asked = rng.sample(open_days, 2)
    service, day = rng.choice(sorted(services)), rng.choice(open_days)
    at = rng.choice(_starts(hours[day], services[service]))
    booking = Booking(service, day, at, rng.choice(BOOK.names))
    topic, other = rng.sample(BOOK.topics, 2)
    others = [day for day in WEEKDAYS if day not in (asked, interrupted)]
    shortest = min(len(hours[day]) for day in others)  # not to be heard out while nobody comes
    meanwhile = rng.choice([day for day in others if len(hours[day]) == shortest])
    message = Message(rng.choice(BOOK.names), other)
    return Scenario(seed, hours, services, interrupted, asked, booking, topic, meanwhile, message)


def _hours(rng: random.Random) -> dict[str, tuple[Span, ...]]:
    """A week in which every open day has hours of its own, so that no day passes for another."""
    open_days = rng.sample(WEEKDAYS, rng.randint(MIN_OPEN_DAYS, len(WEEKDAYS)))
    hours: dict[str, tuple[Span, ...]] = dict.fromkeys(WEEKDAYS, ())
    for day in open_days:
        spans = _day(rng)
        while spans in hours.values():
            spans = _day(rng)
        hours[day] = spans
    return hours


def _day(rng: random.Random) -> tuple[Span, ...]:
    opens, closes = rng.choice(_grid("08:00", "10:30")), rng.choice(_grid("15:00", "18:30"))
    if rng.random() < 0.5:
        return ((opens, closes),)
    lunch = rng.choice(_grid("11:30", "12:30"))
    return ((opens, lunch), (rng.choice(_grid("13:00", "14:00")), closes))


def _grid(first: str, last: str) -> list[str]:
    return [at for at in BOOK.times if first <= at <= last]


def _starts(spans: tuple[Span, ...], minutes: int) -> list[str]:
    """Every start that leaves room for an appointment before the span ends."""
    return [
        at
        for opens, closes in spans
        for at in _grid(opens, closes)
        if _minute(at) + minutes <= _minute(closes)
    ]


def _minute(at: str) -> int:
    hour, minute = map(int, at.split(":"))
    return 60 * hour + minute


# ---- the business, as the relay reads it ------------------------------------------------------


def early_zone(now: datetime) -> str:
    """A time zone in which it is EARLY_HOUR o'clock now (UTC)."""
    ahead = (EARLY_HOUR - now.astimezone(UTC).hour) % 24
    ahead -= 24 if ahead > 14 else 0
    return f"Etc/GMT{-ahead:+d}"  # POSIX counts westwards


def business_toml(scenario: Scenario, zone: str) -> str:
    """The business file of a run."""
    lines = ['name = "Corner House"', f'timezone = "{zone}"', f"slot_minutes = {SLOT_MINUTES}"]
    lines.append("[hours]")
    for day, spans in scenario.hours.items():
        quoted = ", ".join(f'"{opens}-{closes}"' for opens, closes in spans)
        lines.append(f"{day} = [{quoted}]")
    for name, minutes in scenario.services.items():
        lines += ["[[services]]", f'name = "{name}"', f"minutes = {minutes}"]
    return "\n".join([*lines, ""])


def starts_at(booking: Booking, today: date) -> datetime:
    """When a booking begins, on the business's wall clock; a weekday that is today means today."""
    ahead = (WEEKDAYS.index(booking.day) - today.weekday()) % 7
    return datetime.combine(today + timedelta(days=ahead), time.fromisoformat(booking.time))
