"""A business that answers from memory, so that tools are tested without any adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time

import pytest

from relay.ports import (
    Booked,
    BookingRequest,
    BusinessProfile,
    DayHours,
    NotBooked,
    Service,
)
from relay.tools import ToolPorts

NOON = datetime(2026, 11, 22, 12, 0)  # noqa: DTZ001 - the business's wall clock; a Sunday


@dataclass
class FakeBusiness:
    """Open 9 to 17 on weekdays; answers `answer` to every booking and remembers them."""

    answer: Booked | NotBooked | None = None
    note: str = ""
    clock: datetime = NOON
    asked: list[tuple[BookingRequest, str]] = field(default_factory=list)

    async def profile(self) -> BusinessProfile:
        return BusinessProfile("Shop", "UTC", (Service("cleaning", 30), Service("checkup", 60)))

    async def now(self) -> datetime:
        return self.clock

    async def hours(self, day: date) -> DayHours:
        spans = () if day.weekday() > 4 else ((time(9), time(17)),)
        return DayHours(day, spans, self.note)

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        self.asked.append((request, key))
        return self.answer or Booked("481516", request.service, request.starts_at)


@dataclass
class FakeDesk:
    """A ports.HumanDesk. refuses: why nobody is rung."""

    refuses: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ring(self, person: str, reason: str) -> str:
        self.asked.append((person, reason))
        return self.refuses


@pytest.fixture
def business() -> FakeBusiness:
    return FakeBusiness()


@pytest.fixture
def human() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def ports(business: FakeBusiness, human: FakeDesk) -> ToolPorts:
    return ToolPorts(business, caller="+15550100", call_sid="CA1", key="key-1", human=human)


@pytest.fixture
def fake_business() -> Callable[..., FakeBusiness]:
    return FakeBusiness
