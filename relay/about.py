"""What must be known of the business at a call's start, kept in memory: no call waits for it.

Who it is goes into the model's instructions, whether it is open decides how callers are greeted.
Both are asked for at the server's start and from time to time, and the last answer holds. A day
whose hours nobody has told counts as open: a wrong "we are closed" sends callers away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog
import trio

from relay.errors import BusinessError
from relay.ports import BusinessApi, BusinessProfile, DayHours

ASK_S: Final = 5.0
AGAIN_S: Final = 600.0
RETRY_S: Final = 15.0

_log = structlog.get_logger("relay.about")


class About:
    """The business's profile and its hours of today and tomorrow, as it told them last."""

    def __init__(
        self, business: BusinessApi, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """clock: UTC, with a time zone."""
        self._business = business
        self._clock = clock
        self._hours: Mapping[date, DayHours] = {}
        self._told = False
        self.profile = BusinessProfile(name="this business", timezone="UTC")
        self.known = False
        self.why = ""  # it has not answered the last time

    async def ask(self) -> None:
        """Ask the business; what it does not answer stays as it was."""
        self._told = False
        try:
            with trio.fail_after(ASK_S):
                self.profile = await self._business.profile()
                self.known = True
                today = self.today().date()
                days = (today, today + timedelta(days=1))
                self._hours = {day: await self._business.hours(day) for day in days}
                self._told = True
        except (BusinessError, trio.TooSlowError) as error:
            self.why = str(error) or f"no answer within {ASK_S:g} s"
            _log.warning(
                "! the business does not say its hours"
                if self.known
                else "! the business does not say who it is",
                error=self.why,
            )

    async def keep_fresh(self) -> None:
        """Ask again from time to time, for ever."""
        while True:
            await trio.sleep(AGAIN_S if self._told else RETRY_S)
            await self.ask()

    def today(self) -> datetime:
        """The business's wall clock."""
        return self._clock().astimezone(ZoneInfo(self.profile.timezone))

    def closed(self) -> bool:
        """Whether the business is known to be closed at this moment."""
        now = self.today()
        hours = self._hours.get(now.date())
        if hours is None:
            return False
        time = now.time()
        return not any(opens <= time < closes for opens, closes in hours.spans)
