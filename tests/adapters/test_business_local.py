"""The embedded business: its file, its zone, its threads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.adapters.business_local import WEEKDAYS, LocalBusiness, load_business
from relay.errors import BusinessError, ConfigError, StoreError
from relay.ports import Booked, BookingRequest


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_business(path)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_the_packaged_example_is_a_business_that_opens() -> None:
    business = load_business()
    assert business.profile.name
    assert len(business.profile.services) >= 2
    assert any(business.week)
    assert all(len(fact) < 200 for fact in business.profile.facts.values())


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
    with pytest.raises(ConfigError, match="No such file"):
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


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("2026-11-20T04:59:00+00:00", "2026-11-19T23:59"),
        ("2026-11-20T05:00:00+00:00", "2026-11-20T00:00"),
        ("2026-07-01T03:59:00+00:00", "2026-06-30T23:59"),
        ("2026-07-01T04:00:00+00:00", "2026-07-01T00:00"),
    ],
)
async def test_the_local_day_turns_at_local_midnight(
    business_path: Path, memory_bookings: Any, utc: str, local: str
) -> None:
    business = LocalBusiness(
        load_business(business_path), memory_bookings, clock=lambda: datetime.fromisoformat(utc)
    )
    assert await business.now() == datetime.fromisoformat(local)


REQUEST = BookingRequest("Cleaning", datetime.fromisoformat("2026-11-24T10:00"), "Ann", "+15550100")


class Stuck:
    """Bookings whose database hangs, or fails."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def find(self, key: str) -> Booked | None:
        self.act()
        return None

    def book(self, *args: object) -> Booked | None:
        return None

    def taken(self, day: date) -> list[datetime]:
        return []


async def test_a_store_that_fails_is_the_business_failing(
    business_path: Path, clock: Any, inline: Any
) -> None:
    def fail() -> None:
        raise StoreError("database is locked")

    business = LocalBusiness(
        load_business(business_path), Stuck(fail), clock=clock, run_sync=inline
    )
    with pytest.raises(BusinessError, match="database is locked"):
        await business.book(REQUEST, "k1")


async def test_a_store_that_hangs_is_left_behind(
    business_path: Path, clock: Any, autojump_clock: Any
) -> None:
    async def never(function: Callable[[], object]) -> object:
        return await trio.sleep_forever()

    business = LocalBusiness(
        load_business(business_path), Stuck(lambda: None), clock=clock, run_sync=never
    )
    began = trio.current_time()
    with pytest.raises(BusinessError, match=r"within 2\.5 s"):
        await business.book(REQUEST, "k1")
    assert trio.current_time() - began == pytest.approx(2.5)


async def test_by_default_the_bookings_are_asked_in_threads(
    business_path: Path, memory_bookings: Any, clock: Any
) -> None:
    business = LocalBusiness(load_business(business_path), memory_bookings, clock=clock)
    assert isinstance(await business.book(REQUEST, "k1"), Booked)


async def test_the_wall_clock_is_the_machine_s_own(
    business_path: Path, memory_bookings: Any
) -> None:
    business = LocalBusiness(load_business(business_path), memory_bookings)
    offset = datetime.now(UTC).replace(tzinfo=None) - await business.now()
    assert timedelta(hours=3, minutes=59) < offset < timedelta(hours=5, minutes=1)
