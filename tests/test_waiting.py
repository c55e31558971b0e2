"""Who goes when too many connections have not said what they have to."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay.waiting import Waiting


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """The tests' nursery runs by it."""
    return trio.testing.MockClock()


class Crowd:
    """Connections that say nothing. gone: who had to go, in order"""

    def __init__(self, nursery: trio.Nursery, waiting: Waiting) -> None:
        self.gone: list[str] = []
        self._nursery = nursery
        self._waiting = waiting

    async def comes(self, name: str, since: float | None = None) -> None:
        """Somebody waits. since: they have been here and have said a little"""
        self._nursery.start_soon(self._wait, name, since)
        await trio.testing.wait_all_tasks_blocked()

    async def _wait(self, name: str, since: float | None) -> None:
        came = trio.current_time() if since is None else since
        with trio.CancelScope() as scope, self._waiting.among(scope, came):
            await trio.sleep_forever()
        self.gone.append(name)


async def test_beyond_the_bound_the_oldest_goes(
    nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    crowd = Crowd(nursery, Waiting(2, 1.0))
    for name in "abc":
        await crowd.comes(name)
        clock.jump(1)
    assert crowd.gone == ["a"]
    await crowd.comes("d")
    assert crowd.gone == ["a", "b"]


async def test_a_crowd_that_has_only_just_come_may_be_larger(
    nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    crowd = Crowd(nursery, Waiting(2, 1.0))
    for name in "abcd":
        await crowd.comes(name)
    assert crowd.gone == []
    clock.jump(1)
    await crowd.comes("e")
    assert crowd.gone == ["a"]


async def test_who_says_a_little_gets_no_younger_and_hides_nobody(
    nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    crowd = Crowd(nursery, Waiting(2, 1.0))
    await crowd.comes("silent")
    await crowd.comes("silent, too")
    clock.jump(2)
    await crowd.comes("young, and has said a little", since=trio.current_time())
    assert crowd.gone == ["silent"]
    await crowd.comes("old, and says a little again and again", since=-1.0)
    assert crowd.gone == ["silent", "old, and says a little again and again"]
