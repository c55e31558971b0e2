"""A business that answers from memory, so that tools are tested without any adapter."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

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
from relay.tools import ToolPorts, ToolResult, registry

NOON = datetime(2026, 11, 22, 12, 0)  # noqa: DTZ001 - the business's wall clock; a Sunday
SERVICES = (Service("cleaning", 30), Service("checkup", 60))


@dataclass
class FakeBusiness:
    """Open 9 to 17 on weekdays; answers what it is given, and remembers what it was asked.

    theirs: the appointments of each number; away: it fails instead
    """

    answer: Booked | NotBooked | Appointment | None = None
    note: str = ""
    clock: datetime = NOON
    away: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    free: FreeStarts | None = None
    theirs: dict[str, list[Appointment]] = field(default_factory=dict)
    asked: list[tuple[Any, str]] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    closed: set[date] = field(default_factory=set)

    async def profile(self) -> BusinessProfile:
        return BusinessProfile("Shop", "Europe/Berlin", SERVICES, self.facts)

    async def now(self) -> datetime:
        return self.clock

    async def hours(self, day: date) -> DayHours:
        shut = day.weekday() > 4 or day in self.closed
        return DayHours(day, () if shut else ((time(9), time(17)),), self.note)

    async def slots(self, service: str, day: date) -> FreeStarts | None:
        return self.free if service.casefold() in {each.name for each in SERVICES} else None

    async def book(self, request: BookingRequest, key: str) -> Any:
        self._write(request, key)
        return self.answer or Booked("481516", request.service, request.starts_at)

    async def appointments(self, phone: str) -> Sequence[Appointment]:
        self.phones.append(phone)
        if self.away:
            raise BusinessError("nobody answers")
        return list(self.theirs.get(phone, []))

    async def change(self, request: ChangeRequest, key: str) -> Any:
        self._write(request, key)
        if self.answer is not None:
            return self.answer
        found = self._found(request.reference, request.phone)
        if found is None:
            return NotBooked("unknown_appointment")
        return Appointment(found.reference, found.service, request.starts_at, found.name)

    async def cancel(self, reference: str, phone: str, key: str) -> Any:
        self._write((reference, phone), key)
        return self.answer or self._found(reference, phone)

    async def leave(self, message: Message, key: str) -> None:
        self._write(message, key)

    def _write(self, what: Any, key: str) -> None:
        self.asked.append((what, key))
        if self.away:
            raise BusinessError("nobody answers")

    def _found(self, reference: str, phone: str) -> Appointment | None:
        return next((a for a in self.theirs.get(phone, []) if a.reference == reference), None)


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
def withheld(ports: ToolPorts) -> ToolPorts:
    """The same for a caller who withholds their number."""
    return replace(ports, caller="")


@pytest.fixture
def fake_business() -> Callable[..., FakeBusiness]:
    return FakeBusiness


@pytest.fixture
def use(ports: ToolPorts) -> Callable[..., Awaitable[ToolResult]]:
    """Call a tool as the model does: by its name, with JSON."""

    async def use(tool: str, /, *, ports: ToolPorts = ports, **arguments: Any) -> ToolResult:
        invoke = registry()[tool].invoke
        assert invoke is not None
        return await invoke(json.dumps(arguments), ports)

    return use


@pytest.fixture
def appointment() -> Callable[..., Appointment]:
    """An appointment so many half hours after Tuesday, ten o'clock."""

    def make(reference: str = "111111", halves: int = 0, **rest: Any) -> Appointment:
        at = NOON.replace(day=24, hour=10) + timedelta(minutes=30 * halves)
        return Appointment(reference, "cleaning", at, **{"name": "Ann Lee", **rest})

    return make
