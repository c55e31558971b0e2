"""The business over HTTP: who may ask, what is refused, and with which status."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from quart_trio import QuartTrio

from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.errors import BusinessError
from relay.ports import BusinessApi, Message
from relay.web.business import MAX_BODY_BYTES, create_business_app
from tests.fakes import MemoryBookings

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
BOOKING = {
    "service": "cleaning",
    "starts_at": "2026-11-24T10:00",
    "name": "Ann",
    "phone": "+15550100",
}
KEY = {"Idempotency-Key": "k1"}


async def inline(function: Any) -> Any:
    return function()


@pytest.fixture
def bookings() -> MemoryBookings:
    return MemoryBookings()


@pytest.fixture
def business(bookings: MemoryBookings) -> BusinessApi:
    return LocalBusiness(load_business(), bookings, clock=lambda: MONDAY, run_sync=inline)


@pytest.fixture
def client(business: BusinessApi) -> Any:
    return create_business_app(business).test_client()


async def post(client: Any, path: str, value: object, headers: Any = None) -> tuple[int, Any]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    response = await client.post(f"/v1/{path}", data=body, headers=headers or KEY)
    return response.status_code, json.loads(await response.get_data())


async def test_a_write_says_whether_it_was_done_now_or_before(client: Any) -> None:
    status, booked = await post(client, "bookings", BOOKING)
    assert status == 201
    assert await post(client, "bookings", BOOKING) == (200, booked)
    moved = {**BOOKING, "reference": booked["reference"], "starts_at": "2026-11-24T11:00"}
    for expected in (201, 200):
        status, changed = await post(client, "bookings/change", moved, {"Idempotency-Key": "k2"})
        assert (status, changed["starts_at"]) == (expected, "2026-11-24T11:00")
    for expected in (201, 200):
        status, _ = await post(client, "bookings/cancel", moved, {"Idempotency-Key": "k3"})
        assert status == expected
    assert await post(client, "bookings/cancel", moved, {"Idempotency-Key": "k4"}) == (
        409,
        {"reason": "unknown_appointment", "alternatives": []},
    )


async def test_a_message_arrives_whole(client: Any, bookings: MemoryBookings) -> None:
    left = {"kind": "quote", "name": "Zoë", "phone": "", "text": "💥" * 2000, "about": "a crown"}
    assert await post(client, "messages", left) == (201, {"taken": True})
    assert bookings.messages == {"k1": Message("quote", "Zoë", "", "💥" * 2000, "a crown", "")}


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "bearer sesame", "Basic sesame"])
async def test_without_the_token_there_is_nothing(business: BusinessApi, given: str) -> None:
    client = create_business_app(business, "sesame").test_client()
    for path in ("profile", "nowhere"):
        response = await client.get(f"/v1/{path}", headers={"Authorization": given})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
    status, told = await post(client, "bookings", BOOKING, {**KEY, "Authorization": given})
    assert (status, told) == (401, {"error": "this needs the bearer token"})
    response = await client.get("/v1/profile", headers={"Authorization": "Bearer sesame"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("bookings", b"", "truncated"),
        ("bookings", b"\xff\xfe", "malformed"),
        ("bookings", b"[" * 50_000, "Expected `object`"),
        ("bookings", {**BOOKING, "starts_at": "soon"}, "starts_at"),
        ("bookings", {**BOOKING, "starts_at": "2026-11-24T10:00Z"}, "starts_at"),
        ("bookings", {**BOOKING, "starts_at": "2026-13-40T10:00"}, "there is no"),
        ("bookings", {**BOOKING, "name": 5}, "name"),
        ("bookings", {**BOOKING, "phone": "1" * 33}, "phone"),
        ("bookings/change", BOOKING, "reference"),
        ("bookings/cancel", {"reference": "", "phone": "+15550100"}, "reference"),
        ("bookings/search", {}, "phone"),
        ("messages", {"kind": "prank", "name": "", "phone": "", "text": ""}, "kind"),
        ("messages", {"kind": "quote", "name": "", "phone": "", "text": "x" * 4001}, "text"),
    ],
)
async def test_what_is_outside_the_contract(
    client: Any, bookings: MemoryBookings, path: str, value: object, says: str
) -> None:
    status, told = await post(client, path, value)
    assert status == 422
    assert says in told["error"]
    assert bookings.requests == {}
    assert bookings.messages == {}


@pytest.mark.parametrize("headers", [{"X": "y"}, {"Idempotency-Key": "k" * 256}])
@pytest.mark.parametrize("path", ["bookings", "bookings/change", "bookings/cancel", "messages"])
async def test_no_write_without_a_key(client: Any, path: str, headers: dict[str, str]) -> None:
    whole = {**BOOKING, "reference": "1", "kind": "quote", "text": "x"}
    status, told = await post(client, path, whole, headers)
    assert status == 422
    assert "Idempotency-Key" in told["error"]


@pytest.mark.parametrize("query", ["", "?date=soon", "?date=2026-02-30"])
async def test_a_date_that_is_none(client: Any, query: str) -> None:
    for page in ("hours", "slots"):
        response = await client.get(f"/v1/{page}{query}")
        assert response.status_code == 422


async def test_a_body_beyond_bounds_and_pages_that_are_not_there(client: Any) -> None:
    status, _ = await post(client, "messages", b" " * (MAX_BODY_BYTES + 1))
    assert status == 413
    assert (await client.get("/v1/nowhere")).status_code == 404
    assert (await client.get("/v1/bookings")).status_code == 405


async def test_a_business_that_fails_says_503_and_no_more() -> None:
    class Away(LocalBusiness):
        def __init__(self) -> None:
            pass

        async def profile(self) -> Any:
            raise BusinessError("password authentication failed for user relay")

    app: QuartTrio = create_business_app(Away())
    response = await app.test_client().get("/v1/profile")
    assert response.status_code == 503
    assert json.loads(await response.get_data()) == {"error": "try again"}
