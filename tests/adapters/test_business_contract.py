"""What every BusinessApi does: the embedded one, and the one behind HTTP, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.adapters.business_http import HttpBusiness
from relay.adapters.business_local import LocalBusiness, load_business
from relay.adapters.store import open_store
from relay.ports import Booked, BookingRequest, BusinessApi, NotBooked

TUESDAY = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
REQUEST = BookingRequest("Cleaning", TUESDAY, "Ann Lee", "+15550100")


@pytest.fixture(params=["memory", "sqlite", "postgresql", "http"])
async def business(
    request: pytest.FixtureRequest, business_path: Path, clock: Any
) -> AsyncIterator[BusinessApi]:
    """Both adapters; the embedded one over each place where bookings are kept."""
    match request.param:
        case "http":
            http = HttpBusiness(request.getfixturevalue("example_server"), clock=clock)
            yield http
            await http.aclose()
        case "memory":
            bookings = request.getfixturevalue("memory_bookings")
            yield LocalBusiness(load_business(business_path), bookings, clock=clock)
        case kind:
            store = open_store(request.getfixturevalue(f"migrated_{kind}"))
            yield LocalBusiness(load_business(business_path), store, clock=clock)
            store.close()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_the_profile(business: BusinessApi) -> None:
    profile = await business.profile()
    assert (profile.name, profile.timezone) == ("Test Clinic", "America/New_York")
    assert [(service.name, service.minutes) for service in profile.services] == [
        ("Cleaning", 30),
        ("filling", 60),
    ]
    assert dict(profile.facts) == {"parking": "behind the house"}


async def test_now_is_the_wall_clock_over_there(business: BusinessApi) -> None:
    assert await business.now() == at("2026-11-20T10:00")


@pytest.mark.parametrize(
    ("day", "spans", "note"),
    [
        ("2026-11-23", ((time(9), time(12)), (time(13), time(17))), ""),
        ("2026-11-24", ((time(9), time(17)),), ""),
        ("2026-11-22", (), ""),
        ("2026-11-26", (), "Thanksgiving"),
        ("2027-11-26", ((time(9), time(11, 30)),), ""),
        ("2026-12-24", ((time(9), time(12)),), "Christmas Eve"),
        ("2031-12-24", ((time(9), time(12)),), "Christmas Eve"),
    ],
)
async def test_hours(
    business: BusinessApi, day: str, spans: tuple[tuple[time, time], ...], note: str
) -> None:
    hours = await business.hours(date.fromisoformat(day))
    assert (hours.day, hours.spans, hours.note) == (date.fromisoformat(day), spans, note)


async def test_a_booking(business: BusinessApi) -> None:
    booked = await business.book(REQUEST, "k1")
    assert isinstance(booked, Booked)
    assert (booked.service, booked.starts_at) == ("Cleaning", TUESDAY)
    assert booked.reference


async def test_a_service_is_known_in_any_case(business: BusinessApi) -> None:
    booked = await business.book(replace(REQUEST, service=" cLEANING"), "k1")
    assert isinstance(booked, Booked)
    assert booked.service == "Cleaning"


async def test_the_same_key_gets_the_same_answer(business: BusinessApi) -> None:
    first = await business.book(REQUEST, "k1")
    assert await business.book(REQUEST, "k1") == first
    assert isinstance(await business.book(replace(REQUEST, name="Bob"), "k2"), NotBooked)


async def test_a_key_is_answered_even_when_its_time_has_passed(
    business: BusinessApi, clock: Any
) -> None:
    first = await business.book(REQUEST, "k1")
    clock.now += timedelta(days=30)
    assert await business.book(REQUEST, "k1") == first


async def test_two_at_once_and_one_wins(business: BusinessApi) -> None:
    answers: list[Booked | NotBooked] = []

    async def ask(number: int) -> None:
        one = replace(REQUEST, name=f"Caller {number}", phone=f"+1555010{number}")
        answers.append(await business.book(one, f"k{number}"))

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(ask, number)
    assert sum(isinstance(answer, Booked) for answer in answers) == 1
    for answer in answers:
        if isinstance(answer, NotBooked):
            assert answer.reason == "taken"
            assert TUESDAY not in answer.alternatives


async def test_the_same_key_at_once_is_one_booking(business: BusinessApi) -> None:
    answers: list[Booked | NotBooked] = []

    async def ask() -> None:
        answers.append(await business.book(REQUEST, "k1"))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert isinstance(answers[0], Booked)


async def test_a_taken_start_is_answered_with_the_nearest_free(business: BusinessApi) -> None:
    await business.book(REQUEST, "k1")
    refused = await business.book(replace(REQUEST, name="Bob", phone="+15550101"), "k2")
    assert refused == NotBooked(
        "taken", (at("2026-11-24T09:00"), at("2026-11-24T09:30"), at("2026-11-24T10:30"))
    ) or refused == NotBooked(
        "taken", (at("2026-11-24T09:30"), at("2026-11-24T10:30"), at("2026-11-24T11:00"))
    )


async def test_a_long_appointment_keeps_its_whole_time(business: BusinessApi) -> None:
    long = replace(REQUEST, service="filling", name="Bob", phone="+15550101")
    assert isinstance(await business.book(long, "k1"), Booked)
    inside = replace(REQUEST, starts_at=at("2026-11-24T10:30"))
    assert isinstance(await business.book(inside, "k2"), NotBooked)
    into = replace(REQUEST, service="filling", starts_at=at("2026-11-24T09:30"))
    assert isinstance(await business.book(into, "k3"), NotBooked)
    after = replace(REQUEST, starts_at=at("2026-11-24T11:00"))
    assert isinstance(await business.book(after, "k4"), Booked)


@pytest.mark.parametrize(
    ("service", "starts_at", "reason"),
    [
        ("surgery", "2026-11-24T10:00", "unknown_service"),
        ("Cleaning", "2026-11-20T09:30", "past"),
        ("Cleaning", "2026-11-20T10:00", "past"),
        ("Cleaning", "2025-11-24T10:00", "past"),
        ("Cleaning", "2026-11-22T10:00", "closed"),
        ("Cleaning", "2026-11-26T10:00", "closed"),
        ("Cleaning", "2026-11-23T12:00", "closed"),
        ("Cleaning", "2026-11-24T08:30", "closed"),
        ("Cleaning", "2026-11-24T17:00", "closed"),
        ("filling", "2026-11-24T16:30", "closed"),
        ("Cleaning", "2026-11-24T10:10", "not_a_slot"),
        ("Cleaning", "2028-11-24T10:00", "too_far"),
        ("Cleaning", "9999-12-31T23:59", "too_far"),
    ],
)
async def test_what_cannot_be_had(
    business: BusinessApi, service: str, starts_at: str, reason: str
) -> None:
    wanted = replace(REQUEST, service=service, starts_at=at(starts_at))
    refused = await business.book(wanted, "k1")
    assert isinstance(refused, NotBooked)
    assert refused.reason == reason
    assert len(refused.alternatives) == (0 if reason == "unknown_service" else 3)


async def test_every_alternative_can_be_booked(business: BusinessApi) -> None:
    """A whole day fills up by taking what is offered; what is offered is in the future."""
    wanted = replace(REQUEST, starts_at=at("2026-11-20T10:00"))
    seen: set[datetime] = set()
    for number in range(10):
        refused = await business.book(wanted, f"ask-{number}")
        assert isinstance(refused, NotBooked)
        first = refused.alternatives[0]
        assert first > at("2026-11-20T10:00")
        assert first not in seen
        seen.add(first)
        booked = await business.book(
            replace(wanted, starts_at=first, name=f"Caller {number}"), f"take-{number}"
        )
        assert isinstance(booked, Booked)
    assert sorted(seen)[:3] == [
        at("2026-11-20T10:30"),
        at("2026-11-20T11:00"),
        at("2026-11-23T09:00"),
    ]
