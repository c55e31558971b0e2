"""Twilio's account and its numbers, read and set by REST.

The SDK spells the requests; they go out through httpx on Trio, once each, since whoever asks looks
at the answer and may ask again.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import trio
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from relay.errors import PhoneControlError, certificate_fault
from relay.ports import Account, Number, NumberRoutes

ASK_S: Final = 10.0
MAX_BODY_BYTES: Final = 256 * 1024


class TwilioAccount:
    """PhoneAccount over Twilio's REST API. Close it with `aclose`."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        api_url: str = "https://api.twilio.com",
        tls: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """tls: whom to trust; True: httpx's own authorities, read for this client alone.

        transport: another way to the server than TCP.
        """
        self._sid = account_sid
        self._http = _Http(api_url, tls, transport, wall_clock)
        self._client = Client(
            account_sid, auth_token, http_client=self._http, environment={"TWILIO_REGION": ""}
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def clock_ahead_s(self) -> float | None:
        return self._http.clock_ahead_s

    async def account(self) -> Account:
        """GET Accounts/AC…"""
        with _deadline():
            found = await self._client.api.v2010.accounts(self._sid).fetch_async()
        return Account(str(found.status), str(found.type))

    async def number(self, number: str) -> Number | None:
        """GET IncomingPhoneNumbers, by the number."""
        with _deadline():
            numbers = self._client.incoming_phone_numbers
            found = await numbers.list_async(phone_number=number, limit=1)
        return _number(found[0]) if found else None

    async def route(self, sid: str, routes: NumberRoutes) -> None:
        """POST IncomingPhoneNumbers/PN…"""
        fields = {}
        for name, url in (
            ("voice", routes.voice_url),
            ("voice_fallback", routes.fallback_url),
            ("status_callback", routes.status_url),
        ):
            if url:
                fields[name if name == "status_callback" else f"{name}_url"] = url
                fields[f"{name}_method"] = "POST"
        with _deadline():
            await self._client.incoming_phone_numbers(sid).update_async(**fields)


def _number(found: Any) -> Number:
    routes = NumberRoutes(
        voice_url=found.voice_url or "",
        fallback_url=found.voice_fallback_url or "",
        status_url=found.status_callback or "",
        application=found.voice_application_sid or found.trunk_sid or "",
    )
    methods = [
        method
        for url, method in (
            (routes.voice_url, found.voice_method),
            (routes.fallback_url, found.voice_fallback_method),
            (routes.status_url, found.status_callback_method),
        )
        if url and method != "POST"
    ]
    return Number(found.sid, found.phone_number, routes, tuple(str(each) for each in methods))


@contextmanager
def _deadline() -> Iterator[None]:
    """Bound an exchange, and say what went wrong in words that hold no number and no key."""
    try:
        with trio.fail_after(ASK_S):
            yield
    except trio.TooSlowError:
        raise PhoneControlError(f"no answer within {ASK_S:g} s") from None
    except httpx.HTTPError as error:
        why = certificate_fault(error) or type(error).__name__
        raise PhoneControlError(f"no connection: {why}") from None
    except TwilioException as error:
        status, code = getattr(error, "status", None), getattr(error, "code", None)
        text = f"HTTP {status}" if status else "an answer that makes no sense"
        raise PhoneControlError(f"{text}, Twilio error {code}" if code else text) from None


class _Http(AsyncHttpClient):  # type: ignore[misc]
    """The SDK's requests over httpx, to the host that the settings name."""

    def __init__(
        self,
        api_url: str,
        tls: ssl.SSLContext | bool,
        transport: httpx.AsyncBaseTransport | None,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self.clock_ahead_s: float | None = None
        self._api_url = api_url.rstrip("/")
        self._wall_clock = wall_clock
        self._client = httpx.AsyncClient(
            timeout=ASK_S,
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
        path = httpx.URL(uri).raw_path.decode("ascii")
        response = await self._client.request(
            method, self._api_url + path, params=params, data=data, headers=headers, auth=auth
        )
        self._compare(response.headers.get("date", ""))
        if len(response.content) > MAX_BODY_BYTES:
            raise TwilioException("an answer that is too long")
        return Response(response.status_code, response.text)

    def _compare(self, date: str) -> None:
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self.clock_ahead_s = self._wall_clock() - theirs
