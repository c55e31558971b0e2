"""The business's own system over HTTP: the contract of docs/business-api.md.

One pooled client; one deadline over everything that a question takes, its second try included. A
second try is made once, for what a moment heals (no connection, a dropped one, 502 to 504), and
only because it is safe: reading changes nothing, and a booking carries its Idempotency-Key.

What comes back is not trusted. No redirect is followed (it could lead inside our network), a
body is read up to 256 KiB and never decompressed, and its JSON is checked against the contract.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import httpx
import msgspec
import trio

from relay.errors import BusinessError, ConfigError
from relay.ports import (
    Booked,
    BookingRequest,
    BusinessProfile,
    DayHours,
    NotBooked,
    Service,
)

DEADLINE_S = 2.5  # below the 3 s after which the model is told that the tool is still pending
CONNECT_S = 1.0  # leaves time for a second try
RETRY_AFTER_S = 0.1
MAX_BODY_BYTES = 256 * 1024
PROFILE_AGE_S = 300.0  # how old a profile may be; a stale one serves while there is no newer

_REFUSED = 409
_PASSING = frozenset({502, 503, 504})
# The request did not arrive, or its answer got lost on the way.
_HEALS = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)

T = TypeVar("T")


# ---- the port -------------------------------------------------------------------------------


class HttpBusiness:
    """BusinessApi over HTTP. Close it with `aclose`."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """token: sent as a bearer token, unless empty. clock: UTC, with a time zone.

        transport: another way to the server than TCP. Raises ConfigError for a malformed URL.
        """
        self._clock = clock
        self._profile: BusinessProfile | None = None
        self._asked_at = -math.inf
        self._client = httpx.AsyncClient(
            base_url=_checked_base(base_url),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
            timeout=httpx.Timeout(DEADLINE_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=32, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def profile(self) -> BusinessProfile:
        """GET profile, at most every five minutes. A stale one serves while that fails."""
        if self._profile is None or trio.current_time() - self._asked_at > PROFILE_AGE_S:
            self._asked_at = trio.current_time()
            try:
                _, body = await self._ask("GET", "profile")
                self._profile = _decoded(body, _Profile).meaning()
            except BusinessError:
                if self._profile is None:
                    raise
        return self._profile

    async def now(self) -> datetime:
        """The business's wall clock, without a time zone: our clock in the profile's zone."""
        zone = ZoneInfo((await self.profile()).timezone)
        return self._clock().astimezone(zone).replace(tzinfo=None)

    async def hours(self, day: date) -> DayHours:
        """GET hours?date=YYYY-MM-DD."""
        _, body = await self._ask("GET", "hours", params={"date": day.isoformat()})
        return _decoded(body, _Hours).meaning(day)

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """POST bookings, with the key as Idempotency-Key."""
        wanted = {
            "service": request.service,
            "starts_at": request.starts_at.isoformat(timespec="minutes"),
            "name": request.name,
            "phone": request.phone,
        }
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        status, body = await self._ask(
            "POST", "bookings", content=json.dumps(wanted).encode(), headers=headers
        )
        if status == _REFUSED:
            return _decoded(body, _Refusal).meaning()
        return _decoded(body, _Booking).meaning()

    async def _ask(self, method: str, path: str, **rest: Any) -> tuple[int, bytes]:
        """Status and body of an answer that the contract knows, at the second try at the latest."""
        with _mapped(f"{method} {path}"), trio.fail_after(DEADLINE_S):
            try:
                status, body = await self._try(method, path, **rest)
                if status not in _PASSING:
                    return _known(method, path, status), body
            except _HEALS:
                pass
            await trio.sleep(RETRY_AFTER_S)
            status, body = await self._try(method, path, **rest)
        return _known(method, path, status), body

    async def _try(self, method: str, path: str, **rest: Any) -> tuple[int, bytes]:
        async with self._client.stream(method, path, **rest) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise BusinessError(f"{method} {path}: a compressed answer")
            body = await _bounded(response)
        if len(body) > MAX_BODY_BYTES:
            raise BusinessError(f"{method} {path}: more than {MAX_BODY_BYTES} bytes")
        return response.status_code, body


def _checked_base(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"BUSINESS_API_BASE: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ConfigError("BUSINESS_API_BASE: write a plain http:// or https:// address")
    return url


async def _bounded(response: httpx.Response) -> bytes:
    """A body; of one that is too long, hardly more than its beginning."""
    body = bytearray()
    # Leaving the loop would leave httpx's nested generators to the garbage collector. A
    # cancellation ends them in order, from within.
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                scope.cancel()
    return bytes(body)


def _known(method: str, path: str, status: int) -> int:
    if status in {200, 201} or (status == _REFUSED and method == "POST"):
        return status
    raise BusinessError(f"{method} {path}: HTTP {status}")


@contextmanager
def _mapped(question: str) -> Iterator[None]:
    """Foreign exceptions become BusinessError here, and nowhere else."""
    try:
        yield
    except trio.TooSlowError as error:
        raise BusinessError(f"{question}: no answer within {DEADLINE_S} s") from error
    except httpx.HTTPError as error:
        what = str(error) or type(error).__name__
        raise BusinessError(f"{question}: {what}") from error


# ---- the contract's JSON --------------------------------------------------------------------


class _Service(msgspec.Struct):
    name: str
    minutes: int


class _Profile(msgspec.Struct):
    name: str
    timezone: str
    services: list[_Service] = []
    facts: dict[str, str] = {}

    def meaning(self) -> BusinessProfile:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise BusinessError(f"GET profile: no such time zone: {self.timezone!r}") from error
        services = tuple(Service(one.name, one.minutes) for one in self.services)
        return BusinessProfile(self.name, self.timezone, services, self.facts)


class _Hours(msgspec.Struct, kw_only=True):
    day: date = msgspec.field(name="date")
    open: list[tuple[str, str]]
    note: str = ""

    def meaning(self, asked: date) -> DayHours:
        if self.day != asked:
            raise BusinessError(f"GET hours: asked for {asked}, answered for {self.day}")
        spans = tuple((_time(opens), _time(closes)) for opens, closes in self.open)
        return DayHours(self.day, spans, self.note)


class _Booking(msgspec.Struct):
    reference: Annotated[str, msgspec.Meta(min_length=1)]
    service: str
    starts_at: str

    def meaning(self) -> Booked:
        return Booked(self.reference, self.service, _moment(self.starts_at))


class _Refusal(msgspec.Struct):
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    alternatives: list[str] = []

    def meaning(self) -> NotBooked:
        return NotBooked(self.reason, tuple(map(_moment, self.alternatives)))


def _decoded(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BusinessError(f"an answer outside the contract: {error}") from error


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text).replace(tzinfo=None)
    except ValueError as error:
        raise BusinessError(f"an answer outside the contract: no time: {text[:40]!r}") from error


def _moment(text: str) -> datetime:
    """A local moment. One with a zone is refused: whose ten o'clock would it be?"""
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            return at
    raise BusinessError(f"an answer outside the contract: no local time: {text[:40]!r}")
