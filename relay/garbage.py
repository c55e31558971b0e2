"""When Python's collector looks at all that lives: with nobody on the line, if that can be.

What a call leaves behind is freed by its reference counts (tests/test_remains.py). Cycles are left
by the HTTP side, some objects a request, and most of them are young when they die. To look at all
takes 40 ms with a hundred calls, and more with more; meanwhile nobody is heard. So by itself only
the youngest generation is collected, YOUNG objects in a millisecond, and all of them

    without a call   after EASY such rounds
    beside calls     after HARD: half a million objects may have stayed by then, some 50 MB
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

import trio

YOUNG: Final = 1_000
NEVER: Final = 1 << 30
EASY: Final = 20
HARD: Final = 500
LOOK_S: Final = 5.0


def prepare() -> None:
    """Settings of the whole process: what was imported stays, and only the young are looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, NEVER, NEVER)


def rounds() -> int:
    """How often the youngest were collected since all were."""
    return gc.get_count()[1]


async def sweep(
    live: Callable[[], int],
    rounds: Callable[[], int] = rounds,
    collect: Callable[[], object] = gc.collect,
) -> None:
    """Collect all of them when it is time, for ever. live: how many calls there are now"""
    while True:
        await trio.sleep(LOOK_S)
        if rounds() >= (HARD if live() else EASY):
            collect()
