"""The business's own system over HTTP: the contract of docs/business-api.md.

One pooled client; one deadline over everything that a question takes, its second try included. A
second try is made once, for what a moment heals (no connection, a dropped one, 502 to 504), and
only because it is safe: reading changes nothing, and what writes carries its Idempotency-Key.

A request that nobody answers, time after time, is not made for a while: whoever asks gets
BusinessAway at once. Each kind of request counts for itself (one slow query is not the whole
system), and any answer that is none of a broken server's says that it works.

What comes back is not trusted. No redirect is followed (it could lead inside our network), a
body is read up to 256 KiB and never decompressed, and its JSON is checked against the contract.
"""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import structlog
import trio

from relay.adapters import business_contract as contract
from relay.adapters.business_contract import read
from relay.errors import BusinessAway, BusinessError, ConfigError
from relay.ports import (
    Appointment,
    Booked,
    BookingRequest,
    Breaker,
    BusinessProfile,
    ChangeRequest,
    DayHours,
    FreeStarts,
    Message,
    NotBooked,
    is_number,
)

DEADLINE_S = 2.5  # below the 3 s after which the model is told that the tool is still pending
CONNECT_S = 1.0  # leaves time for a second try
RETRY_AFTER_S = 0.1
MAX_BODY_BYTES = 256 * 1024
AWAY_AFTER = 5  # questions of a kind in a row, within
AWAY_WITHIN_S = 60.0
AWAY_S = 10.0  # how seldom one is asked all the same
PROFILE_AGE_S = 300.0  # how old a profile may be; a stale one serves while there is no newer

REPEATED, REFUSED = 200, 409
_KNOWN = frozenset({200, 201, REFUSED})
_PASSING = frozenset({502, 503, 504})
# The request did not arrive, or its answer got lost on the way.
_HEALS = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)
_BROKEN = 500

_log = structlog.get_logger("relay.business")


# ---- the port -------------------------------------------------------------------------------


class HttpBusiness:
    """BusinessApi over HTTP. Close it with `aclose`."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        tls: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """token: sent as a bearer token, unless empty. clock: UTC, with a time zone.

        tls: whom to trust; True: httpx's own authorities, read for this client alone.
        transport: another way to the server than TCP. Raises ConfigError for a malformed URL.
        """
        self._clock = clock
        self._profile: BusinessProfile | None = None
        self._asked_at = -math.inf
        self._breakers: dict[str, Breaker] = {}
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
            verify=tls,
            transport=transport,
        )

    @property
    def away(self) -> int:
        """How many kinds of requests are not made, because none was answered."""
        return sum(breaker.open for breaker in self._breakers.values())

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def profile(self) -> BusinessProfile:
        """GET profile, at most every five minutes. A stale one serves while that fails."""
        if self._profile is None or trio.current_time() - self._asked_at > PROFILE_AGE_S:
            self._asked_at = trio.current_time()
            try:
                _, body = await self._ask("GET", "profile")
                self._profile = read(body, contract.Profile).meaning()
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
        return read(body, contract.Hours).meaning(day)

    async def slots(self, service: str, day: date) -> FreeStarts | None:
        """GET slots?service=…&date=YYYY-MM-DD."""
        params = {"service": service, "date": day.isoformat()}
        status, body = await self._ask("GET", "slots", params=params)
        if status == REFUSED:
            return None
        return read(body, contract.Slots).meaning(day)

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """POST bookings."""
        status, body = await self._post("bookings", contract.BookingWish.of(request), key)
        if status == REFUSED:
            return read(body, contract.Refusal).meaning()
        return read(body, contract.Booking).booked(repeated=status == REPEATED)

    async def appointments(self, phone: str) -> Sequence[Appointment]:
        """POST bookings/search: a number stands in no address, since addresses are logged."""
        if not is_number(phone):
            return ()
        _, body = await self._post("bookings/search", contract.Search(phone))
        return read(body, contract.Bookings).meaning()

    async def change(self, request: ChangeRequest, key: str) -> Appointment | NotBooked:
        """POST bookings/change."""
        status, body = await self._post("bookings/change", contract.ChangeWish.of(request), key)
        if status == REFUSED:
            return read(body, contract.Refusal).meaning()
        return read(body, contract.Booking).appointment(repeated=status == REPEATED)

    async def cancel(self, reference: str, phone: str, key: str) -> Appointment | None:
        """POST bookings/cancel."""
        wish = contract.CancelWish(reference, phone)
        status, body = await self._post("bookings/cancel", wish, key)
        if status == REFUSED:
            return None
        return read(body, contract.Booking).appointment(repeated=status == REPEATED)

    async def leave(self, message: Message, key: str) -> None:
        """POST messages."""
        _, body = await self._post("messages", contract.MessageLeft.of(message), key)
        if not read(body, contract.Taken).taken:
            raise BusinessError("POST messages: the message was not taken")

    async def _post(self, path: str, value: msgspec.Struct, key: str = "") -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        content = json.dumps(msgspec.to_builtins(value)).encode()
        return await self._ask("POST", path, content=content, headers=headers)

    async def _ask(self, method: str, path: str, **rest: Any) -> tuple[int, bytes]:
        """Status and body of an answer that the contract knows, at the second try at the latest."""
        question = f"{method} {path}"
        breaker = self._breakers.setdefault(
            question, Breaker(limit=AWAY_AFTER, window_s=AWAY_WITHIN_S, pause_s=AWAY_S)
        )
        if not breaker.admits(trio.current_time()):
            raise BusinessAway(f"{question}: not asked, it was not answered {AWAY_AFTER} times")
        try:
            with _mapped(question), trio.fail_after(DEADLINE_S):
                status, body = await self._twice(method, path, **rest)
        except _UnansweredError:
            _count(breaker, question, worked=False)
            raise
        _count(breaker, question, worked=status < _BROKEN)
        if status not in _KNOWN:
            raise BusinessError(f"{question}: HTTP {status}")
        return status, body

    async def _twice(self, method: str, path: str, **rest: Any) -> tuple[int, bytes]:
        try:
            status, body = await self._try(method, path, **rest)
            if status not in _PASSING:
                return status, body
        except _HEALS:
            pass
        await trio.sleep(RETRY_AFTER_S)
        return await self._try(method, path, **rest)

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


class _UnansweredError(BusinessError):
    """Nothing came back that could be read to its end."""


def _count(breaker: Breaker, question: str, *, worked: bool) -> None:
    """Hold what came of a question against those before it."""
    if worked:
        if breaker.worked():
            _log.warning("= the business answers again", question=question)
    elif breaker.failed(trio.current_time()):
        _log.error("! the business is away: it is not asked for a while", question=question)


@contextmanager
def _mapped(question: str) -> Iterator[None]:
    """Foreign exceptions become BusinessError here, and nowhere else."""
    try:
        yield
    except trio.TooSlowError as error:
        raise _UnansweredError(f"{question}: no answer within {DEADLINE_S} s") from error
    except httpx.HTTPError as error:
        what = str(error) or type(error).__name__
        raise _UnansweredError(f"{question}: {what}") from error
