"""Texts, and the numbers in them."""

from __future__ import annotations

import itertools

import pytest

from relay.sim import phrases


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("00:00", "twelve o'clock in the morning"),
        ("08:00", "eight o'clock in the morning"),
        ("11:45", "eleven forty five in the morning"),
        ("12:30", "twelve thirty in the afternoon"),
        ("15:30", "three thirty in the afternoon"),
        ("17:15", "five fifteen in the afternoon"),
        ("18:00", "six o'clock in the evening"),
    ],
)
def test_times_as_words(time: str, words: str) -> None:
    assert phrases.time_words(time) == words


def test_every_quarter_of_an_hour_is_read_back() -> None:
    for hour, minute in itertools.product(range(24), (0, 15, 30, 45)):
        time = f"{hour:02}:{minute:02}"
        assert phrases.time_read(phrases.time_words(time)) == time


@pytest.mark.parametrize("time", ["09:10", "24:00", "25:30"])
def test_no_words_for_other_times(time: str) -> None:
    with pytest.raises(ValueError, match="no words"):
        phrases.time_words(time)


@pytest.mark.parametrize(
    "words",
    ["thirteen o'clock in the morning", "six o'clock in the afternoon", "one in the afternoon", ""],
)
def test_no_time_in_other_words(words: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        phrases.time_read(words)


def test_references_are_spelled() -> None:
    assert phrases.digits("40-7K") == "four zero seven k"
