"""The day's counter: whoever draws when, the cap is what was handed out at most."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from relay.adapters.store import SqlStore, open_store
from relay.ports import Drawn

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)


def test_a_share_is_granted_until_the_cap_and_then_no_more(store: SqlStore) -> None:
    assert store.draw(DAY, 0, 0, 100) == Drawn(0, 0)
    assert store.draw(DAY, 0, 60, 100) == Drawn(60, 60)
    assert store.draw(DAY, 0, 60, 100) == Drawn(40, 100)
    assert store.draw(DAY, 0, 60, 100) == Drawn(0, 100)
    assert store.draw(NEXT, 0, 60, 100) == Drawn(60, 60)


def test_what_is_owed_counts_beyond_the_cap_and_what_is_given_back_can_be_had(
    store: SqlStore,
) -> None:
    store.draw(DAY, 0, 90, 100)
    assert store.draw(DAY, 25, 50, 100) == Drawn(0, 115)
    assert store.draw(DAY, -40, 0, 100) == Drawn(0, 75)
    assert store.draw(DAY, 0, 50, 100) == Drawn(25, 100)
    assert store.draw(DAY, -1000, 0, 100) == Drawn(0, 0)


def test_a_cap_that_was_lowered_grants_nothing(store: SqlStore) -> None:
    store.draw(DAY, 0, 90, 100)
    assert store.draw(DAY, 0, 10, 50) == Drawn(0, 90)


@pytest.mark.parametrize("seed", range(3))
def test_two_processes_that_draw_at_once_are_granted_the_cap_together(
    database_url: str, seed: int
) -> None:
    """Two stores on one database, each from several threads: no micro-dollar twice."""
    cap, stores = 10_000, [open_store(database_url), open_store(database_url)]

    def draw_some(number: int) -> int:
        dice = random.Random(seed * 100 + number)
        store, held = stores[number % 2], 0
        for _ in range(12):
            if held and dice.random() < 0.3:
                back = dice.randint(1, held)
                store.draw(DAY, -back, 0, cap)
                held -= back
            held += store.draw(DAY, 0, dice.randint(1, 900), cap).granted
        return held

    try:
        with ThreadPoolExecutor(6) as pool:
            held = sum(pool.map(draw_some, range(6)))
        assert held == stores[0].draw(DAY, 0, 0, cap).taken <= cap
        assert held > 0
    finally:
        for store in stores:
            store.close()
