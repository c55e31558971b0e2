"""The collector looks at everything between calls, and beside them only when it must."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from relay import garbage


@pytest.mark.parametrize(
    ("live", "rounds", "collects"),
    [
        (0, garbage.EASY - 1, False),
        (0, garbage.EASY, True),
        (1, garbage.EASY, False),
        (200, garbage.HARD - 1, False),
        (200, garbage.HARD, True),
    ],
)
async def test_beside_calls_much_more_must_have_come_together(
    autojump_clock: object, live: int, rounds: int, collects: bool
) -> None:
    left, collected = [rounds], []

    def collect() -> None:
        collected.append(left[0])
        left[0] = 0

    with trio.move_on_after(60):
        await garbage.sweep(lambda: live, lambda: left[0], collect)
    assert collected == [rounds] * collects


async def test_it_waits_for_the_last_call(autojump_clock: object) -> None:
    live, collected = [2], []

    async with trio.open_nursery() as nursery:
        collect = partial(collected.append, True)
        nursery.start_soon(garbage.sweep, lambda: live[0], lambda: garbage.EASY, collect)
        await trio.sleep(60)
        assert collected == []
        live[0] = 0
        await trio.sleep(2 * garbage.LOOK_S)
        assert collected
        nursery.cancel_scope.cancel()
