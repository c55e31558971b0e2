"""Two texts that sound the same, and two that do not."""

from __future__ import annotations

import pytest

from relay.shell.clip_words import alike, sounds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello! How can I help you?", "hello, how can i help you"),
        ("an A. I. assistant", "an AI assistant"),
        ("a check-up", "a checkup"),
        ("Dr. Müller, O\u2019Brien's", "doctor Muller, OBriens"),
        ("12 Main St.", "twelve Main Street"),
        ("You & me", "you and me"),
        ("2026", "twenty twenty-six"),
        ("2026", "two thousand twenty six"),
        ("1999", "nineteen ninety-nine"),
        ("555-0100", "five five five, zero one zero zero"),
        ("5055", "five oh five five"),
        ("120", "one hundred and twenty"),
        ("1,500", "one thousand five hundred"),
        ("9:00 A.M.", "nine am"),
        ("9 o'clock", "nine"),
        ("5:30 pm", "five thirty p.m."),
        ("24/7", "twenty four seven"),
        ("$50", "fifty dollars"),
        ("12.5%", "twelve point five percent"),
        ("the 2nd and the 21st", "the second and the twenty-first"),
        ("101st St.", "one hundred and first street"),
        ("the 12th, the 40th, the 13th", "the twelfth, the fortieth, the thirteenth"),
        ("Привет", "привет!"),
    ],
)
def test_the_same_words_spelt_otherwise(text: str, said: str) -> None:
    assert alike(text, said), (sounds(text), sounds(said))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("This call may be recorded.", "This call may not be recorded."),
        ("This call may be recorded and transcribed.", "This call may be recorded."),
        ("I am connecting you.", "I'm connecting you."),
        ("from nine to five", "from five to nine"),
        ("15", "fifty"),
        ("12", "twenty"),
        ("Goodbye.", "Goodbye. Is there anything else?"),
        ("Goodbye.", ""),
        ("hundreds of reasons", "a hundred of reasons"),
        ("Добрый день", "Добрый вечер"),
    ],
)
def test_other_words(text: str, said: str) -> None:
    assert not alike(text, said), sounds(text)
