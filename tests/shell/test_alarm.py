"""The alarm rings when it is told to, and not otherwise."""

from __future__ import annotations

import pytest
import trio

from relay.shell.alarm import Alarm


@pytest.fixture
async def rung(autojump_clock, nursery):
    """An alarm that runs, and the times at which it rang, in seconds from now."""
    alarm, times, began = Alarm(), [], trio.current_time()
    alarm.began = began
    nursery.start_soon(alarm.run, lambda: times.append(round(trio.current_time() - began, 6)))
    await trio.testing.wait_all_tasks_blocked()
    yield alarm, times
    alarm.stop()


async def test_it_rings_once_at_its_time(autojump_clock, rung):
    alarm, times = rung
    alarm.set(alarm.began + 2.5)
    await trio.sleep(10)
    assert times == [2.5]


async def test_a_new_time_replaces_the_old_one(autojump_clock, rung):
    alarm, times = rung
    for at in (5.0, 1.0, 3.0):
        alarm.set(alarm.began + at)
    await trio.sleep(10)
    assert times == [3.0]


async def test_none_silences_it(autojump_clock, rung):
    alarm, times = rung
    alarm.set(alarm.began + 1)
    alarm.set(None)
    await trio.sleep(10)
    assert times == []


async def test_a_time_that_is_past_rings_at_once(autojump_clock, rung):
    alarm, times = rung
    alarm.set(alarm.began - 5)
    await trio.sleep(1)
    assert times == [0.0]


async def test_the_same_time_can_be_set_again(autojump_clock, rung):
    alarm, times = rung
    alarm.set(alarm.began + 1)
    await trio.sleep(1.5)
    alarm.set(alarm.began + 1)
    await trio.sleep(1)
    assert times == [1.0, 1.5]


async def test_a_time_set_before_it_runs_counts(autojump_clock, nursery):
    alarm, times = Alarm(), []
    alarm.set(trio.current_time() + 1)
    nursery.start_soon(alarm.run, lambda: times.append(trio.current_time()))
    await trio.sleep(2)
    assert len(times) == 1
    alarm.stop()


async def test_the_ring_may_set_the_next_time(autojump_clock, nursery):
    alarm, times = Alarm(), []

    def ring() -> None:
        times.append(trio.current_time())
        alarm.set(trio.current_time() + 0.1 if len(times) < 1000 else None)

    alarm.set(trio.current_time())
    nursery.start_soon(alarm.run, ring)
    await trio.sleep(200)
    assert len(times) == 1000
    assert times[-1] - times[0] == pytest.approx(99.9)
    alarm.stop()


@pytest.mark.parametrize("early", [True, False])
async def test_stop_ends_it_without_a_ring(autojump_clock, early):
    alarm, times = Alarm(), []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            if early:
                alarm.stop()
            nursery.start_soon(alarm.run, lambda: times.append(1))
            await trio.testing.wait_all_tasks_blocked()
            alarm.stop()
    assert times == []
