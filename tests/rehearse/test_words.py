"""What counts as having said something, in the words that models use; and what does not."""

from __future__ import annotations

from datetime import date, time

import pytest

from relay.rehearse.words import asks, greets, says_day, says_time, says_word

TUESDAY = date(2026, 12, 1)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("at ten o'clock in the morning", time(10)),
        ("at 10 AM", time(10)),
        ("at 10:00", time(10)),
        ("at 5 p.m. sharp", time(17)),
        ("from nine to five", time(17)),
        ("until 17:00", time(17)),
        ("Tuesday, December 1st at 10 in the morning", time(10)),
        ("at twelve o'clock", time(12)),
        ("at half: 9:30", time(9, 30)),
        ("nine thirty in the morning", time(9, 30)),
    ],
)
def test_a_time_is_heard(text: str, at: time) -> None:
    assert says_time(text, at)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("at eleven o'clock", time(10)),
        ("at 10:30", time(10)),
        ("at ten thirty", time(10)),
        ("on December 10th at 9", time(10)),
        ("on December 10 at 9", time(10)),
        ("the 10th", time(10)),
        ("your number is 110", time(10)),
        ("at often nine", time(10)),
        ("at nine o'clock", time(9, 30)),
        ("", time(10)),
    ],
)
def test_another_time_is_not(text: str, at: time) -> None:
    assert not says_time(text, at)


@pytest.mark.parametrize("text", ["this Tuesday", "on december 1st", "December 1"])
def test_a_day_is_heard(text: str) -> None:
    assert says_day(text, TUESDAY)


@pytest.mark.parametrize("text", ["this Wednesday", "December 11", "December 2nd", "tomorrow"])
def test_another_day_is_not(text: str) -> None:
    assert not says_day(text, TUESDAY)


def test_words_are_heard_whole() -> None:
    assert says_word("A Cleaning, then.", "cleaning")
    assert says_word("cleanings", "cleaning")
    assert not says_word("a peterson", "peter")
    assert not says_word("", "peter")


@pytest.mark.parametrize(
    "text",
    [
        "Hello! You are speaking with an AI assistant.",
        "Hi there, how can I help?",
        "Thank you for calling Maple Street Dental. What can I do for you?",
        "Good morning.",
    ],
)
def test_a_greeting_is_one(text: str) -> None:
    assert greets(text)


@pytest.mark.parametrize(
    "text",
    [
        "Thank you for calling. Goodbye.",
        "How can I help you?",
        "This Monday we are open from nine.",
        "I am an AI, yes.",
        "",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not greets(text)


def test_a_question_wants_an_answer() -> None:
    assert asks("Is that right? ")
    assert not asks("One moment please.")
