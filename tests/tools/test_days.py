"""Days and times in words."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.tools import BadArguments
from relay.tools.days import WEEKDAYS, far_ahead, read_day, read_time, weekday

SUNDAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", date(2026, 11, 22)),
        ("Tomorrow", date(2026, 11, 23)),
        (" tuesday ", date(2026, 11, 24)),
        ("SUNDAY", date(2026, 11, 22)),
        ("saturday", date(2026, 11, 28)),
        ("2026-12-25", date(2026, 12, 25)),
        ("2025-01-01", date(2025, 1, 1)),
    ],
)
def test_days(text: str, day: date) -> None:
    assert read_day(text, SUNDAY) == day


@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1)), st.sampled_from(WEEKDAYS))
def test_a_weekday_is_the_next_one_and_may_be_today(today: date, word: str) -> None:
    day = read_day(word, today)
    assert weekday(day) == word
    assert timedelta(0) <= day - today < timedelta(days=7)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-02-30", "24/11", "next week"])
def test_what_is_no_day_is_answered_with_today(text: str) -> None:
    with pytest.raises(BadArguments, match="Today is Sunday 2026-11-22"):
        read_day(text, SUNDAY)


@pytest.mark.parametrize(
    ("day", "nearer"),
    [
        (date(2027, 12, 5), "Saturday 2026-12-05"),
        (date(2027, 11, 22), "Sunday 2026-11-22"),
        (date(2028, 1, 3), "Sunday 2027-01-03"),
        (date(2032, 2, 29), "Tuesday 2028-02-29"),
        (date(9999, 12, 31), "Thursday 2026-12-31"),
    ],
)
def test_a_date_that_comes_a_year_sooner_is_asked_about(day: date, nearer: str) -> None:
    said = str(far_ahead(day, SUNDAY)["far_ahead"])
    assert day.isoformat() in said
    assert f"or {nearer}." in said


@pytest.mark.parametrize("day", [SUNDAY, date(2027, 11, 21), date(2026, 12, 5), date(2028, 2, 29)])
def test_a_date_that_comes_no_sooner_is_not_asked_about(day: date) -> None:
    assert far_ahead(day, SUNDAY) == {}


@pytest.mark.parametrize(
    ("text", "at"),
    [("09:00", time(9)), ("9:05", time(9, 5)), (" 23:59 ", time(23, 59)), ("00:00", time(0))],
)
def test_times(text: str, at: time) -> None:
    assert read_time(text) == at


@pytest.mark.parametrize("text", ["", "9", "24:00", "12:60", "9:5", "-1:00", "nine", "10:30 pm"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadArguments, match="HH:MM"):
        read_time(text)
