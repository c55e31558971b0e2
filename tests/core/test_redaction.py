"""Card numbers and social security numbers never get further than the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.redaction import luhn, redacted

CARDS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "5555 5555 5555 4444",
    "378282246310005",
    "3782 822463 10005",
    "6011000990139424",
    "4222222222222",
    "2223 0031 2200 3222",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
]
OTHERS = [
    "",
    "My number is 415-555-0123.",
    "+4915112345678",
    "+14155550123",
    "(415) 555-0123",
    "4111 1111 1111 1112",
    "Tuesday, 2026-11-24, 10:00",
    "Reference 629552, code 1234 5678 9012",
    "12345678901234567890123",
    "000-12-3456",
    "666-12-3456",
    "923-12-3456",
    "123-45-6789-0",
    "123-4567",
]


@pytest.mark.parametrize("card", CARDS)
def test_a_card_s_number_is_hidden_and_the_words_around_it_are_not(card: str) -> None:
    hidden = redacted(f"It is {card}, till 12/28.")
    assert hidden == f"It is {''.join('#' if c.isdigit() else c for c in card)}, till 12/28."


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("It is 123-45-6789.", "It is ###-##-####."),
        ("123 45 6789", "### ## ####"),
        ('{"text":"my card 4111111111111111"}', '{"text":"my card ################"}'),
    ],
)
def test_so_are_others(text: str, hidden: str) -> None:
    assert redacted(text) == hidden


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_such_number_stays(text: str) -> None:
    assert redacted(text) == text


def check_digit(digits: str) -> str:
    return next(d for d in "0123456789" if luhn(digits + d))


@given(
    st.sampled_from("23456"),
    st.integers(11, 17).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)),
    st.sampled_from(["", " ", "-"]),
    st.integers(1, 4),
    st.text(st.characters(exclude_categories=["Nd"], exclude_characters="+ -"), max_size=20),
)
def test_any_card_in_any_grouping_is_hidden(
    first: str, middle: str, gap: str, group: int, words: str
) -> None:
    digits = first + middle + check_digit(first + middle)
    spoken = gap.join(digits[n : n + group] for n in range(0, len(digits), group))
    hidden = redacted(words + spoken + words)
    assert hidden.startswith(words)
    assert hidden.count("#") >= len(digits)
    assert not any(char.isdecimal() and char.isascii() for char in hidden)


@given(st.text())
def test_a_text_keeps_its_length_and_is_hidden_once_and_for_all(text: str) -> None:
    hidden = redacted(text)
    assert len(hidden) == len(text)
    assert redacted(hidden) == hidden
