from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ports import FreeStarts
from relay.tools import BadArguments
from relay.tools.list_slots import MAX_TIMES, few

DAY = date(2026, 11, 24)
NINE = datetime(2026, 11, 24, 9, 0)  # noqa: DTZ001 - the business's wall clock
HALF = timedelta(minutes=30)


def free(*halves: int, later: tuple[datetime, ...] = ()) -> FreeStarts:
    return FreeStarts("cleaning", DAY, tuple(NINE + HALF * n for n in halves), later)


async def test_few_times_are_all_told(use: Any, business: Any) -> None:
    business.free = free(0, 3, 4)
    result = await use("list_slots", service="Cleaning", day="tuesday")
    assert result.output == {
        "service": "cleaning",
        "day": "Tuesday",
        "date": "2026-11-24",
        "free": ["09:00", "10:30", "11:00"],
        "free_in_all": 3,
    }


async def test_many_times_are_told_by_a_few(use: Any, business: Any) -> None:
    business.free = free(*range(16))
    result = await use("list_slots", service="cleaning", day="tuesday")
    assert result.output["free"] == ["09:00", "10:30", "12:00", "13:30", "15:00", "16:30"]
    assert result.output["free_in_all"] == 16
    result = await use("list_slots", service="cleaning", day="tuesday", around="14:00")
    assert result.output["free"] == ["12:30", "13:00", "13:30", "14:00", "14:30", "15:00"]


async def test_a_full_day_is_answered_with_the_next(use: Any, business: Any) -> None:
    business.free = free(later=tuple(NINE + timedelta(days=1) + HALF * n for n in range(9)))
    result = await use("list_slots", service="cleaning", day="tuesday")
    assert result.output["free"] == []
    assert result.output["next"] == [
        {"day": "Wednesday", "date": "2026-11-25", "time": time}
        for time in ("09:00", "09:30", "10:00")
    ]


@given(st.lists(st.integers(0, 47), unique=True), st.none() | st.integers(0, 47))
def test_the_few_are_in_order_and_of_the_many(halves: list[int], around: int | None) -> None:
    starts = [NINE + HALF * n for n in sorted(halves)]
    chosen = few(starts, None if around is None else NINE + HALF * around)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(starts)
    assert len(chosen) == min(len(starts), MAX_TIMES)
    if starts and around is None:
        assert (chosen[0], chosen[-1]) == (starts[0], starts[-1])
    if around in halves:
        assert NINE + HALF * around in chosen


async def test_an_unknown_service_is_answered_with_those_there_are(use: Any) -> None:
    with pytest.raises(BadArguments, match=r"no such service: 'surgery'.*cleaning, checkup"):
        await use("list_slots", service="surgery", day="tuesday")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"service": "cleaning", "day": "2025-11-24"}, "is past"),
        ({"service": "cleaning", "day": "soon"}, "not understood"),
        ({"service": "cleaning", "day": "monday", "around": "noon"}, "HH:MM"),
        ({"service": ", ".join(["cleaning"] * 40), "day": "monday"}, "length <= 60"),
    ],
)
async def test_what_does_not_fit(use: Any, arguments: dict[str, str], says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        await use("list_slots", **arguments)


async def test_a_day_in_a_far_year_is_asked_about(use: Any, business: Any) -> None:
    """Said for next week, and heard with a year that nobody named."""
    business.free = FreeStarts("cleaning", date(2027, 12, 5), ())
    result = await use("list_slots", service="cleaning", day="2027-12-05")
    assert "or Saturday 2026-12-05." in result.output["far_ahead"]
    business.free = free(0)
    assert "far_ahead" not in (await use("list_slots", service="cleaning", day="tuesday")).output
