"""The Autobahn test suite's cases, driven by kosoku, against our native sockets in both roles.

All core cases: framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closes, limits, all of
it in any order. Left out are the cases of size and speed (9) and compression (12, 13), which we do
not offer. Two cases are NON-STRICT by choice: text is refused when its frame is whole, not at the
first bad byte on the wire.
"""

from __future__ import annotations

import asyncio
import queue
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import h11
import kosoku
import pytest
import trio

from relay import door
from relay.errors import SocketClosed
from relay.shell import pump, sockets
from relay.shell.native_socket import NativeSocket
from relay.shell.outbox import Outbox

NOT_CORE = ["9.*", "12.*", "13.*"]
LARGEST = 16 * 1024 * 1024
CORE_CASES = 247
AGENT = "relay"


def judge(results: Sequence[kosoku.CaseResult]) -> None:
    failed = [f"{each.case_id}: {each.result} {each.result_close}" for each in results]
    assert [text for each, text in zip(results, failed, strict=True) if not each.passed] == []
    assert len(results) == CORE_CASES
    behaviour = Counter(each.behavior.value for each in results)
    assert behaviour["OK"] >= 242


async def echo(socket: NativeSocket, *, poured: bool) -> None:
    """Return every message until the connection is over: after `receive`, or while it pours."""
    if not poured:
        with suppress(SocketClosed):
            while True:
                await socket.send(await socket.receive())
    outbox = Outbox(1000)

    def at_once(message: str | bytes) -> None:
        assert outbox.post(message)
        outbox.flush()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, socket)
        for _ in range(2):  # the outbox begins in the first round, or in the second
            await trio.lowlevel.checkpoint()
        with suppress(SocketClosed):
            await socket.pour(at_once)
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["received", "poured", "pumped"])
async def how(request: pytest.FixtureRequest, nursery: trio.Nursery) -> str:
    """Who waits for the bytes: the reader itself, or the pump."""
    if request.param == "pumped":
        nursery.start_soon(pump.Pump().run)
        await trio.testing.wait_all_tasks_blocked()
    return request.param


async def test_the_servers_side(how: str, nursery: trio.Nursery, monkeypatch) -> None:
    monkeypatch.setattr(sockets, "PHONE_MESSAGE_BYTES", LARGEST)

    async def serve(stream: trio.SocketStream) -> None:
        parser, raw, head = h11.Connection(h11.SERVER), bytearray(), None
        while head is None:
            some = await stream.receive_some(4096)
            raw += some
            head = door._read_on(parser, some, raw)
        assert isinstance(head, door.Head)
        key = head.header("sec-websocket-key")
        opening = sockets.welcome(stream, head.raw, key=key, rest=head.rest, handshake_s=5)
        async with opening as socket:
            await echo(socket, poured=how != "received")

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]

    def drive() -> list[kosoku.CaseResult]:
        async def run() -> list[kosoku.CaseResult]:
            return await kosoku.run_fuzzingclient(
                f"ws://127.0.0.1:{port}", exclude_cases=NOT_CORE, concurrency=8
            )

        try:
            return asyncio.run(run())
        except kosoku.FailureError as failure:
            return failure.results

    judge(await trio.to_thread.run_sync(drive))
    nursery.cancel_scope.cancel()


async def test_the_clients_side(how: str, nursery: trio.Nursery) -> None:
    ports: queue.Queue[int] = queue.Queue()
    results: list[kosoku.CaseResult] = []

    def serve_cases() -> None:
        async def run() -> None:
            server = kosoku.run_fuzzingserver(exclude_cases=NOT_CORE, port=0)
            async with server:
                ports.put(server.port)
                results.extend(await server.get_result())

        try:
            asyncio.run(run())
        except kosoku.FailureError as failure:
            results.extend(failure.results)

    async def ask(path: str) -> str | bytes:
        async with sockets.dial(f"ws://127.0.0.1:{port}/{path}", []) as socket:
            return await socket.receive()

    async def play(case: int) -> None:
        url = f"ws://127.0.0.1:{port}/runCase?case={case}&agent={AGENT}"
        async with sockets.dial(url, []) as socket:
            await echo(socket, poured=how != "received")

    async with trio.open_nursery() as runner:
        wait = partial(trio.to_thread.run_sync, abandon_on_cancel=True)
        runner.start_soon(wait, serve_cases)
        port = await trio.to_thread.run_sync(ports.get)
        cases = int(await ask("getCaseCount"))
        limit = trio.Semaphore(8)

        async def one(case: int) -> None:
            async with limit:
                await play(case)

        async with trio.open_nursery() as players:
            for case in range(1, cases + 1):
                players.start_soon(one, case)
        async with sockets.dial(f"ws://127.0.0.1:{port}/updateReports?agent={AGENT}", []):
            pass
    judge(results)
    nursery.cancel_scope.cancel()
