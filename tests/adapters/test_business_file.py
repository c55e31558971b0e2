"""The embedded business's file, and what is told of a bad one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from relay.adapters.business_file import WEEKDAYS, load_business
from relay.errors import ConfigError


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_business(path)
    return [line.removeprefix(f"BUSINESS_FILE {path}: ") for line in str(caught.value).splitlines()]


def test_the_packaged_example_is_a_business_that_opens() -> None:
    business = load_business()
    assert business.profile.name
    assert len(business.profile.services) >= 2
    assert any(business.week)
    assert all(len(fact) <= 500 for fact in business.profile.facts.values())


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        """
        nam = "x"
        timezone = "Mars/Base"
        slot_minutes = 0
        [hours]
        sonday = ["09:00-17:00"]
        monday = ["9 to 5"]
        tuesday = ["17:00-09:00"]
        wednesday = ["09:00-12:00", "11:00-13:00"]
        thursday = "09:00-17:00"
        friday = [9]
        [[services]]
        minutes = 30
        [[services]]
        name = "a"
        minutes = "long"
        [[services]]
        name = "A"
        minutes = 30
        price = 3
        [[holidays]]
        date = "25.12."
        [[holidays]]
        note = "x"
        [facts]
        parking = 3
        """,
    ) == [
        "nam: unknown; known are facts, holidays, hours, name, services, slot_minutes, timezone",
        "name: missing",
        'timezone: "Mars/Base" is no time zone, such as Europe/Berlin',
        "services[0].name: missing",
        "services[1].minutes: write a number of minutes from 5 to 480",
        "services[2].price: unknown; known are minutes, name",
        'services[2].name: "A" stands twice',
        "facts.parking: write some text",
        f"hours.sonday: unknown; known are {', '.join(sorted(WEEKDAYS))}",
        'hours.monday: write ["09:00-12:00", "13:00-17:00"], not \'9 to 5\'',
        'hours.tuesday: write ["09:00-12:00", "13:00-17:00"], not \'17:00-09:00\'',
        "hours.wednesday: 11:00-13:00 begins before the span before it ends",
        'hours.friday: write ["09:00-12:00", "13:00-17:00"], not 9',
        'holidays[0].date: write "2026-12-25", or "12-25" for every year',
        'holidays[1].date: write "2026-12-25", or "12-25" for every year',
        "slot_minutes: write a number of minutes from 5 to 480",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "name: missing"),
        ("services = 3", "services: write each one under its own [[services]]"),
        ("hours = 3", "hours: write it as a table, [hours]"),
        ('timezone = "../../etc/passwd"', 'timezone: "../../etc/passwd" is no time zone'),
        ("name = ", "not TOML"),
    ],
)
def test_odd_files(tmp_path: Path, text: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in faults(tmp_path, text))


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"BUSINESS_FILE .*none\.toml: No such file"):
        load_business(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        load_business(tmp_path / "bytes.toml")


def test_toml_s_own_dates_are_dates(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(
        'name = "x"\ntimezone = "UTC"\n[hours]\nfriday = ["09:00-17:00"]\n'
        '[[holidays]]\ndate = 2026-12-25\nnote = "closed"\n'
    )
    business = load_business(path)
    assert business.hours(date(2026, 12, 25)).spans == ()
    assert business.hours(date(2026, 12, 18)).spans != ()
    assert business.slot_minutes == 30
