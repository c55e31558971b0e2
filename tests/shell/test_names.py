"""A name server that does not answer keeps nobody waiting but those who ask it."""

from __future__ import annotations

import socket as sockets
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from relay.shell.names import THREADS, Names

MORE = 20  # than there are threads, and than Trio's own 40


class Asked:
    """A name server that answers when the test is over."""

    def __init__(self) -> None:
        self.hosts: list[Any] = []
        self.full = trio.Event()  # there are as many questions as there are threads
        self.answer = threading.Event()
        self._known = sockets.getaddrinfo

    def ask(self, host: Any, port: Any, *more: int) -> Any:
        if not more[-1] & sockets.AI_NUMERICHOST:
            self.hosts.append(host)
            if len(self.hosts) >= THREADS:
                trio.from_thread.run_sync(self.full.set)
            self.answer.wait(30)
            host = "127.0.0.1"
        return self._known(host, port, *more)


@pytest.fixture
def asked(monkeypatch) -> Iterator[Asked]:
    made = Asked()
    monkeypatch.setattr(sockets, "getaddrinfo", made.ask)
    yield made
    made.answer.set()


async def test_other_work_has_its_threads_while_no_name_is_found(asked):
    trio.socket.set_custom_hostname_resolver(Names())
    with trio.fail_after(30):
        async with trio.open_nursery() as lookups:
            for _ in range(THREADS + MORE):
                lookups.start_soon(trio.socket.getaddrinfo, "model.example", 443)
            await asked.full.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            lookups.cancel_scope.cancel()
        assert await trio.to_thread.run_sync(lambda: "done") == "done"
    assert asked.hosts == [b"model.example"] * THREADS


async def test_a_name_is_found():
    trio.socket.set_custom_hostname_resolver(Names())
    found = await trio.socket.getaddrinfo("localhost", 443, type=sockets.SOCK_STREAM)
    assert found
    host, port = await trio.socket.getnameinfo(found[0][4], sockets.NI_NUMERICSERV)
    assert host
    assert port == "443"
