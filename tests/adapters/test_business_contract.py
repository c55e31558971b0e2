"""What every BusinessApi does: the embedded one, and the one behind HTTP, on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import yaml
from openapi_schema_validator import OAS31Validator

from relay.adapters.business_file import load_business
from relay.adapters.business_http import HttpBusiness
from relay.adapters.business_local import LocalBusiness
from relay.adapters.store import open_store
from relay.cli_business import serve_business
from relay.ports import (
    Appointment,
    Booked,
    BookingRequest,
    BusinessApi,
    ChangeRequest,
    FreeStarts,
    Message,
    NotBooked,
)
from relay.trust import authorities

TUESDAY = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
HALF = timedelta(minutes=30)
ANN, BOB = "+15550100", "+15550101"
REQUEST = BookingRequest("Cleaning", TUESDAY, "Ann Lee", ANN)


SPEC = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "business-api.openapi.yaml").read_text()
)


class Read(httpx.AsyncByteStream):
    """A body that was read, to be read again."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


class HeldToTheFile(httpx.AsyncHTTPTransport):
    """TCP, with every exchange held against the OpenAPI file, which neither end reads."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        body = await response.aread()
        page = SPEC["paths"][request.url.path.removeprefix("/v1")][request.method.lower()]
        if "requestBody" in page:
            fits(page["requestBody"]["content"], await request.aread())
        for parameter in map(followed, page.get("parameters", [])):
            place = request.headers if parameter["in"] == "header" else request.url.params
            assert parameter["name"] in place
        fits(followed(page["responses"][str(response.status_code)])["content"], body)
        return httpx.Response(response.status_code, headers=response.headers, stream=Read(body))


def followed(part: dict[str, Any]) -> Any:
    """A part of the file, or what its reference leads to."""
    if "$ref" not in part:
        return part
    found = SPEC
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def fits(content: dict[str, Any], body: bytes) -> None:
    """Hold a body against a schema of the file."""
    schema = {**content["application/json"]["schema"], "components": SPEC["components"]}
    OAS31Validator(schema).validate(json.loads(body))


@pytest.fixture(params=["memory", "sqlite", "postgresql", "http"])
async def business(
    request: pytest.FixtureRequest, business_path: Path, clock: Any
) -> AsyncIterator[BusinessApi]:
    """Both adapters; the embedded one over each place where bookings are kept."""
    file = load_business(business_path)
    if request.param == "memory":
        yield LocalBusiness(file, request.getfixturevalue("memory_bookings"), clock=clock)
        return
    kind = "sqlite" if request.param == "http" else request.param
    store = open_store(request.getfixturevalue(f"migrated_{kind}"))
    embedded = LocalBusiness(file, store, clock=clock)
    if request.param != "http":
        yield embedded
    else:
        async with trio.open_nursery() as nursery:
            base = await nursery.start(serve_business, embedded, "sesame", "127.0.0.1", 0)
            held = HeldToTheFile(verify=authorities())
            http = HttpBusiness(base, token="sesame", clock=clock, transport=held)
            yield http
            await http.aclose()
            nursery.cancel_scope.cancel()
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
    again = await business.book(REQUEST, "k1")
    assert again == first
    assert isinstance(first, Booked)
    assert isinstance(again, Booked)
    assert (first.repeated, again.repeated) == (False, True)
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
    none = reason in {"unknown_service", "too_far"}
    assert len(refused.alternatives) == (0 if none else 3)


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


# ---- free starts ----------------------------------------------------------------------------


async def test_free_starts_are_told_in_order_without_what_is_filled(business: BusinessApi) -> None:
    await business.book(replace(REQUEST, starts_at=at("2026-11-25T09:30")), "k1")
    day = date(2026, 11, 25)
    assert await business.slots("cleaning", day) == FreeStarts(
        "Cleaning", day, (at("2026-11-25T09:00"), at("2026-11-25T10:00"))
    )
    assert await business.slots("filling", day) == FreeStarts(
        "filling",
        day,
        (),
        (at("2026-11-27T09:00"), at("2026-11-27T09:30"), at("2026-11-27T10:00")),
    )


@pytest.mark.parametrize(
    ("day", "later"),
    [
        ("2026-11-21", "2026-11-23T09:00"),
        ("2026-11-26", "2026-11-27T09:00"),
        ("2025-01-01", "2026-11-20T10:30"),
    ],
)
async def test_a_day_without_free_starts_names_the_next(
    business: BusinessApi, day: str, later: str
) -> None:
    free = await business.slots("Cleaning", date.fromisoformat(day))
    assert free is not None
    assert free.starts == ()
    assert len(free.later) == 3
    assert free.later[0] == at(later)


@pytest.mark.parametrize("day", ["2027-12-05", "2028-01-01", "9999-12-31"])
async def test_a_day_too_far_ahead_offers_nothing_a_year_from_now(
    business: BusinessApi, day: str
) -> None:
    free = await business.slots("Cleaning", date.fromisoformat(day))
    assert free is not None
    assert (free.starts, free.later) == ((), ())


async def test_free_starts_of_what_is_not_offered(business: BusinessApi) -> None:
    assert await business.slots("surgery & more?", date(2026, 11, 24)) is None


async def test_what_has_begun_is_not_free(business: BusinessApi) -> None:
    free = await business.slots("Cleaning", date(2026, 11, 20))
    assert free is not None
    assert free.starts == (at("2026-11-20T10:30"), at("2026-11-20T11:00"))


# ---- appointments of a number ---------------------------------------------------------------


async def booked_by(business: BusinessApi, phone: str, starts_at: datetime, key: str) -> Booked:
    booked = await business.book(BookingRequest("Cleaning", starts_at, "Ann Lee", phone), key)
    assert isinstance(booked, Booked)
    return booked


async def test_a_number_has_its_own_appointments_and_no_others(business: BusinessApi) -> None:
    later = await booked_by(business, ANN, TUESDAY + HALF, "k1")
    sooner = await booked_by(business, ANN, TUESDAY, "k2")
    await booked_by(business, BOB, TUESDAY + 2 * HALF, "k3")
    assert list(await business.appointments(ANN)) == [
        Appointment(sooner.reference, "Cleaning", TUESDAY, "Ann Lee"),
        Appointment(later.reference, "Cleaning", TUESDAY + HALF, "Ann Lee"),
    ]
    assert list(await business.appointments("+15550199")) == []


@pytest.mark.parametrize("nobody", ["", "anonymous", "+266696687x", "5550100", "%"])
async def test_a_withheld_number_has_none(business: BusinessApi, nobody: str) -> None:
    booked = await booked_by(business, nobody, TUESDAY, "k1")
    assert list(await business.appointments(nobody)) == []
    moved = ChangeRequest(booked.reference, nobody, TUESDAY + HALF)
    assert await business.change(moved, "k2") == NotBooked("unknown_appointment")
    assert await business.cancel(booked.reference, nobody, "k3") is None


async def test_what_has_begun_is_no_more_to_come(business: BusinessApi, clock: Any) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    clock.now += timedelta(days=4)
    assert list(await business.appointments(ANN)) == []
    assert await business.cancel(booked.reference, ANN, "k2") is None


# ---- changing -------------------------------------------------------------------------------


async def test_a_change_frees_the_old_time_and_fills_the_new(business: BusinessApi) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    moved = Appointment(booked.reference, "Cleaning", TUESDAY + 4 * HALF, "Ann Lee")
    wish = ChangeRequest(booked.reference, ANN, TUESDAY + 4 * HALF)
    assert await business.change(wish, "k2") == moved
    assert list(await business.appointments(ANN)) == [moved]
    await booked_by(business, BOB, TUESDAY, "k3")
    taken = BookingRequest("Cleaning", TUESDAY + 4 * HALF, "Bob", BOB)
    assert isinstance(await business.book(taken, "k4"), NotBooked)


async def test_a_long_appointment_can_move_into_its_own_time(business: BusinessApi) -> None:
    long = replace(REQUEST, service="filling")
    booked = await business.book(long, "k1")
    assert isinstance(booked, Booked)
    moved = await business.change(ChangeRequest(booked.reference, ANN, TUESDAY + HALF), "k2")
    assert isinstance(moved, Appointment)
    await booked_by(business, BOB, TUESDAY, "k3")
    free = await business.slots("Cleaning", TUESDAY.date())
    assert free is not None
    assert not {TUESDAY, TUESDAY + HALF, TUESDAY + 2 * HALF} & set(free.starts)
    assert TUESDAY + 3 * HALF in free.starts


async def test_a_change_to_what_is_taken_leaves_everything_where_it_was(
    business: BusinessApi,
) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    await booked_by(business, BOB, TUESDAY + HALF, "k2")
    refused = await business.change(ChangeRequest(booked.reference, ANN, TUESDAY + HALF), "k3")
    assert isinstance(refused, NotBooked)
    assert refused.reason == "taken"
    assert TUESDAY + HALF not in refused.alternatives
    [mine] = await business.appointments(ANN)
    assert mine.starts_at == TUESDAY
    [theirs] = await business.appointments(BOB)
    assert theirs.starts_at == TUESDAY + HALF


@pytest.mark.parametrize(
    ("starts_at", "reason"),
    [
        ("2026-11-20T09:30", "past"),
        ("2026-11-22T10:00", "closed"),
        ("2026-11-24T10:10", "not_a_slot"),
        ("2028-11-24T10:00", "too_far"),
    ],
)
async def test_a_change_to_what_cannot_be_had(
    business: BusinessApi, starts_at: str, reason: str
) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    refused = await business.change(ChangeRequest(booked.reference, ANN, at(starts_at)), "k2")
    assert isinstance(refused, NotBooked)
    assert refused.reason == reason
    assert len(refused.alternatives) == (0 if reason == "too_far" else 3)


async def test_another_number_can_neither_change_nor_cancel(business: BusinessApi) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    theft = ChangeRequest(booked.reference, BOB, TUESDAY + HALF)
    assert await business.change(theft, "k2") == NotBooked("unknown_appointment")
    assert await business.cancel(booked.reference, BOB, "k3") is None
    [mine] = await business.appointments(ANN)
    assert mine.starts_at == TUESDAY


async def test_the_same_key_changes_once(business: BusinessApi) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    wish = ChangeRequest(booked.reference, ANN, TUESDAY + HALF)
    first = await business.change(wish, "k2")
    back = await business.change(ChangeRequest(booked.reference, ANN, TUESDAY), "k3")
    assert isinstance(back, Appointment)
    again = await business.change(wish, "k2")
    assert again == first
    assert isinstance(again, Appointment)
    assert again.repeated
    [mine] = await business.appointments(ANN)
    assert mine.starts_at == TUESDAY
    # Its own key, too, says what was booked then.
    assert await business.book(REQUEST, "k1") == booked


async def test_a_key_of_a_change_answers_without_a_reference(business: BusinessApi) -> None:
    """Whoever has lost the answer may have lost what it was about."""
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    first = await business.change(ChangeRequest(booked.reference, ANN, TUESDAY + HALF), "k2")
    assert await business.change(ChangeRequest("?", ANN, TUESDAY + HALF), "k2") == first


# ---- cancelling -----------------------------------------------------------------------------


async def test_a_cancelled_appointment_frees_its_time(business: BusinessApi) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    assert await business.cancel(booked.reference, ANN, "k2") == Appointment(
        booked.reference, "Cleaning", TUESDAY, "Ann Lee"
    )
    assert list(await business.appointments(ANN)) == []
    theirs = await booked_by(business, BOB, TUESDAY, "k3")
    assert theirs.reference != booked.reference
    assert await business.cancel(booked.reference, ANN, "k4") is None
    moved = ChangeRequest(booked.reference, ANN, TUESDAY + HALF)
    assert await business.change(moved, "k5") == NotBooked("unknown_appointment")


async def test_the_same_key_cancels_once(business: BusinessApi) -> None:
    booked = await booked_by(business, ANN, TUESDAY, "k1")
    first = await business.cancel(booked.reference, ANN, "k2")
    another = await booked_by(business, ANN, TUESDAY, "k3")
    again = await business.cancel("?", ANN, "k2")
    assert again == first
    assert again is not None
    assert again.repeated
    [mine] = await business.appointments(ANN)
    assert mine.reference == another.reference


async def test_the_same_cancellation_at_once_is_one(business: BusinessApi) -> None:
    for turn in range(8):
        booked = await booked_by(business, ANN, TUESDAY, f"b{turn}")
        answers: list[Appointment | None] = []

        async def ask(reference: str, key: str, answers: list[Appointment | None]) -> None:
            answers.append(await business.cancel(reference, ANN, key))

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(ask, booked.reference, f"c{turn}", answers)
        assert answers == [Appointment(booked.reference, "Cleaning", TUESDAY, "Ann Lee")] * 6


# ---- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["message", "quote"])
async def test_messages_are_taken_and_a_repeat_is_no_error(
    business: BusinessApi, kind: str
) -> None:
    left = Message(kind, "Ann Lee", ANN, 'Call me, "please" 💥\n', "a crown", "+15550177")
    await business.leave(left, "k1")
    await business.leave(left, "k1")
