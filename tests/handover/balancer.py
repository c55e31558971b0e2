"""What stands before several relays: TCP connections go to whoever says that it is ready.

While nobody is, they wait a little, as at a real one. A look that meets a process as it is killed
finds nobody for a moment, and a call whose every request is refused in that moment is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import trio

LOOK_S = 0.1
ASK_S = 2.0
HOLD_S = 10.0
READY = b"GET /readyz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass
class Balancer:
    """ports: of the relays; ready: those of them that answered so last; open: connections."""

    ports: list[int]
    ready: set[int] = field(default_factory=set)
    open: Counter[int] = field(default_factory=Counter)
    _turns: Iterator[int] = field(default_factory=count)

    async def run(self, task_status: trio.TaskStatus[int]) -> None:
        async with trio.open_nursery() as nursery:
            for port in self.ports:
                nursery.start_soon(self._look, port)
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=200)
            nursery.start_soon(trio.serve_listeners, self._connection, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def until_ready(self, *ports: int, within_s: float = 120.0) -> None:
        with trio.fail_after(within_s):
            while not self.ready.issuperset(ports):  # noqa: ASYNC110 - told by another task
                await trio.sleep(LOOK_S / 2)

    async def _look(self, port: int) -> None:
        while True:
            answer = b""
            with trio.move_on_after(ASK_S), suppress(*GONE):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(READY)
                    answer = await stream.receive_some(100)
            (self.ready.add if b" 200 " in answer[:20] else self.ready.discard)(port)
            await trio.sleep(LOOK_S)

    async def _connection(self, client: trio.SocketStream) -> None:
        turn = next(self._turns)
        try:
            with trio.move_on_after(HOLD_S):
                while not self.ready:  # noqa: ASYNC110 - told by another task
                    await trio.sleep(LOOK_S / 2)
            ready = sorted(self.ready)
            for port in ready[turn % len(ready) :] + ready if ready else ():
                try:
                    relay = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    self.ready.discard(port)
                    continue
                self.open[port] += 1
                await _join(client, relay)
                self.open[port] -= 1
                return
        finally:
            await trio.aclose_forcefully(client)


async def _join(client: trio.SocketStream, relay: trio.SocketStream) -> None:
    """Pass on what either says until one of them is gone, and with it the other."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass, client, relay)
            await _pass(relay, client)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(relay)


async def _pass(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    with suppress(*GONE):
        async for some in source:
            await sink.send_all(some)
        await sink.send_eof()
