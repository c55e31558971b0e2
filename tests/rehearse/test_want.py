"""What the callers ask for: always something that the business has, and that has one meaning."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.adapters.business_file import load_business
from relay.errors import ConfigError
from relay.rehearse.want import choose, lines

BUSINESS = load_business()


@given(st.datetimes(datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2030-01-01")))
def test_it_can_be_booked_and_its_weekday_is_its_next(now: datetime) -> None:
    want = choose(BUSINESS, now)
    service = BUSINESS.service(want.service)
    assert service is not None
    assert {want.first, want.at} <= set(BUSINESS.starts(service, want.at.date()))
    assert want.first != want.at
    assert want.spans == BUSINESS.hours(want.at.date()).spans
    assert timedelta(days=1) < want.at.date() - now.date() < timedelta(days=7)


def test_a_holiday_is_passed_over() -> None:
    assert choose(BUSINESS, datetime.fromisoformat("2026-11-24")).at.date() == date(2026, 11, 27)


def test_a_model_that_knows_few_services_is_asked_for_one_of_them() -> None:
    assert choose(BUSINESS, datetime.fromisoformat("2026-11-24"), {"filling"}).service == "filling"
    with pytest.raises(ConfigError, match="nothing to rehearse"):
        choose(BUSINESS, datetime.fromisoformat("2026-11-24"), {"haircut"})


def test_a_business_with_one_start_a_day_cannot_be_asked_for_another(tmp_path: Path) -> None:
    file = tmp_path / "business.toml"
    file.write_text(
        'name = "X"\ntimezone = "UTC"\nslot_minutes = 30\n[hours]\nfriday = ["09:00-10:00"]\n'
        '[[services]]\nname = "cleaning"\nminutes = 60\n'
    )
    with pytest.raises(ConfigError, match="BUSINESS_FILE"):
        choose(load_business(file), datetime.fromisoformat("2026-11-24"))


def test_the_lines_say_the_slip_and_then_what_was_meant() -> None:
    want = choose(BUSINESS, datetime.fromisoformat("2026-11-25"))
    said = lines(want)
    assert "nine o'clock" in said["book"]
    assert "Peter" in said["book"]
    assert "ten o'clock" in said["instead"]
    assert all("Friday" in said[name] for name in ("hours", "book", "instead"))
