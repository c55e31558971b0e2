"""What is drawn can be asked for, booked and told apart, on every day and in every time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from relay.adapters.business_file import load_business
from relay.demo.scenario import (
    BOOK,
    EARLY_HOUR,
    Booking,
    Scenario,
    business_toml,
    draw,
    early_zone,
    starts_at,
)
from relay.sim.phrases import WEEKDAYS

MONDAY = date(2026, 11, 23)
DRAWS = [draw(seed) for seed in range(200)]


def test_a_seed_draws_the_same_run_again() -> None:
    assert draw(7) == draw(7)
    assert len({str(scenario) for scenario in DRAWS}) == len(DRAWS)


@pytest.mark.parametrize("scenario", DRAWS[:40], ids=lambda scenario: str(scenario.seed))
def test_the_booking_fits_the_business(scenario: Scenario, tmp_path: Path) -> None:
    file = tmp_path / "business.toml"
    file.write_text(business_toml(scenario, "Etc/GMT-5"), encoding="utf-8")
    business = load_business(file)
    service = business.service(scenario.booking.service)
    at = starts_at(scenario.booking, MONDAY)
    assert service is not None
    assert service.minutes == scenario.services[service.name]
    assert at in business.starts(service, at.date())
    for offset, day in enumerate(WEEKDAYS):
        spans = business.hours(date.fromordinal(MONDAY.toordinal() + offset)).spans
        told = tuple((f"{opens:%H:%M}", f"{closes:%H:%M}") for opens, closes in spans)
        assert told == scenario.hours[day]


def test_no_day_passes_for_another() -> None:
    for scenario in DRAWS:
        opened = [spans for spans in scenario.hours.values() if spans]
        assert len(set(opened)) == len(opened)
        assert scenario.hours[scenario.asked]
        assert scenario.hours[scenario.interrupted]
        assert scenario.asked != scenario.interrupted
        assert scenario.meanwhile not in (scenario.asked, scenario.interrupted)
        assert scenario.topic != scenario.message.topic


def test_everything_is_drawn() -> None:
    assert {scenario.asked for scenario in DRAWS} == set(WEEKDAYS)
    assert {scenario.booking.day for scenario in DRAWS} == set(WEEKDAYS)
    assert {scenario.booking.service for scenario in DRAWS} == set(BOOK.services)
    assert {scenario.booking.name for scenario in DRAWS} == set(BOOK.names)
    assert {scenario.meanwhile for scenario in DRAWS} == set(WEEKDAYS)
    assert {scenario.topic for scenario in DRAWS} == set(BOOK.topics)
    assert {scenario.message.topic for scenario in DRAWS} == set(BOOK.topics)
    assert {scenario.message.name for scenario in DRAWS} == set(BOOK.names)
    assert len({scenario.booking.time for scenario in DRAWS}) > 15


def test_what_is_drawn_is_in_the_book() -> None:
    for scenario in DRAWS:
        times = {at for spans in scenario.hours.values() for span in spans for at in span}
        assert times | {scenario.booking.time} <= set(BOOK.times)


@pytest.mark.parametrize("hour", range(24))
def test_it_is_early_at_the_business_whenever_the_demo_runs(hour: int) -> None:
    now = datetime(2026, 11, 23, hour, 30, tzinfo=UTC)
    assert now.astimezone(ZoneInfo(early_zone(now))).hour == EARLY_HOUR


@pytest.mark.parametrize(
    ("day", "wanted"),
    [("monday", MONDAY), ("tuesday", date(2026, 11, 24)), ("sunday", date(2026, 11, 29))],
)
def test_a_weekday_is_its_next_date_today_included(day: str, wanted: date) -> None:
    booking = Booking("cleaning", day, "09:30", "anna")
    assert starts_at(booking, MONDAY) == datetime(wanted.year, wanted.month, wanted.day, 9, 30)  # noqa: DTZ001
