"""The owner's webhook over HTTP: a body is posted once, and anything but a 2xx is a failure.

No redirect is followed, and of the answer nothing but its status is read.
"""

from __future__ import annotations

import ssl
from typing import Final

import httpx
import trio

from relay.errors import ConfigError, NoticeError

DEADLINE_S: Final = 10.0
CONNECT_S: Final = 3.0


class HttpWebhook:
    """Webhook at a URL. Close it with `aclose`."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """tls: whom to trust; True: httpx's own authorities, read for this client alone.

        transport: another way to the server than TCP. Raises ConfigError for no URL.
        """
        try:
            self._url = httpx.URL(url)
            self._url.host.encode("idna")  # looking it up would raise this too, but in a delivery
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"NOTIFY_URL: {error}") from error
        self._client = httpx.AsyncClient(
            headers={"User-Agent": "relay", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(DEADLINE_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=16, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            verify=tls,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def post(self, body: bytes, headers: dict[str, str]) -> None:
        """Raises NoticeError, whose text names neither the URL nor what was posted."""
        try:
            with trio.fail_after(DEADLINE_S):
                async with self._client.stream(
                    "POST", self._url, content=body, headers=headers
                ) as response:
                    status = response.status_code
        except trio.TooSlowError as error:
            raise NoticeError(f"no answer within {DEADLINE_S:g} s") from error
        except httpx.HTTPError as error:
            raise NoticeError(type(error).__name__) from error
        if not 200 <= status < 300:
            raise NoticeError(f"HTTP {status}")
