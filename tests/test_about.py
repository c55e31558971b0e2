"""What a call knows of the business without asking it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
import structlog.testing
import trio

from relay.about import AGAIN_S, ASK_S, RETRY_S, About
from relay.errors import BusinessError
from relay.ports import Booked, BookingRequest, BusinessProfile, DayHours, NotBooked

# Friday, 20 November 2026, 10:00 in New York.
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


class Business:
    """A BusinessApi that can be silent. Open on Fridays, with a lunch break."""

    def __init__(self) -> None:
        self.name = "Test Clinic"
        self.silent = False
        self.hung = False
        self.asked: list[date] = []

    async def profile(self) -> BusinessProfile:
        if self.hung:
            await trio.sleep_forever()
        if self.silent:
            raise BusinessError("503")
        return BusinessProfile(self.name, "America/New_York")

    async def now(self) -> datetime:
        raise NotImplementedError

    async def hours(self, day: date) -> DayHours:
        self.asked.append(day)
        if day.weekday() != 4:
            return DayHours(day, ())
        return DayHours(day, ((time(9), time(12)), (time(13), time(17))))

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        raise NotImplementedError


class Clock:
    def __init__(self) -> None:
        self.now = FRIDAY

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize(
    ("hour_utc", "minute", "closed"),
    [
        (13, 59, True),
        (14, 0, False),
        (16, 59, False),
        (17, 0, True),
        (18, 0, False),
        (21, 59, False),
        (22, 0, True),
    ],
)
async def test_it_is_closed_outside_its_hours(hour_utc: int, minute: int, closed: bool) -> None:
    clock = Clock()
    clock.now = FRIDAY.replace(hour=hour_utc, minute=minute)
    about = About(Business(), clock)
    await about.ask()
    assert about.closed() is closed


async def test_the_day_is_the_business_s_own() -> None:
    clock, business = Clock(), Business()
    clock.now = FRIDAY.replace(day=21, hour=3)  # still Friday evening in New York
    about = About(business, clock)
    await about.ask()
    assert business.asked == [date(2026, 11, 20), date(2026, 11, 21)]
    assert about.closed()
    clock.now = FRIDAY.replace(day=21, hour=15)  # a Saturday, told of on the day before
    assert about.closed()
    clock.now = FRIDAY.replace(day=22, hour=15)
    assert not about.closed(), "nobody has told its hours"


async def test_an_unknown_business_is_open() -> None:
    business = Business()
    business.silent = True
    about = About(business, Clock())
    with structlog.testing.capture_logs() as logs:
        await about.ask()
    assert not about.known
    assert not about.closed()
    assert [line["event"] for line in logs] == ["! the business does not say who it is"]


async def test_a_business_that_hangs_is_not_waited_for(autojump_clock: object) -> None:
    business = Business()
    business.hung = True
    await About(business, Clock()).ask()
    assert trio.current_time() == pytest.approx(ASK_S)


async def test_what_was_told_holds_until_it_is_told_anew(autojump_clock: object) -> None:
    business, clock = Business(), Clock()
    about = About(business, clock)
    await about.ask()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(about.keep_fresh)
        business.silent = True
        await trio.sleep(AGAIN_S + 1)
        assert about.profile.name == "Test Clinic"
        assert not about.closed()
        business.silent, business.name = False, "Other Clinic"
        await trio.sleep(RETRY_S)
        assert about.profile.name == "Other Clinic"
        nursery.cancel_scope.cancel()
