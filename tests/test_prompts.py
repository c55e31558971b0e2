"""The prompts: what is filled in, and what stops the start."""

from datetime import datetime
from pathlib import Path

import pytest

from relay.errors import ConfigError
from relay.ports import BusinessProfile, Service
from relay.prompts import PLACEHOLDERS, Prompts, load_prompts

PROFILE = BusinessProfile(
    "Corner Salon",
    "America/New_York",
    (Service("haircut", 30),),
    {"parking": "behind\nthe {house}", "pay_by": "cash or card"},
)
NOON = datetime(2026, 11, 3, 12, 5)  # noqa: DTZ001 - the business's wall clock has no zone


def write(folder: Path, text: str) -> Path:
    (folder / "system.md").write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_prompts_fill_and_leave_no_braces() -> None:
    shipped = load_prompts(Path(__file__).parents[1] / "prompts")
    text = shipped.system(PROFILE, "+14155550123", NOON)
    for words in (
        "Corner Salon",
        "+14155550123",
        "Tuesday, 3 November 2026, 12:05",
        "- haircut, 30 minutes",
        "- pay by: cash or card",
        "- parking: behind the {house}",
    ):
        assert words in text
    assert "{" not in text.replace("{house}", "")
    assert all(f"{{{name}}}" in shipped.system_text for name in PLACEHOLDERS)
    assert "AI assistant" in shipped.greeting


def test_a_withheld_number_and_an_empty_business_are_said_so() -> None:
    text = Prompts("{caller}|{facts}|{services}").system(BusinessProfile("X", "UTC"), "", NOON)
    assert text == "unknown, because it is withheld|- none|- none"


def test_an_unknown_placeholder_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"busines_name.*known are business_name"):
        load_prompts(write(tmp_path, "You work for {busines_name}, {caller}."))


def test_other_braces_are_left_alone(tmp_path: Path) -> None:
    prompts = load_prompts(write(tmp_path, 'Say {"a": 1} or { caller } or {}'))
    assert prompts.system(PROFILE, "", NOON) == 'Say {"a": 1} or { caller } or {}'
    assert prompts.greeting == ""


def test_prompts_that_are_missing_empty_huge_or_no_text_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROMPTS_DIR"):
        load_prompts(tmp_path / "nowhere")
    for content in (b"", b" \n", b"x" * 50_000, b"\xff\xfe\x00"):
        (tmp_path / "system.md").write_bytes(content)
        with pytest.raises(ConfigError, match=r"system\.md"):
            load_prompts(tmp_path)
