"""The alarm rings when it is told to, and not otherwise."""

from __future__ import annotations

import pytest
import trio

from relay.shell import pump
from relay.shell.alarm import Alarm
from relay.shell.clock import STALE, Clock

LOOKS_S = 0.01


def soon(times: list[float]) -> object:
    return pytest.approx(times, abs=1.5 * LOOKS_S)


@pytest.fixture(params=["trio", "clock"], autouse=True)
async def keeper(request, autojump_clock, nursery):
    """Who keeps the time: Trio, or the clock of a pump that looks at it every LOOKS_S."""
    if request.param == "clock":
        pumping = pump.Pump()
        pump.current.set(pumping)

        async def look() -> None:
            try:
                while True:
                    await trio.sleep(LOOKS_S)
                    pumping.clock.look()
            finally:
                pump.current.set(None)

        nursery.start_soon(look)
    yield request.param
    nursery.cancel_scope.cancel()


@pytest.fixture
async def rung(keeper, nursery):
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
    assert times == soon([2.5])


async def test_a_new_time_replaces_the_old_one(autojump_clock, rung):
    alarm, times = rung
    for at in (5.0, 1.0, 3.0):
        alarm.set(alarm.began + at)
    await trio.sleep(10)
    assert times == soon([3.0])


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
    assert times == soon([0.0])


async def test_the_same_time_can_be_set_again(autojump_clock, rung):
    alarm, times = rung
    alarm.set(alarm.began + 1)
    await trio.sleep(1.5)
    alarm.set(alarm.began + 1)
    await trio.sleep(1)
    assert times == soon([1.0, 1.5])


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


async def test_what_the_ring_raises_ends_run_with_it(autojump_clock):
    alarm = Alarm()

    def ring() -> None:
        alarm.stop()
        raise LookupError

    alarm.set(trio.current_time() + 1)
    with trio.fail_after(5), pytest.raises(LookupError):
        await alarm.run(ring)


async def test_a_ring_may_cancel_its_own_call(autojump_clock):
    alarm = Alarm()
    with trio.fail_after(5), trio.CancelScope() as call:
        alarm.set(trio.current_time() + 1)
        await alarm.run(call.cancel)
        await trio.sleep_forever()
    assert call.cancelled_caught


async def test_a_later_time_is_not_told_to_the_clock_before_the_earlier_one_rings(keeper, rung):
    if keeper == "trio":
        return
    alarm, times = rung
    clock = pump.current.get().clock
    for more in range(1000):
        alarm.set(alarm.began + 1 + more / 1000)
    assert len(clock._heap) == 1
    await trio.sleep(5)
    assert times == soon([1.999])


async def test_times_that_no_longer_count_do_not_pile_up(keeper):
    clock = Clock()
    alarms = [Alarm() for _ in range(10)]
    for n in range(10 * STALE):
        clock.enter(1e9 - n, alarms[n % 10])
    assert len(clock._heap) <= STALE + 2 * len(alarms)
    clock.close()
