"""Twilio's REST API: calls that we place, end, redirect and record, and text messages.

The twilio SDK spells the requests. It sends them through `_Http`, which is httpx on Trio: one
pool, one deadline a try, no redirect, a bounded answer, of which the SDK is given SID and status.

What failed is one of four, and only that decides whether a second try is safe:

    unsent   no connection: certainly not carried out
    busy     429: certainly not carried out
    broken   5xx: hardly carried out
    lost     sent, and no answer that makes sense: who knows?

Placing a call, sending a text and starting a recording are tried again after the first two only,
for a phone that rings twice is worse than one that does not ring. New instructions are given
again after the first three: a call that has followed them already would begin them anew. Hanging
up and what changes a recording come to the same however often they are done.

The SDK takes 0.2 s of processor time and 12 MB to import. It is imported and warmed up when the
process starts, so that no call waits for it, nor stands still meanwhile.
"""

from __future__ import annotations

import json
import logging
import math
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

import httpx
import structlog
import trio
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from relay.errors import PhoneControlError
from relay.ports import Leg

TRY_S: Final = 5.0
ALL_TRIES_S: Final = 6.0
CONNECT_S: Final = 2.0  # leaves time for another try
WAITS_S: Final = (0.25, 0.75)  # before the second and the third try; half of each is drawn
MAX_BODY_BYTES: Final = 64 * 1024
CALL_EVENTS: Final = ["initiated", "ringing", "answered", "completed"]
RECORDING_EVENTS: Final = ["in-progress", "completed", "absent"]

Failure: TypeAlias = Literal["unsent", "busy", "broken", "lost", "refused"]

# After what a request is made again.
CREATES: Final[frozenset[Failure]] = frozenset({"unsent", "busy"})
RESTARTS: Final[frozenset[Failure]] = CREATES | {"broken"}
REPEATS: Final[frozenset[Failure]] = RESTARTS | {"lost"}
# After what the request may have been carried out all the same.
_DOUBTFUL: Final[frozenset[Failure]] = frozenset({"broken", "lost"})

# "Call is not in progress", and "not found".
_GONE: Final = frozenset({21220, 20404})
# The pool and the connection: nothing of the request has left.
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_draw = random.SystemRandom().random
_log = structlog.get_logger("relay.twilio_rest")


class TwilioPhone:
    """PhoneControl over Twilio's REST API. Close it with `aclose`."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        own_number: str,
        *,
        api_url: str = "https://api.twilio.com",
        tls: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        draw: Callable[[], float] = _draw,
    ) -> None:
        """own_number: what we call and text from. draw: a number in [0, 1), for the waits.

        tls: whom to trust; True: httpx's own authorities, read for this client alone.
        transport: another way to the server than TCP.
        """
        self._own_number = own_number
        self._draw = draw
        self._http = _Http(api_url, tls, transport)
        # An environment of our own: the SDK would look for an edge and a region in the process's.
        client = Client(
            account_sid, auth_token, http_client=self._http, environment={"TWILIO_REGION": ""}
        )
        self._calls, self._messages = client.calls, client.messages
        self._recordings = client.recordings

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def place(self, leg: Leg) -> str:
        """POST Calls. Its status_url hears of every state, not of the end alone."""

        async def ask() -> Any:
            return await self._calls.create_async(
                to=leg.to,
                from_=self._own_number,
                url=leg.screen_url,
                method="POST",
                status_callback=leg.status_url,
                status_callback_method="POST",
                status_callback_event=CALL_EVENTS,
                timeout=leg.ring_s,
            )

        return str((await self._tried("place", CREATES, ask)).sid)

    async def hang_up(self, call_sid: str) -> None:
        """POST Calls/CA…, Status=completed: ends a call that rings, too."""

        async def ask() -> Any:
            return await self._calls(call_sid).update_async(status="completed")

        await self._unless_gone("hang up", ask)

    async def status(self, call_sid: str) -> str:
        """GET Calls/CA…"""

        async def ask() -> Any:
            return await self._calls(call_sid).fetch_async()

        return str((await self._tried("look", REPEATS, ask)).status or "")

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """POST Calls/CA…, Twiml=…; URLs in it must be absolute."""

        async def ask() -> Any:
            return await self._calls(call_sid).update_async(twiml=twiml)

        await self._tried("redirect", RESTARTS, ask)

    async def text(self, to: str, body: str) -> str:
        """POST Messages."""

        async def ask() -> Any:
            return await self._messages.create_async(to=to, from_=self._own_number, body=body)

        return str((await self._tried("text", CREATES, ask)).sid)

    async def start_recording(self, call_sid: str, status_url: str) -> str:
        """POST Calls/CA…/Recordings: caller and relay in a channel each, silence kept."""

        async def ask() -> Any:
            return await self._calls(call_sid).recordings.create_async(
                recording_channels="dual",
                recording_track="both",
                trim="do-not-trim",
                recording_status_callback=status_url,
                recording_status_callback_method="POST",
                recording_status_callback_event=RECORDING_EVENTS,
            )

        return str((await self._tried("start recording", CREATES, ask)).sid)

    async def pause_recording(self, call_sid: str, recording_sid: str) -> None:
        """What is said meanwhile leaves no trace, not even silence."""
        await self._change(call_sid, recording_sid, status="paused", pause_behavior="skip")

    async def resume_recording(self, call_sid: str, recording_sid: str) -> None:
        """Go on after a pause."""
        await self._change(call_sid, recording_sid, status="in-progress")

    async def stop_recording(self, call_sid: str, recording_sid: str) -> None:
        """End a recording before its call does."""
        await self._change(call_sid, recording_sid, status="stopped")

    async def delete_recording(self, recording_sid: str) -> None:
        """DELETE Recordings/RE…"""

        async def ask() -> Any:
            return await self._recordings(recording_sid).delete_async()

        await self._unless_gone("delete recording", ask)

    async def _change(self, call_sid: str, recording_sid: str, **fields: str) -> None:
        async def ask() -> Any:
            return await self._calls(call_sid).recordings(recording_sid).update_async(**fields)

        await self._tried("change recording", REPEATS, ask)

    async def _unless_gone(self, what: str, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            await self._tried(what, REPEATS, ask)
        except PhoneControlError as error:
            if not error.gone:
                raise

    async def _tried(
        self, what: str, again: frozenset[Failure], ask: Callable[[], Awaitable[Any]]
    ) -> Any:
        """What the SDK made of the answer, at the third try at the latest."""
        deadline = trio.current_time() + ALL_TRIES_S
        doubtful = False
        for wait_s in (*self._waits(), math.inf):
            try:
                with trio.fail_at(min(deadline, trio.current_time() + TRY_S)):
                    return await ask()
            except trio.TooSlowError:
                failed = _Failed("lost", "no answer in time")
            except _Failed as error:
                failed = error
            _log.warning("! twilio", request=what, failure=failed.failure, error=str(failed))
            doubtful |= failed.failure in _DOUBTFUL
            if failed.failure not in again or trio.current_time() + wait_s >= deadline:
                break
            await trio.sleep(wait_s)
        raise PhoneControlError(
            f"{what}: {failed}",
            gone=failed.code in _GONE,
            doubtful=doubtful,
            refused=failed.failure == "refused",
        ) from failed

    def _waits(self) -> Iterator[float]:
        return (most * (0.5 + self._draw() / 2) for most in WAITS_S)


# ---- below the SDK --------------------------------------------------------------------------


class _Failed(Exception):  # noqa: N818
    """One try failed. Its text is ours: Twilio's own names the numbers that it is about."""

    def __init__(self, failure: Failure, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.failure: Failure = failure
        self.code = code


class _Http(AsyncHttpClient):  # type: ignore[misc]
    """The SDK's requests over httpx, to another host than the SDK's where the settings say so."""

    def __init__(
        self,
        api_url: str,
        tls: ssl.SSLContext | bool,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._api_url = api_url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(TRY_S, connect=CONNECT_S, pool=CONNECT_S),
            limits=httpx.Limits(max_connections=32, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            verify=tls,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        uri: str,
        *,
        params: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_limits: Any,
    ) -> Response:
        """One try. Raises _Failed for everything but a 2xx whose answer makes sense."""
        path = httpx.URL(uri).raw_path.decode("ascii")
        plain = {**(headers or {}), "Accept-Encoding": "identity"}
        try:
            async with self._client.stream(
                method, self._api_url + path, params=params, data=data, headers=plain, auth=auth
            ) as response:
                status, body = response.status_code, await _bounded(response)
        except _UNSENT as error:
            raise _Failed("unsent", f"no connection: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise _Failed("lost", type(error).__name__) from error
        answer = _object(body)
        if not 200 <= status < 300:
            code = answer.get("code")
            raise _refusal(status, code if isinstance(code, int) else None)
        return Response(status, _no_more(answer) if method != "DELETE" else "")


async def _bounded(response: httpx.Response) -> bytes:
    """A body; of one that is too long, hardly more than its beginning, which no JSON is."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return b""  # asked for or not, nothing is unpacked
    body = bytearray()
    # Leaving the loop would leave httpx's nested generators to the garbage collector. A
    # cancellation ends them in order, from within.
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                scope.cancel()
    return bytes(body[:MAX_BODY_BYTES])


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object; of anything else, an empty one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(status: int, code: int | None) -> _Failed:
    text = f"HTTP {status}" if code is None else f"HTTP {status}, Twilio error {code}"
    if status == 429:
        return _Failed("busy", text, code)
    return _Failed("broken" if status >= 500 else "refused", text, code)


def _no_more(answer: dict[str, Any]) -> str:
    """All that the SDK gets to read: it believes what it reads, and we need SID and status."""
    sid = answer.get("sid")
    if not isinstance(sid, str) or not sid:
        raise _Failed("lost", "an answer that names no SID")
    status = answer.get("status")
    return json.dumps({"sid": sid, "status": status if isinstance(status, str) else None})
