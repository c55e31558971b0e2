"""Days and times as a model writes them, read against the business's own today; and told to it."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Annotated, TypeAlias

import msgspec

from relay.tools.tool import BadArguments, clip

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Day: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        description="today, tomorrow, a weekday such as monday (its next date), or YYYY-MM-DD",
        min_length=1,
        max_length=20,
    ),
]

TimeOfDay: TypeAlias = Annotated[
    str, msgspec.Meta(description="24-hour time HH:MM, such as 14:30", min_length=4, max_length=8)
]


def read_day(text: str, today: date) -> date:
    """The date that a day's words mean; a weekday that is today means today.

    Raises BadArguments for what is no day.
    """
    word = text.strip().lower()
    if word == "today":
        return today
    if word == "tomorrow":
        return today + timedelta(days=1)
    if word.capitalize() in WEEKDAYS:
        ahead = WEEKDAYS.index(word.capitalize()) - today.weekday()
        return today + timedelta(days=ahead % 7)
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise BadArguments(
            f"day is not understood: {clip(text, 20)!r}. Use today, tomorrow, a weekday such as"
            f" monday, or YYYY-MM-DD. Today is {weekday(today)} {today.isoformat()}."
        ) from None


def read_coming_day(text: str, today: date) -> date:
    """A day that is not past. Raises BadArguments."""
    day = read_day(text, today)
    if day < today:
        raise BadArguments(
            f"{day.isoformat()} is past. Today is {weekday(today)} {today.isoformat()}."
        )
    return day


def far_ahead(day: date, today: date) -> dict[str, object]:
    """What the model is told beside a date that comes in a nearer year as well; else nothing.

    "The fifth of December" a year too late is a year that was misheard, or made up: a person would
    ask. What can be had on that date is the business's to say, since some are booked years ahead.
    """
    for year in range(today.year, day.year):
        with suppress(ValueError):  # the 29th of February
            if (nearer := day.replace(year=year)) >= today:
                return {
                    "far_ahead": f"{day.isoformat()} is more than a year ahead. Say it with its"
                    " year, and ask whether the caller means that, or"
                    f" {weekday(nearer)} {nearer.isoformat()}."
                }
    return {}


def read_time(text: str) -> time:
    """The time of day that HH:MM means. Raises BadArguments."""
    hour, colon, minute = text.strip().partition(":")
    if colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2:
        with suppress(ValueError):
            return time(int(hour), int(minute))
    raise BadArguments(
        f"time is not understood: {clip(text, 20)!r}. Use 24-hour HH:MM, such as 09:00 or 14:30."
    )


def weekday(day: date) -> str:
    """The English name of a date's weekday, whatever the machine's locale."""
    return WEEKDAYS[day.weekday()]


def told(at: datetime) -> dict[str, object]:
    """A moment as the model is told it, ready to be said."""
    return {"day": weekday(at), "date": at.date().isoformat(), "time": f"{at:%H:%M}"}


def written(at: datetime) -> str:
    """A moment as the business's owner reads it: Tuesday 2026-11-24 10:30."""
    return f"{weekday(at)} {at:%Y-%m-%d %H:%M}"
