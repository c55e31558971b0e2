"""docs/owner.md is read by who cannot check it: its figures and settings are held to the code."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from relay import config
from relay.config import Settings
from relay.core.budget import response_nano
from relay.doctor import TALK_TOKENS, tokens_a_turn
from relay.prices import load_prices
from relay.wiring_clips import load_texts
from tests.databases import migrated
from tests.test_doctor import PROMPTS

PAGE = (Path(__file__).parents[1] / "docs" / "owner.md").read_text(encoding="utf-8")
TURNS, HEARD, SAID, WORDS = 10, 50, 120, 30  # tokens: five seconds, six seconds, what was said


def cents(model: str, *, cached: bool) -> float:
    """What the page's call costs with a model, in US cents."""
    settings = config.load({**config.STAND_INS, "PROMPTS_DIR": str(PROMPTS)})
    prices, nano = load_prices(), 0
    text, sound = tokens_a_turn(load_texts(settings), settings) - TALK_TOKENS, 0
    for turn in range(TURNS):
        usage = {
            "input_text": text,
            "input_audio": sound + HEARD,
            "output_text": 2 * WORDS,
            "output_audio": SAID,
        }
        if cached and turn:
            usage |= {"cached_text": text - WORDS, "cached_audio": sound}
        nano += response_nano(prices.model(model), usage)
        text, sound = text + WORDS, sound + HEARD + SAID
    nano += 3 * prices.phone_minute + prices.words("gpt-transcribe").minute * TURNS * 5 // 60
    return nano / 1e7


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ("a call of three minutes", "gpt-realtime-2.1-mini"),
        ("the same with the larger model", "gpt-realtime-2.1"),
    ],
)
def test_what_a_call_costs_is_what_the_price_table_makes_of_it(row: str, model: str) -> None:
    match = re.search(rf"\| {row} \| (\d+) to (\d+)", PAGE)
    assert match is not None
    # A prompt may grow by a tenth before the page must be looked at.
    assert float(match[1]) == pytest.approx(cents(model, cached=True), rel=0.1)
    assert float(match[2]) == pytest.approx(cents(model, cached=False), rel=0.1)


def test_it_names_settings_that_there_are() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", PAGE))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_book_can_be_read_as_it_says(tmp_path: Path) -> None:
    migrated(tmp_path / "relay.db")
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    with sqlite3.connect(tmp_path / "relay.db") as database:
        assert database.execute(query).fetchall() == []
    database.close()
