"""Whether a model said what it was to say: two texts, alike to the ear.

A transcript is spelt as its writer likes: "Dr. Müller, 9:00 A.M." may come back as "doctor Muller
nine am". So both texts are brought to one spelling, and then compared letter by letter, without
the blanks between words ("A. I." and "AI", "check-up" and "checkup"). Numbers become digits, since
digits leave no doubt how they were read: 2026 is heard as "twenty twenty-six", as "two thousand
twenty-six" and as "two oh two six". What is said in other words stays different.

The number words are English. Other languages are compared as they are written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_SMALL: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_CARDINALS: Final = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 20 + 10 * index for index, word in enumerate(_TENS)},
}
_ODD_ORDINALS: Final = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fifth": 5,
    "eighth": 8,
    "ninth": 9,
    "twelfth": 12,
}
_ORDINALS: Final = (
    {word + "th": value for word, value in _CARDINALS.items()}
    | {word.removesuffix("y") + "ieth": 20 + 10 * index for index, word in enumerate(_TENS)}
    | _ODD_ORDINALS
)
_SCALES: Final = ("hundred", "thousand")
#: One spelling for what is written in two ways.
_SHORT: Final = {
    "doctor": "dr",
    "mister": "mr",
    "missus": "mrs",
    "saint": "st",
    "street": "st",
    "avenue": "ave",
    "okay": "ok",
}
_SIGNS: Final = (
    (re.compile("\\bo['\u2019]clock\\b"), ""),
    (re.compile("['`\u2018\u2019]"), ""),
    (re.compile(r"(\d),(?=\d{3}\b)"), r"\1"),
    (re.compile(r"(\d):00\b"), r"\1"),
    (re.compile(r"\$ ?(\d+(?:[.,]\d+)?)"), r"\1 dollars"),
    (re.compile(r"€ ?(\d+(?:[.,]\d+)?)|(\d+(?:[.,]\d+)?) ?€"), r"\1\2 euros"),
    (re.compile(r"(\d)\.(?=\d)"), r"\1 point "),
    (re.compile(r"%"), " percent "),
    (re.compile(r"&"), " and "),
    (re.compile(r"@"), " at "),
)
_WORD: Final = re.compile(r"\d+|[^\W\d_]+")


def alike(text: str, said: str) -> bool:
    """Whether both sound the same when read out."""
    return sounds(text) == sounds(said)


def sounds(text: str) -> str:
    """A text in one spelling, without anything that is not heard."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    for sign, spoken in _SIGNS:
        plain = sign.sub(spoken, plain)
    words = [_SHORT.get(word, word) for word in _WORD.findall(plain)]
    return "".join(_in_digits(words))


class _Number:
    """A number that is being spelt out. last: what its last word was; "" when there is none."""

    def __init__(self) -> None:
        self._thousands = 0
        self._rest = 0
        self.last = ""

    @property
    def value(self) -> int:
        return self._thousands + self._rest

    def take(self, word: str) -> bool:
        """Go on with a word. False: it does not belong to this number."""
        if word in _SCALES:
            if not self.last or self.last == word:
                return False
            if word == "hundred":
                self._rest *= 100
            else:
                self._thousands, self._rest = self._rest * 1000, 0
            self.last = word
            return True
        value = _CARDINALS.get(word, _ORDINALS.get(word))
        if value is None:
            return False
        fits = self.last in ("", *_SCALES) or (self.last == "tens" and 0 < value < 10)
        if fits:
            self._rest += value
            self.last = "tens" if value >= 20 else "small"
        return fits


def _in_digits(words: list[str]) -> Iterator[str]:
    """The words, numbers among them in digits."""
    number = _Number()
    for index, word in enumerate(words):
        after = words[index + 1] if index + 1 < len(words) else ""
        if word == "and" and number.last in _SCALES and (after in _CARDINALS or after in _ORDINALS):
            continue
        if number.last and not number.take(word):
            yield str(number.value)
            number = _Number()
            taken = number.take(word)
        else:
            taken = bool(number.last) or number.take(word)
        if not taken:
            between = word in ("oh", "o") and after in _CARDINALS
            yield "0" if between else word
        elif word in _ORDINALS:
            yield _ordinal(number.value)
            number = _Number()
    if number.last:
        yield str(number.value)


def _ordinal(value: int) -> str:
    teen = value % 100 in (11, 12, 13)
    return f"{value}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"
