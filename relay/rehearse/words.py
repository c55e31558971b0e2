"""What counts as having said something. A real model words it as it likes; these are generous,
since a mark that fails for a turn of phrase would soon be ignored."""

from __future__ import annotations

import re
from datetime import date, time

from relay.sim.phrases import WEEKDAYS, time_words

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_DATE = re.compile(
    rf"\b(?:{'|'.join(_MONTHS)}) \d{{1,2}}(?:st|nd|rd|th)?\b|\b\d{{1,2}}(?:st|nd|rd|th)\b"
)
_GREETING = re.compile(
    r"^(?:hello|hi|hey|welcome|good (?:morning|afternoon|evening))\b"
    r"|\bspeaking with an ai\b|\bthank(?:s| you) for calling (?!.*bye)",
)


def says_time(text: str, at: time) -> bool:
    """Whether a time of day on the hour or half hour is named: ten o'clock, 10, 10:00 AM, 22:00."""
    bare = _DATE.sub(" ", text.lower())
    spoken = time_words(f"{at.hour:02}:{at.minute:02}").split()
    hour = rf"(?:{spoken[0]}|{at.hour % 12 or 12}|{at.hour:02}|{at.hour})"
    if at.minute:
        return bool(re.search(rf"\b{hour}(?:[: .]|\s*)(?:{at.minute:02}|{spoken[1]})\b", bare))
    other = r"(?:[:.](?!00)\d\d|\s*(?:fifteen|thirty|forty))"
    return bool(re.search(rf"\b{hour}\b(?!{other})", bare))


def says_day(text: str, day: date) -> bool:
    """Whether a date is named, by its weekday or by month and day."""
    month = _MONTHS[day.month - 1]
    named = rf"\b{WEEKDAYS[day.weekday()]}\b|\b{month} {day.day}(?:st|nd|rd|th)?\b"
    return bool(re.search(named, text.lower()))


def says_word(text: str, word: str) -> bool:
    """Whether a name or a service is named, whatever its case or number."""
    return bool(re.search(rf"\b{re.escape(word.lower())}(?:s|es)?\b", text.lower()))


def greets(text: str) -> bool:
    """Whether somebody who says this greets, or introduces themselves."""
    return bool(_GREETING.search(" ".join(text.lower().split())))


def asks(text: str) -> bool:
    """Whether this wants an answer."""
    return text.rstrip().endswith("?")
