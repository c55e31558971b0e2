"""While C waits for all sockets at once, whoever waits for Trio waits no longer for that."""

from __future__ import annotations

import os
import signal
import socket as sockets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from relay.shell import pump

# C alone would sleep for as long: what goes on before has ended that.
ASLEEP_S = 60.0


class Phone:
    """Somebody who talks: a socket that the pump reads, and nothing comes of it."""

    def __init__(self) -> None:
        self.here, self.there = sockets.socketpair()
        self.here.setblocking(False)
        self.read = 0

    def ready(self) -> None:
        self.read += len(self.here.recv(64))

    def say(self) -> None:
        self.there.send(b"x")

    def close(self) -> None:
        self.here.close()
        self.there.close()


@contextmanager
def soon() -> Iterator[None]:
    """The deadline ends a sleep in C that nothing else has ended."""
    began = time.monotonic()
    with trio.move_on_after(10):
        yield
    assert time.monotonic() - began < 8


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.close()


@pytest.fixture(params=[0.0, 1e9], ids=["by ticks", "by wakes"])
async def asleep(request, nursery, monkeypatch, phone):
    """The pump's C code waits, and would for a minute."""
    monkeypatch.setattr(pump, "SLICE_S", ASLEEP_S)
    monkeypatch.setattr(pump, "BLIND_SLICE_S", ASLEEP_S)
    monkeypatch.setattr(pump, "LOAD", request.param)
    monkeypatch.setattr(pump, "WEIGHED_S", 0.0)
    by = pump.Pump()
    nursery.start_soon(by.run)
    await trio.testing.wait_all_tasks_blocked()
    by.watch(phone.here.fileno(), phone)
    phone.say()
    yield by
    by.forget(phone.here.fileno())
    nursery.cancel_scope.cancel()


async def test_a_deadline_is_kept(asleep, phone):
    for _ in range(3):
        with soon():
            await trio.sleep(0.03)
        phone.say()
    assert phone.read >= 3


async def test_a_socket_of_trios_own_is_read(asleep):
    here, there = trio.socket.socketpair()
    with here, there:
        later = threading.Timer(0.03, os.write, (there.fileno(), b"x"))
        later.start()
        with soon():
            assert await here.recv(1) == b"x"
        later.join()


async def test_a_thread_is_answered(asleep):
    def other() -> str:
        time.sleep(0.03)
        return trio.from_thread.run_sync(lambda: "answered")

    with soon():
        assert await trio.to_thread.run_sync(other) == "answered"


async def test_a_signal_is_heard(asleep):
    with trio.open_signal_receiver(signal.SIGUSR1) as heard, soon():
        later = threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGUSR1))
        later.start()
        async for number in heard:
            assert number == signal.SIGUSR1
            break
        later.join()


async def test_it_is_cancelled_like_any_other_task(asleep, nursery):
    await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


class Waits(Phone):
    """A task that waits for such a socket."""

    def __init__(self, by: pump.Pump) -> None:
        super().__init__()
        self.by = by

    async def wait(self) -> None:
        self.by.watch(self.here.fileno(), self)
        await trio.lowlevel.wait_task_rescheduled(self.give_up)

    def give_up(self, _: object) -> trio.lowlevel.Abort:
        self.by.forget(self.here.fileno())
        return trio.lowlevel.Abort.SUCCEEDED


async def test_who_still_waits_can_give_up_when_the_pump_is_over():
    async with trio.open_nursery() as calls:
        by = pump.Pump()
        async with trio.open_nursery() as pumping:
            pumping.start_soon(by.run)
            await trio.testing.wait_all_tasks_blocked()
            call = Waits(by)
            calls.start_soon(call.wait)
            await trio.testing.wait_all_tasks_blocked()
            pumping.cancel_scope.cancel()
        calls.cancel_scope.cancel()
    call.close()


async def test_nothing_stays_of_a_socket_that_cannot_be_watched(asleep, phone, tmp_path):
    with (tmp_path / "no socket").open("w") as file:
        with pytest.raises(OSError, match="not permitted"):
            asleep.watch(file.fileno(), phone)
        asleep.forget(file.fileno())
