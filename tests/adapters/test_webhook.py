"""What is posted to the owner's webhook, and what counts as delivered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
import trio
import trio.testing

from relay.adapters.webhook import DEADLINE_S, HttpWebhook
from relay.errors import ConfigError, NoticeError

URL = "https://shop.example/hook?key=sesame"


class Endless(httpx.AsyncByteStream):
    """An answer whose body nobody should wait for."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.sleep(1)
            yield b"x" * 65_536


class Served(httpx.AsyncBaseTransport):
    """A receiver inside the process; None never answers."""

    def __init__(self, answer: httpx.Response | httpx.TransportError | None) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, httpx.TransportError):
            raise self.answer
        if self.answer is None:
            await trio.sleep_forever()
        assert self.answer is not None
        return self.answer


async def test_what_is_posted() -> None:
    served = Served(httpx.Response(204))
    async with aclosing(HttpWebhook(URL, transport=served)) as webhook:
        await webhook.post(b'{"id":"1"}', {"Relay-Signature": "t=1,v1=x"})
    [request] = served.requests
    assert (request.method, str(request.url), request.content) == ("POST", URL, b'{"id":"1"}')
    assert request.headers["Relay-Signature"] == "t=1,v1=x"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_what_counts_as_delivered(status: int) -> None:
    await HttpWebhook(URL, transport=Served(httpx.Response(status))).post(b"{}", {})


@pytest.mark.parametrize(
    "answer",
    [
        *(httpx.Response(status) for status in (302, 307, 400, 401, 404, 410, 429, 500, 503)),
        httpx.ConnectError(URL),
        httpx.ReadTimeout(URL),
        httpx.RemoteProtocolError(URL),
    ],
    ids=repr,
)
async def test_what_does_not(answer: httpx.Response | httpx.TransportError) -> None:
    served = Served(answer)
    with pytest.raises(NoticeError) as caught:
        await HttpWebhook(URL, transport=served).post(b'{"text":"hello"}', {})
    assert len(served.requests) == 1
    assert "sesame" not in str(caught.value)
    assert "hello" not in str(caught.value)


async def test_a_receiver_that_hangs_is_left_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(NoticeError, match="no answer within 10 s"):
        await HttpWebhook(URL, transport=Served(None)).post(b"{}", {})
    assert trio.current_time() == pytest.approx(DEADLINE_S)


async def test_nobody_waits_for_the_answers_body(autojump_clock: trio.testing.MockClock) -> None:
    served = Served(httpx.Response(200, stream=Endless()))
    await HttpWebhook(URL, transport=served).post(b"{}", {})
    assert trio.current_time() == 0


def test_what_is_no_url() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_URL"):
        HttpWebhook("https://x:port/")
