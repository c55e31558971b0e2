"""What the adapters' tests share: a business of our own, and its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from relay.ports import Booked, BookingRequest

T = TypeVar("T")

# Friday, 20 November 2026, 10:00 in New York.
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)

BUSINESS = """
name = "Test Clinic"
timezone = "America/New_York"
slot_minutes = 30

[hours]
monday = ["09:00-12:00", "13:00-17:00"]
tuesday = ["09:00-17:00"]
wednesday = ["09:00-10:30"]
thursday = ["09:00-17:00"]
friday = ["09:00-11:30"]

[[services]]
name = "Cleaning"
minutes = 30
[[services]]
name = "filling"
minutes = 60

[[holidays]]
date = "2026-11-26"
note = "Thanksgiving"
[[holidays]]
date = "12-24"
note = "Christmas Eve"
open = ["09:00-12:00"]

[facts]
parking = "behind the house"
"""


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = FRIDAY

    def __call__(self) -> datetime:
        return self.now


class MemoryBookings:
    """Bookings without a database."""

    def __init__(self) -> None:
        self.by_key: dict[str, Booked] = {}
        self.filled: set[datetime] = set()

    def find(self, key: str) -> Booked | None:
        return self.by_key.get(key)

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        wanted = set(slots or (request.starts_at,))
        if key not in self.by_key:
            if wanted & self.filled:
                return None
            self.filled |= wanted
            number = f"{len(self.by_key) + 1:06}"
            self.by_key[key] = Booked(number, request.service, request.starts_at)
        return self.by_key[key]

    def taken(self, day: date) -> list[datetime]:
        return sorted(at for at in self.filled if at.date() == day)


async def run_inline(function: Callable[[], T]) -> T:
    """Blocking calls without threads."""
    return function()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory_bookings() -> MemoryBookings:
    return MemoryBookings()


@pytest.fixture
def inline() -> Callable[[Callable[[], T]], object]:
    return run_inline


@pytest.fixture
def business_path(tmp_path: Path) -> Path:
    path = tmp_path / "business.toml"
    path.write_text(BUSINESS)
    return path
