"""Text that comes in pieces is cut where a voice would breathe, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.shell.sentences import LONGEST, Sentences


def cut(text: str, size: int = 1) -> list[str]:
    sentences = Sentences()
    out = [sentences.add(text[at : at + size]) for at in range(0, len(text), size)]
    return [each for each in [*out, sentences.end()] if each]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Sure. We are open.", ["Sure. ", "We are open."]),
        ("Really?! Yes… Good.", ["Really?! ", "Yes… ", "Good."]),
        ('He said "no." Then he left.', ['He said "no." ', "Then he left."]),
        (
            "Dr. Smith is in at 9 a.m. today. Come in.",
            ["Dr. Smith is in at 9 a.m. today. ", "Come in."],
        ),
        ("It costs $4.50 today.", ["It costs $4.50 today."]),
        ("One:\nnine.\nTwo.", ["One:\n", "nine.\n", "Two."]),
        ("No end", ["No end"]),
        ("", []),
    ],
)
def test_where_a_sentence_ends(text: str, parts: list[str]) -> None:
    assert cut(text) == parts


def test_a_sentence_is_known_to_be_whole_when_the_next_one_begins() -> None:
    sentences = Sentences()
    assert [sentences.add(piece) for piece in ("Su", "re.", " ", "W")] == ["", "", "", "Sure. "]


def test_what_has_no_end_is_cut_at_a_blank() -> None:
    first, *_ = cut("word " * 100)
    assert first.endswith(" ")
    assert len(first) <= LONGEST + 1


@given(st.text(alphabet='aB .!?\n"', max_size=600), st.integers(1, 50))
def test_nothing_is_lost_whatever_the_pieces(text: str, size: int) -> None:
    assert "".join(cut(text, size)) == text


@given(st.text(alphabet="x", min_size=LONGEST + 1))
def test_a_text_without_a_blank_waits_for_its_end(text: str) -> None:
    assert cut(text, 100) == [text]
