"""The price table: dated, exact, and refused as a whole when one price in it is none."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from relay import config, wiring
from relay.core.budget import Tariff, response_nano
from relay.errors import ConfigError
from relay.prices import PACKAGED, load_prices
from tests.core.test_budget import USAGE
from tests.test_config import ENVIRON

TABLE = """
as_of = 2026-11-20
[models."m"]
text_in = 4
audio_out = 0.06
[transcription."t"]
minute = 0.0045
[twilio]
inbound_minute = 0.0085
stream_minute = 0.004
"""


def table(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    return file


def test_prices_become_whole_nano_dollars(tmp_path: Path) -> None:
    prices = load_prices(table(tmp_path, TABLE))
    assert prices.as_of == date(2026, 11, 20)
    assert prices.model("m") == Tariff("m", text_in=4000, audio_out=60)
    assert prices.words("t") == Tariff("t", minute=4_500_000)
    assert prices.phone_minute == 12_500_000
    assert prices.model("x") == prices.model(None) == prices.words("x") == Tariff()


def test_the_packaged_table_prices_the_defaults_and_the_documented_bill() -> None:
    prices = load_prices()
    settings = config.load(ENVIRON)
    assert settings.prices_file == PACKAGED
    assert prices.model(settings.realtime_model).name
    assert prices.words(wiring.TRANSCRIPTION_MODEL).name
    assert response_nano(prices.model("gpt-realtime-2.1"), USAGE) == 7_205_600
    for name, tariff in (prices.models | prices.transcription).items():
        assert tariff.name == name
        assert tariff.text_cached <= tariff.text_in
        assert tariff.audio_cached <= tariff.audio_in


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("as_of = 2026-11-20", "", "'as_of' is missing"),
        ("as_of = 2026-11-20", 'as_of = "today"', "must be a date"),
        ("text_in = 4", "text_in = -4", "is no price"),
        ("text_in = 4", "text_in = inf", "is no price"),
        ("text_in = 4", "text_in = nan", "is no price"),
        ("text_in = 4", "text_in = 0.0001", "is no price"),
        ("text_in = 4", 'text_in = "four"', "is no price"),
        ("text_in = 4", "text_in = true", "is no price"),
        ("text_in = 4", "smell_in = 4", "prices for smell_in"),
        ("[models.", "models = 5\n[modelz.", "prices.toml"),
        ("stream_minute = 0.004", "", "'stream_minute' is missing"),
        ("[twilio]", "[twilio", "prices.toml"),
    ],
)
def test_a_fault_names_the_file_and_what_is_wrong(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    file = table(tmp_path, TABLE.replace(old, new))
    with pytest.raises(ConfigError, match=words) as caught:
        load_prices(file)
    assert "PRICES_FILE" in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(tmp_path / "none.toml")


@pytest.mark.parametrize("cap", ["MAX_CALL_USD", "MAX_DAY_USD"])
@pytest.mark.parametrize("model", ["REALTIME_MODEL", "REALTIME_MODEL_HARD"])
def test_a_cap_without_a_price_stops_the_start(cap: str, model: str) -> None:
    unpriced = {**ENVIRON, model: "of-next-year"}
    assert wiring.call_prices(config.load(unpriced), load_prices())
    with pytest.raises(ConfigError, match="no price for of-next-year"):
        wiring.call_prices(config.load({**unpriced, cap: "1"}), load_prices())


def test_a_call_is_given_the_prices_of_its_models() -> None:
    settings = config.load(
        {**ENVIRON, "REALTIME_MODEL_HARD": "gpt-realtime-2.1", "MAX_CALL_USD": "1.5"}
    )
    prices = wiring.call_prices(settings, load_prices())
    assert (prices.model.name, prices.hard.name) == ("gpt-realtime-2.1-mini", "gpt-realtime-2.1")
    assert (prices.transcription.name, prices.phone_minute) == ("gpt-transcribe", 12_500_000)
