"""A watch on the caller's words that needs no model: some of them must never be missed.

The prompt tells the model what to say in an emergency. A model may be slow, or wrong; so whatever
it does, the caller hears the emergency line once, and the call is flagged for its owner. The words
are looked at where they arrive (shell/session.py); what follows is the core's.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

#: Phrases that are looked for unless others are set. Whole words, whatever their case.
PHRASES = (
    "call an ambulance",
    "need an ambulance",
    "call 911",
    "call nine one one",
    "heart attack",
    "chest pain",
    "can't breathe",
    "cannot breathe",
    "not breathing",
    "stopped breathing",
    "unconscious",
    "overdose",
    "overdosed",
    "having a stroke",
    "bleeding badly",
    "won't stop bleeding",
    "kill myself",
    "suicide",
    "house is on fire",
    "someone is dying",
    "i am dying",
    "i'm dying",
)


def words_of(text: str) -> str:
    """A text as words alone, one blank between and around them: " i can't breathe "."""
    kept = (c if c.isalnum() or c == "'" else " " for c in text.casefold().replace("\u2019", "'"))
    return f" {' '.join(''.join(kept).split())} "


def alarming(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases stands in a text, word for word."""
    heard = words_of(text)
    return any(_phrase(phrase) in heard for phrase in phrases if phrase.strip())


#: Each phrase of the settings, read once.
_phrase = lru_cache(maxsize=1024)(words_of)
