"""A watch on the caller's words that needs no model: some of them must never be missed.

The prompt tells the model what to say in an emergency. A model may be slow, or wrong; so whatever
it does, the caller hears the emergency line once, and the call is flagged for its owner. The words
are looked at where they arrive (shell/session.py); what follows is the core's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

#: Phrases that are looked for unless others are set, by language. Whole words, whatever their case
#: and their accents, which a recogniser may leave out.
PHRASES: Final = {
    "en": (
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
    ),
    "es": (
        "llame a una ambulancia",
        "llamen a una ambulancia",
        "llama a una ambulancia",
        "llame una ambulancia",
        "llamen una ambulancia",
        "necesito una ambulancia",
        "necesitamos una ambulancia",
        "llame al 911",
        "llamen al 911",
        "llama al 911",
        "llame al nueve uno uno",
        "llamen al nueve uno uno",
        "llama al nueve uno uno",
        "ataque al corazón",
        "ataque cardíaco",
        "infarto",
        "dolor en el pecho",
        "dolor de pecho",
        "me duele el pecho",
        "le duele el pecho",
        "no puedo respirar",
        "no puede respirar",
        "no respira",
        "no está respirando",
        "dejó de respirar",
        "inconsciente",
        "sobredosis",
        "derrame cerebral",
        "se está desangrando",
        "me estoy desangrando",
        "no para de sangrar",
        "no deja de sangrar",
        "sangrando mucho",
        "matarme",
        "quitarme la vida",
        "suicidio",
        "suicidarme",
        "la casa se está quemando",
        "se quema la casa",
        "se está muriendo",
        "me estoy muriendo",
    ),
}


def words_of(text: str) -> str:
    """A text as words alone, one blank between and around them: " i can't breathe "."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    kept = (c if c.isalnum() or c == "'" else " " for c in plain if not unicodedata.combining(c))
    return f" {' '.join(''.join(kept).split())} "


def phrases_of(
    packaged: Mapping[str, tuple[str, ...]], languages: Iterable[str]
) -> tuple[str, ...]:
    """What is looked for on a line where these languages are spoken."""
    return tuple(phrase for language in languages for phrase in packaged.get(language, ()))


def alarming(text: str, phrases: tuple[str, ...]) -> bool:
    """Whether one of the phrases stands in a text, word for word."""
    heard = words_of(text)
    return any(phrase in heard for phrase in _looked_for(phrases))


def language_of(text: str) -> str:
    """The language whose packaged phrases stand in a text, or ""."""
    return next((language for language in PHRASES if alarming(text, PHRASES[language])), "")


@lru_cache(maxsize=16)
def _looked_for(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """The phrases as words; the same ones for every utterance of every call."""
    return tuple(words_of(phrase) for phrase in phrases if phrase.strip())
