"""What the callers want, out of the business's hours: a day, a service, a time, a better one."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from relay.adapters.business_file import BusinessFile
from relay.errors import ConfigError
from relay.sim import phrases

NAME: Final = "peter"
TOPIC: Final = "bill"
# A weekday by its name means one date only this far ahead, and today may be over already.
AHEAD_DAYS: Final = range(2, 7)


@dataclass(frozen=True, slots=True)
class Want:
    """first: the time that is asked for by mistake; at: the one that is meant, on the same day
    spans: the hours of that day
    """

    service: str
    name: str
    first: datetime
    at: datetime
    spans: tuple[tuple[time, time], ...]

    @property
    def day(self) -> str:
        """The weekday, as phrases have it."""
        return phrases.WEEKDAYS[self.at.weekday()]


def choose(business: BusinessFile, now: datetime, known: Container[str] | None = None) -> Want:
    """What to ask of this business, the same at any hour of a day.

    now: on its own clock; known: the services that the model has ears for; None: all
    Raises ConfigError when it offers nothing within a week that can be asked for.
    """
    return next(_wants(business, now, known), None) or _refuse()


def _wants(business: BusinessFile, now: datetime, known: Container[str] | None) -> Iterator[Want]:
    for ahead in AHEAD_DAYS:
        day = (now + timedelta(days=ahead)).date()
        spans = business.hours(day).spans
        for service in business.profile.services:
            if known is not None and service.name.lower() not in known:
                continue
            hours = [start for start in business.starts(service, day) if not start.minute]
            if len(hours) > 1:
                yield Want(service.name, NAME, hours[0], hours[1], spans)


def _refuse() -> Want:
    raise ConfigError(
        "BUSINESS_FILE offers no service with two starts on the hour on any day from"
        f" {AHEAD_DAYS.start} to {AHEAD_DAYS.stop - 1} days ahead: there is nothing to rehearse"
    )


def lines(want: Want) -> dict[str, str]:
    """What the callers say, by the place in their scripts."""
    first, meant = f"{want.first:%H:%M}", f"{want.at:%H:%M}"
    return {
        "hours": phrases.ask_hours(want.day),
        "book": phrases.ask_booking(want.service.lower(), want.day, first, want.name),
        "wrong": "No that is wrong.",
        "instead": phrases.ask_booking(want.service.lower(), want.day, meant),
        "name": phrases.tell_name(want.name),
        "yes": phrases.YES,
        "bye": phrases.BYE,
        "human": phrases.HUMAN_PLEASE,
        "about": phrases.ask_human(TOPIC),
    }
