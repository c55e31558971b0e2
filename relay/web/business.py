"""A business over HTTP: the other end of docs/business-api.md, served by `relay business`.

It speaks for any BusinessApi, adds nothing, and promises what the contract asks of every server:
bounded bodies, a bearer token if there is one, and for every refusal a status and a reason.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final, TypeVar, cast

import msgspec
import structlog
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from relay.adapters import business_contract as contract
from relay.errors import BusinessError
from relay.exchange import App
from relay.ports import Appointment, Booked, BusinessApi, NotBooked
from relay.web.bounded import Bounded

BASE: Final = "/v1"
MAX_BODY_BYTES: Final = 64 * 1024  # a message of 4,000 characters, all of them escaped, fits
BODY_TIMEOUT_S: Final = 5
MAX_KEY_CHARS: Final = 255

S = TypeVar("S", bound=msgspec.Struct)

_log = structlog.get_logger("relay.business")


def create_business_app(business: BusinessApi, token: str = "") -> QuartTrio:
    """An app that needs no start and no stop. token: what every request must bear, unless empty."""
    app = QuartTrio("relay.business")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    expected = f"Bearer {token}".encode()

    @app.before_request
    async def may_ask() -> Response | None:
        given = request.headers.get("Authorization", "").encode()
        if token and not hmac.compare_digest(given, expected):
            return _failed(401, "this needs the bearer token", {"WWW-Authenticate": "Bearer"})
        return None

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        return _failed(error.code or 500, error.description or error.name)

    @app.errorhandler(BusinessError)
    async def unavailable(error: BusinessError) -> Response:
        _log.warning("! business failed", error=str(error))
        return _failed(503, "try again")

    for method, path, answer in _pages(business):
        app.add_url_rule(f"{BASE}/{path}", path, answer, methods=[method])
    bounded = Bounded(cast("App", app.asgi_app), max_bytes=MAX_BODY_BYTES)
    app.asgi_app = bounded  # type: ignore[method-assign, assignment]
    return app


def _pages(
    business: BusinessApi,
) -> list[tuple[str, str, Callable[[], Awaitable[Response]]]]:
    """Method, path and what answers, of every page."""

    async def profile() -> Response:
        return _answer(200, contract.Profile.of(await business.profile()))

    async def hours() -> Response:
        return _answer(200, contract.Hours.of(await business.hours(_day())))

    async def slots() -> Response:
        free = await business.slots(request.args.get("service", ""), _day())
        if free is None:
            return _answer(409, contract.Refusal("unknown_service"))
        return _answer(200, contract.Slots.of(free))

    async def book() -> Response:
        wish = await _wish(contract.BookingWish)
        return _written(await business.book(_meant(wish.meaning), _key()))

    async def search() -> Response:
        wish = await _wish(contract.Search)
        return _answer(200, contract.Bookings.of(await business.appointments(wish.phone)))

    async def change() -> Response:
        wish = await _wish(contract.ChangeWish)
        return _written(await business.change(_meant(wish.meaning), _key()))

    async def cancel() -> Response:
        wish = await _wish(contract.CancelWish)
        cancelled = await business.cancel(wish.reference, wish.phone, _key())
        return _written(cancelled or NotBooked("unknown_appointment"))

    async def leave() -> Response:
        wish = await _wish(contract.MessageLeft)
        await business.leave(wish.meaning(), _key())
        return _answer(201, contract.Taken(True))

    return [
        ("GET", "profile", profile),
        ("GET", "hours", hours),
        ("GET", "slots", slots),
        ("POST", "bookings", book),
        ("POST", "bookings/search", search),
        ("POST", "bookings/change", change),
        ("POST", "bookings/cancel", cancel),
        ("POST", "messages", leave),
    ]


# ---- what was asked -------------------------------------------------------------------------

T = TypeVar("T")


async def _wish(shape: type[S]) -> S:
    body = cast("bytes", await request.get_data(as_text=False))
    return _meant(lambda: contract.read(body, shape))


def _meant(meaning: Callable[[], T]) -> T:
    """What a request means; one outside the contract is its sender's fault."""
    try:
        return meaning()
    except BusinessError as error:
        raise UnprocessableEntity(str(error)) from error


def _day() -> date:
    try:
        return date.fromisoformat(request.args.get("date", ""))
    except ValueError as error:
        raise UnprocessableEntity("date: write YYYY-MM-DD") from error


def _key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not 0 < len(key) <= MAX_KEY_CHARS:
        raise UnprocessableEntity(f"Idempotency-Key: send one of 1 to {MAX_KEY_CHARS} characters")
    return key


# ---- what is answered -----------------------------------------------------------------------


def _written(answer: Booked | Appointment | NotBooked) -> Response:
    """201: done now. 200: this key has done it before. 409: not done."""
    match answer:
        case NotBooked():
            return _answer(409, contract.Refusal.of(answer))
        case Booked(repeated=repeated) | Appointment(repeated=repeated):
            return _answer(200 if repeated else 201, contract.Booking.of(answer))


def _answer(status: int, value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), status, mimetype="application/json")


def _failed(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    response = _answer(status, contract.Failure(why))
    response.headers.update(headers or {})
    return response
