"""Numbers that nobody should have said: a card's, a social security number.

The agent never asks for them, and callers say them all the same. Where words arrive, from the
caller, the agent or in a function's arguments, the digits of such a number become `#`, one for one,
before anything else sees them: so neither a transcript nor a log, a spool, a recording of events, a
message or another system's request can hold them.

A card's number is told from others by its check digit (Luhn), its length and its first digit. A
telephone number that begins with + is none. Speech is written down in digits; one that was
spelt in words ("four one one one…") is not seen.
"""

from __future__ import annotations

import re
from typing import Final

#: 13 to 19 digits, with single blanks or dashes between, of the card networks' ranges.
_CARD: Final = re.compile(r"(?<![+\d])[2-6](?:[ -]?\d){12,18}(?!\d)")
_SOCIAL: Final = re.compile(
    r"(?<![\d-])(?!000|666|9)\d{3}([ -])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])"
)
_DIGIT: Final = re.compile(r"\d")


def redacted(text: str) -> str:
    """The same text, as long as before, with # for the digits of such numbers."""
    if not text or text.isalpha():
        return text
    return _SOCIAL.sub(_hidden, _CARD.sub(_hidden_card, text))


def _hidden_card(found: re.Match[str]) -> str:
    return _hidden(found) if luhn(found[0]) else found[0]


def _hidden(found: re.Match[str]) -> str:
    return _DIGIT.sub("#", found[0])


def luhn(text: str) -> bool:
    """Whether the digits in a text end in their check digit."""
    total = 0
    for place, digit in enumerate(int(char) for char in reversed(text) if char.isdecimal()):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
