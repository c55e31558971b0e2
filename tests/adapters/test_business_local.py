"""The embedded business: its zone, its threads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.errors import BusinessError, StoreError
from relay.ports import Appointment, Booked, BookingRequest


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

    def find(self, key: str) -> Appointment | None:
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
