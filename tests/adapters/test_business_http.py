"""What the HTTP adapter sends, and what it makes of servers that are slow, broken or hostile."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.adapters.business_http import (
    AWAY_AFTER,
    AWAY_S,
    DEADLINE_S,
    MAX_BODY_BYTES,
    HttpBusiness,
)
from relay.errors import BusinessAway, BusinessError, ConfigError
from relay.ports import Booked, BookingRequest, ChangeRequest, Message
from relay.trust import authorities

DAY = date(2026, 11, 24)
PHONE = "+15550100"
REQUEST = BookingRequest("Cleaning", datetime.fromisoformat("2026-11-24T10:00"), "Zoë", "+15550100")
PROFILE = {"name": "Shop", "timezone": "Europe/Berlin"}
HOURS = {"date": "2026-11-24", "open": [["09:00", "17:00"]]}
BOOKED = {"reference": "1", "service": "Cleaning", "starts_at": "2026-11-24T10:00"}

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Body(httpx.AsyncByteStream):
    """A body that is still to be read."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


class Served(httpx.AsyncBaseTransport):
    """A server inside the process: answers in turn, the last one for ever; keeps the requests."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError | None) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        await request.aread()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, httpx.TransportError):
            raise answer
        assert answer is not None
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=Body(answer.content)
        )


def ok(value: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=value)


def business(served: httpx.AsyncBaseTransport, **rest: Any) -> HttpBusiness:
    return HttpBusiness("https://shop.example/api/v1/", transport=served, **rest)


# ---- what is sent ---------------------------------------------------------------------------


async def test_a_booking_is_sent_as_the_contract_says() -> None:
    served = Served(ok(BOOKED, 201))
    await business(served, token="sesame").book(REQUEST, "key-1")
    [request] = served.requests
    assert (request.method, str(request.url)) == ("POST", "https://shop.example/api/v1/bookings")
    assert json.loads(request.content) == {
        "service": "Cleaning",
        "starts_at": "2026-11-24T10:00",
        "name": "Zoë",
        "phone": "+15550100",
    }
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer sesame"
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("ask", "path", "body", "key"),
    [
        (
            lambda shop: shop.appointments(PHONE),
            "bookings/search",
            {"phone": PHONE},
            None,
        ),
        (
            lambda shop: shop.change(ChangeRequest("1", PHONE, REQUEST.starts_at), "k"),
            "bookings/change",
            {"reference": "1", "phone": PHONE, "starts_at": "2026-11-24T10:00"},
            "k",
        ),
        (
            lambda shop: shop.cancel("1", PHONE, "k"),
            "bookings/cancel",
            {"reference": "1", "phone": PHONE},
            "k",
        ),
        (
            lambda shop: shop.leave(Message("quote", "Zoë", PHONE, "two", "a crown", "555"), "k"),
            "messages",
            {
                "kind": "quote",
                "name": "Zoë",
                "phone": PHONE,
                "text": "two",
                "about": "a crown",
                "call_back": "555",
            },
            "k",
        ),
    ],
)
async def test_everything_personal_stands_in_the_body(
    ask: Callable[[HttpBusiness], Awaitable[object]], path: str, body: Any, key: str | None
) -> None:
    served = Served(ok({**BOOKED, "bookings": [], "taken": True}, 201))
    await ask(business(served))
    [request] = served.requests
    assert str(request.url) == f"https://shop.example/api/v1/{path}"
    assert json.loads(request.content) == body
    assert request.headers.get("Idempotency-Key") == key


async def test_nobody_is_asked_about_a_number_that_is_none() -> None:
    served = Served(ok({}, 500))
    assert list(await business(served).appointments("anonymous")) == []
    assert served.requests == []


async def test_a_service_cannot_leave_its_place_in_the_address() -> None:
    served = Served(ok({"reason": "unknown_service"}, 409))
    assert await business(served).slots("../x?y=1&date=2020-01-01#", DAY) is None
    url = served.requests[0].url
    assert url.path == "/api/v1/slots"
    assert dict(url.params) == {"service": "../x?y=1&date=2020-01-01#", "date": "2026-11-24"}


async def test_hours_are_asked_by_date_and_without_a_token_there_is_none() -> None:
    served = Served(ok(HOURS))
    await business(served).hours(DAY)
    [request] = served.requests
    assert str(request.url) == "https://shop.example/api/v1/hours?date=2026-11-24"
    assert "Authorization" not in request.headers


async def test_a_text_that_is_no_text_can_be_sent() -> None:
    served = Served(ok(BOOKED))
    await business(served).book(BookingRequest("c\ud800", REQUEST.starts_at, "x\0", ""), "k")
    assert json.loads(served.requests[0].content)["name"] == "x\0"


@pytest.mark.parametrize(
    "base",
    ["", "shop.example", "ftp://shop.example", "https://", "https://x/?q=1", "http://x:port"],
)
def test_what_is_no_base(base: str) -> None:
    with pytest.raises(ConfigError, match="BUSINESS_API_BASE"):
        HttpBusiness(base)


# ---- trying again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        ok({}, 502),
        ok({}, 503),
        ok({}, 504),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
    ],
)
async def test_what_a_moment_heals_is_tried_again_under_the_same_key(
    first: httpx.Response | httpx.TransportError, autojump_clock: object
) -> None:
    served = Served(first, ok(BOOKED))
    booked = await business(served).book(REQUEST, "key-1")
    assert isinstance(booked, Booked)
    assert [request.headers["Idempotency-Key"] for request in served.requests] == ["key-1"] * 2
    assert served.requests[0].content == served.requests[1].content


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422, 429, 500, 501])
async def test_other_answers_are_final(status: int) -> None:
    served = Served(httpx.Response(status, headers={"Location": "http://169.254.169.254/"}))
    with pytest.raises(BusinessError, match=f"POST bookings: HTTP {status}"):
        await business(served).book(REQUEST, "key-1")
    assert len(served.requests) == 1


async def test_a_second_failure_is_the_answer(autojump_clock: object) -> None:
    served = Served(ok({}, 503))
    with pytest.raises(BusinessError, match="GET hours: HTTP 503"):
        await business(served).hours(DAY)
    assert len(served.requests) == 2
    served = Served(httpx.ConnectError("refused"))
    with pytest.raises(BusinessError, match="GET hours: refused"):
        await business(served).hours(DAY)
    assert len(served.requests) == 2


@pytest.mark.parametrize("first", [None, httpx.ConnectError("refused")])
async def test_the_deadline_covers_both_tries(
    first: httpx.TransportError | None, autojump_clock: object
) -> None:
    began = trio.current_time()
    with pytest.raises(BusinessError, match=r"no answer within 2\.5 s"):
        await business(Served(first, None)).book(REQUEST, "key-1")
    assert trio.current_time() - began == pytest.approx(DEADLINE_S)


# ---- when it is away ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, httpx.ConnectError("refused"), httpx.Response(500)])
async def test_who_never_answers_is_not_asked_for_a_while_and_then_once(
    fault: httpx.Response | httpx.TransportError | None, autojump_clock: object
) -> None:
    served = Served(fault)
    shop = business(served)
    for _ in range(AWAY_AFTER):
        with pytest.raises(BusinessError) as caught:
            await shop.hours(DAY)
        assert not isinstance(caught.value, BusinessAway)
    asked, began = len(served.requests), trio.current_time()
    with pytest.raises(BusinessAway):
        await shop.hours(DAY)
    assert (len(served.requests), trio.current_time()) == (asked, began), "at once, and unasked"
    assert shop.away == 1
    served.answers = [ok(HOURS)]
    await trio.sleep(AWAY_S)
    await shop.hours(DAY)
    assert shop.away == 0
    await shop.hours(DAY)


async def test_one_kind_of_request_that_nobody_answers_keeps_no_other_back() -> None:
    served = Served(*[httpx.ConnectError("refused")] * AWAY_AFTER * 2, ok(BOOKED, 201))
    shop = business(served)
    for _ in range(AWAY_AFTER):
        with pytest.raises(BusinessError):
            await shop.hours(DAY)
    assert shop.away == 1
    assert isinstance(await shop.book(REQUEST, "key-1"), Booked)


@pytest.mark.parametrize(
    "answer", [httpx.Response(401), httpx.Response(200, content=b"<html>"), ok(HOURS)]
)
async def test_who_answers_anything_is_there(answer: httpx.Response) -> None:
    served = Served(answer)
    shop = business(served)
    for _ in range(3 * AWAY_AFTER):
        with suppress(BusinessError):
            await shop.hours(DAY)
    assert (len(served.requests), shop.away) == (3 * AWAY_AFTER, 0)


async def test_a_caller_who_hangs_up_meanwhile_says_nothing_of_the_business(
    autojump_clock: object,
) -> None:
    shop = business(Served(None))
    for _ in range(3 * AWAY_AFTER):
        with trio.move_on_after(DEADLINE_S / 2):
            await shop.hours(DAY)
    assert shop.away == 0


# ---- what comes back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"date":"2026-11-24","open":[["09:00"]]}',
        b'{"date":"2026-11-24","open":[["nine","five"]]}',
        b'{"date":"2026-11-24","open":"all day"}',
        b'{"date":"2026-11-24","open":[],"note":3}',
        b'{"date":"2026-11-25","open":[]}',
        b'{"date":"soon","open":[]}',
    ],
)
async def test_hours_outside_the_contract(body: bytes) -> None:
    with pytest.raises(BusinessError) as caught:
        await business(Served(httpx.Response(200, content=body))).hours(DAY)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (201, {**BOOKED, "reference": ""}),
        (201, {**BOOKED, "reference": 7}),
        (201, {**BOOKED, "starts_at": "2026-11-24T10:00Z"}),
        (201, {**BOOKED, "starts_at": "tomorrow"}),
        (201, {"reason": "taken"}),
        (409, BOOKED),
        (409, {"reason": ""}),
        (409, {"reason": "taken", "alternatives": ["soon"]}),
        (409, {"reason": "taken", "alternatives": [3]}),
    ],
)
async def test_bookings_outside_the_contract(status: int, value: object) -> None:
    with pytest.raises(BusinessError, match="outside the contract"):
        await business(Served(ok(value, status))).book(REQUEST, "k")


@pytest.mark.parametrize(
    ("ask", "status", "value"),
    [
        (
            lambda shop: shop.slots("c", DAY),
            200,
            {"service": "c", "date": "2026-11-25", "starts": []},
        ),
        (lambda shop: shop.slots("c", DAY), 200, {"service": "c", "date": "2026-11-24"}),
        (lambda shop: shop.appointments(PHONE), 200, {"bookings": [BOOKED, {}]}),
        (lambda shop: shop.appointments(PHONE), 200, []),
        (lambda shop: shop.cancel("1", PHONE, "k"), 200, {"cancelled": True}),
        (lambda shop: shop.leave(Message("message", "", "", "x"), "k"), 200, {}),
        (lambda shop: shop.leave(Message("message", "", "", "x"), "k"), 201, {"taken": False}),
        (lambda shop: shop.leave(Message("message", "", "", "x"), "k"), 409, {"reason": "full"}),
    ],
)
async def test_other_answers_outside_the_contract(
    ask: Callable[[HttpBusiness], Awaitable[object]], status: int, value: object
) -> None:
    with pytest.raises(BusinessError):
        await ask(business(Served(ok(value, status))))


async def test_a_web_page_is_no_message_taken() -> None:
    page = httpx.Response(200, html="<html>It works!</html>")
    with pytest.raises(BusinessError, match="outside the contract"):
        await business(Served(page)).leave(Message("message", "", "", "x"), "k")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_business_error(body: bytes) -> None:
    async def ask() -> None:
        with suppress(BusinessError):
            await business(Served(httpx.Response(200, content=body))).hours(DAY)

    trio.run(ask)


async def test_fields_that_the_contract_does_not_know_are_ignored() -> None:
    hours = await business(Served(ok({**HOURS, "weather": "fine"}))).hours(DAY)
    assert hours.note == ""


async def test_a_zone_that_there_is_not() -> None:
    with pytest.raises(BusinessError, match="no such time zone"):
        await business(Served(ok({**PROFILE, "timezone": "Mars/Base"}))).profile()


async def test_a_compressed_answer_is_refused_unread() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Body(bomb))

    class Bomb(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return answer

    with pytest.raises(BusinessError, match="compressed"):
        await business(Bomb()).hours(DAY)


# ---- the profile and its clock --------------------------------------------------------------


async def test_now_is_counted_in_the_business_s_zone() -> None:
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    shop = business(Served(ok(PROFILE)), clock=lambda: at)
    assert await shop.now() == datetime.fromisoformat("2026-07-02T00:30")


async def test_the_profile_is_asked_for_again_after_a_while(autojump_clock: object) -> None:
    served = Served(ok(PROFILE), ok({**PROFILE, "name": "Other"}))
    shop = business(served)
    assert (await shop.profile()).name == "Shop"
    await trio.sleep(200)
    assert (await shop.profile()).name == "Shop"
    assert len(served.requests) == 1
    await trio.sleep(200)
    assert (await shop.profile()).name == "Other"


async def test_a_stale_profile_is_better_than_none(autojump_clock: object) -> None:
    served = Served(ok(PROFILE), ok({}, 500))
    shop = business(served)
    await shop.profile()
    await trio.sleep(400)
    assert (await shop.profile()).name == "Shop"
    with pytest.raises(BusinessError):
        await business(Served(ok({}, 500))).profile()


# ---- on real sockets ------------------------------------------------------------------------


@asynccontextmanager
async def tcp(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> Any:
    """A TCP server that does what it likes with each connection."""

    async def guarded(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await stream.receive_some(65536)
                await serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, guarded, [listener])
        port = listener.socket.getsockname()[1]
        shop = HttpBusiness(f"http://127.0.0.1:{port}", tls=authorities())
        yield shop
        await shop.aclose()
        nursery.cancel_scope.cancel()


async def test_an_endless_body_is_left_after_256_kib() -> None:
    sent = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        while True:
            await stream.send_all(chunk)
            sent += 65536

    async with tcp(serve) as shop:
        tracemalloc.start()
        with pytest.raises(BusinessError, match=f"more than {MAX_BODY_BYTES} bytes"):
            await shop.hours(DAY)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4_000_000
    # What the sockets' own buffers swallow on top is the kernel's.
    assert sent < 16_000_000


async def test_a_body_that_drips_is_left_at_the_deadline() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b" ")
            await trio.sleep(0.1)

    async with tcp(serve) as shop:
        began = trio.current_time()
        with pytest.raises(BusinessError, match="no answer within"):
            await shop.hours(DAY)
        assert DEADLINE_S - 0.1 < trio.current_time() - began < DEADLINE_S + 1


async def test_a_dropped_connection_is_opened_again() -> None:
    times = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal times
        times += 1
        if times > 1:
            body = json.dumps(HOURS).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send_all(head.encode() + body)

    async with tcp(serve) as shop:
        assert (await shop.hours(DAY)).spans
    assert times == 2


async def test_what_does_not_speak_http() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    async with tcp(serve) as shop:
        with pytest.raises(BusinessError, match="GET hours"):
            await shop.hours(DAY)


async def test_nobody_listens() -> None:
    shop = HttpBusiness("http://127.0.0.1:9", tls=authorities())
    began = trio.current_time()
    with pytest.raises(BusinessError, match="GET hours"):
        await shop.hours(DAY)
    assert trio.current_time() - began < 1
    await shop.aclose()


async def test_connections_are_kept() -> None:
    """A second question must not pay for a second handshake."""
    opened = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal opened
        opened += 1
        for ahead in range(5):
            if ahead:
                await stream.receive_some(65536)
            body = json.dumps({**HOURS, "date": f"2026-11-{24 + ahead}"}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send_all(head.encode() + body)

    async with tcp(serve) as shop:
        for ahead in range(5):
            await shop.hours(DAY + timedelta(days=ahead))
    assert opened == 1
