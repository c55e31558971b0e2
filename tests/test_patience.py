"""The clock of the tests in real time, on a machine whose time is set by hand."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from functools import partial

import pytest
import trio

from tests import patience
from tests.patience import NAP_S, PatientClock, Resting


@dataclass
class Machine:
    monotonic_s: float = 50.0
    worked_s: float = 7.0

    def work(self, seconds: float, *, busy_with_others_s: float = 0.0) -> None:
        self.worked_s += seconds
        self.monotonic_s += seconds + busy_with_others_s

    def sleep(self, seconds: float) -> None:
        self.monotonic_s += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: machine.monotonic_s)
    monkeypatch.setattr(time, "thread_time", lambda: machine.worked_s)
    return machine


def test_work_counts_and_what_others_had_does_not(machine: Machine) -> None:
    clock = PatientClock()
    began = clock.current_time()
    machine.work(0.25, busy_with_others_s=30)
    assert clock.current_time() - began == pytest.approx(0.25)


def test_a_sleep_counts_as_long_as_it_lasts(machine: Machine) -> None:
    clock = PatientClock()
    began = clock.current_time()
    assert clock.deadline_to_sleep_time(began + 0.01) == pytest.approx(0.01)
    machine.sleep(0.004)  # somebody sent something
    assert clock.current_time() - began == pytest.approx(0.004)


def test_a_sleep_that_the_machine_prolongs_is_no_longer_than_it_was_to_be(machine: Machine) -> None:
    clock = PatientClock()
    began = clock.current_time()
    assert clock.deadline_to_sleep_time(began + 5) == NAP_S
    machine.sleep(8)
    assert clock.current_time() - began == pytest.approx(NAP_S)


async def test_what_the_pump_sleeps_counts_like_any_sleep() -> None:
    with select.epoll() as nobody:
        rounds = Resting(nobody.fileno())
        began = trio.current_time()
        assert list(rounds.look(10_000_000)) == []
    assert trio.current_time() - began >= 0.0099


async def test_a_nap_after_the_other_a_sleep_comes_to_its_end() -> None:
    began, began_outside = trio.current_time(), time.monotonic()
    await trio.sleep(5 * NAP_S)
    assert trio.current_time() - began >= 5 * NAP_S
    assert time.monotonic() - began_outside >= 5 * NAP_S


async def test_every_test_has_it_by_itself() -> None:
    with trio.move_on_after(2 * NAP_S) as scope:
        time.sleep(4 * NAP_S)  # noqa: ASYNC251 - a machine that has no time for us
        await trio.lowlevel.checkpoint()
    assert not scope.cancelled_caught


async def test_but_for_those_that_have_one_of_their_own(autojump_clock: trio.abc.Clock) -> None:
    began = time.monotonic()
    await trio.sleep(3600)
    assert time.monotonic() - began < 600


async def test_whose_clock_does_not_jump_while_a_thread_is_at_work(
    autojump_clock: trio.abc.Clock,
) -> None:
    with trio.fail_after(1):
        await trio.to_thread.run_sync(time.sleep, 0.1)
    with trio.move_on_after(3600) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught, "and jumps again when it is done"


@pytest.mark.in_one_process
async def test_what_has_all_ends_in_one_process_skips_what_everybody_sleeps_through() -> None:
    began, began_outside = trio.current_time(), time.monotonic()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, _echo_late, 0, host="127.0.0.1"))
        async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
            with trio.fail_after(30):
                for _ in range(10):
                    await stream.send_all(b"x")
                    assert await stream.receive_some() == b"x"
                await trio.to_thread.run_sync(time.sleep, 0.05)
            await trio.sleep(3600)
            nursery.cancel_scope.cancel()
    assert trio.current_time() - began >= 3620
    assert time.monotonic() - began_outside < 600


async def _echo_late(stream: trio.SocketStream) -> None:
    async for some in stream:
        await trio.sleep(2)
        await stream.send_all(some)


def test_what_runs_is_the_function_with_its_arguments() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    assert patience.patiently(add, 1, 2) == 3
