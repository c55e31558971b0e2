"""GET /metrics, on a port of its own: who asks right gets the page, and nobody stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import pytest
import trio

from relay import metrics_page
from relay.errors import ConfigError
from relay.metrics import CONTENT_TYPE
from relay.metrics_page import MAX_CONNECTIONS, serve_metrics
from relay.trust import authorities


def page() -> bytes:
    return b"relay_calls_live 0.0\n"


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        serve = partial(serve_metrics, lambda: page, host="127.0.0.1", port=0)
        with trio.fail_after(10):
            yield await nursery.start(serve)
        nursery.cancel_scope.cancel()


async def get(port: int, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
        return await client.request(method, f"http://127.0.0.1:{port}{path}")


async def test_the_page_and_nothing_but_the_page() -> None:
    async with serving() as port:
        answer = await get(port, "/metrics?name=x")
        assert (answer.status_code, answer.content) == (200, page())
        assert answer.headers["content-type"] == CONTENT_TYPE
        for method, path in (("GET", "/"), ("GET", "/twilio/incoming"), ("POST", "/metrics")):
            other = await get(port, path, method)
            assert (other.status_code, other.content) == (404, b"")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\0"])
async def test_nonsense_ends_its_connection_alone(said: bytes) -> None:
    async with serving() as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(said)
            await stream.send_eof()
            with suppress(trio.BrokenResourceError):
                assert not (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert (await get(port, "/metrics")).status_code == 200


async def test_who_says_nothing_does_not_stay_and_keeps_nobody_out_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_page, "EXCHANGE_S", 0.5)
    async with serving() as port:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        with pytest.raises(httpx.HTTPError):
            await get(port, "/metrics")
        for stream in silent:
            assert await stream.receive_some() == b""
            await stream.aclose()
        assert (await get(port, "/metrics")).status_code == 200


async def test_a_taken_port_is_a_fault_of_the_settings() -> None:
    async with serving() as port:
        with pytest.raises(ConfigError, match=f"METRICS_HOST 127.0.0.1, METRICS_PORT {port}"):
            await serve_metrics(lambda: page, host="127.0.0.1", port=port)
