"""Whatever stands in a setting: it is taken, or it stops the start with a line that names it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import config
from relay.config import Settings
from relay.errors import ConfigError
from tests.test_wiring import PROMPTS, PUBLIC

GOOD = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "12345",
    "TWILIO_PHONE_NUMBER": "+14155550100",
    "HUMAN_TRANSFER_NUMBER": "+14155550199",
    "PUBLIC_URL": PUBLIC,
    "OPENAI_API_KEY": "sk-secret",
    "DATABASE_URL": "sqlite:///relay.db",
    "PROMPTS_DIR": str(PROMPTS),
}
NAMES = sorted(name.upper() for name in Settings.model_fields)
VALUES = st.sampled_from(
    [
        *("", " ", "0", "-1", "1e9", "NaN", "inf", "999999999999999999999", "true", "null", "{}"),
        *("http://", "ws://example.com", "wss://", "https://user:pw@x/?q#f", "file:///etc/passwd"),
        *("+1", "+14155550100", "911", "tel:+14155550199", "../../x", "/dev/null", "a" * 5000),
        *("sqlite://", "postgresql://", "mysql://x/y", "\x00", "\ud800", "日本", "[1,2", "*,*"),
    ]
) | st.text(max_size=30)


def load(changes: dict[str, str]) -> Settings | str:
    """The settings, or what is told to whoever starts the relay with them."""
    try:
        return config.load({**GOOD, **changes})
    except ConfigError as refused:
        return str(refused)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_value_of_any_setting_is_taken_or_named(changes: dict[str, str]) -> None:
    result = load(changes)
    if isinstance(result, str):
        assert [name for name in changes if name in result], "whoever reads it finds what to mend"
        assert "sk-secret" not in result


@pytest.mark.parametrize("name", NAMES)
def test_garbage_is_named_or_used_as_it_was_written(name: str) -> None:
    """Never is a value that makes no sense quietly replaced by another one."""
    result = load({name: "\x00 garbage \x00"})
    if isinstance(result, str):
        assert name in result
    else:
        value = getattr(result, name.lower())
        shown = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        assert "garbage" in shown
