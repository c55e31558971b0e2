"""The prompts: what is filled in, and what stops the start."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from relay.audio.frames import mulaw_ms
from relay.errors import ConfigError
from relay.ports import BusinessProfile, Service
from relay.prompts import (
    MAX_FACT_CHARS,
    PLACEHOLDERS,
    PLAIN,
    RECORDED,
    TRANSCRIBED,
    Prompts,
    load_prompts,
)
from relay.sim.voice import speak
from relay.tools import registry

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


def test_long_facts_and_many_facts_are_named_and_left_to_be_asked_for() -> None:
    facts = {"first_visit": "x" * (MAX_FACT_CHARS + 1)}
    facts |= {f"topic_{number:02}": "y" * MAX_FACT_CHARS for number in range(20)}
    text = Prompts("{facts}").system(BusinessProfile("X", "UTC", (), facts), "", NOON)
    *told, last = text.splitlines()
    assert [line.partition(":")[0] for line in told] == [f"- topic {n:02}" for n in range(9)]
    assert last.startswith("- ask answer_question about: first visit, topic 09, topic 10")
    assert last.endswith("topic 19")


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


# ---- greetings ------------------------------------------------------------------------------


def greetings(folder: Path, **files: str) -> Prompts:
    write(folder, "You answer.")
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return load_prompts(folder)


def test_the_shipped_greetings_hold_the_notice() -> None:
    shipped = load_prompts(Path(__file__).parents[1] / "prompts").greetings(PROFILE)
    assert set(shipped) == {"greeting", "after_hours"}
    assert all(TRANSCRIBED in text for text in shipped.values())


def test_the_shipped_greetings_say_first_whom_the_caller_has_reached() -> None:
    texts = shipped().greetings(PROFILE, plain=True)
    assert len(texts) == 4
    assert all(text.startswith("Hello, this is Corner Salon. You are") for text in texts.values())


def test_the_shipped_prompt_names_functions_that_there_are() -> None:
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", shipped().system_text))
    tools = set(registry())
    assert named - {*PLACEHOLDERS} <= tools
    assert tools <= named, "the model is told of each when to use it"


def test_a_greeting_is_one_line_with_name_and_notice(tmp_path: Path) -> None:
    prompts = greetings(tmp_path, greeting="Hi, {business_name}!\n{notice}\nWhat can I do?")
    assert prompts.names_business()
    assert prompts.greetings(PROFILE) == {
        "greeting": f"Hi, Corner Salon! {TRANSCRIBED} What can I do?"
    }


def test_a_name_with_braces_stays_what_it_is(tmp_path: Path) -> None:
    prompts = greetings(tmp_path, greeting="{business_name}. {notice}")
    odd = BusinessProfile("{notice}", "UTC")
    assert prompts.greetings(odd)["greeting"] == f"{{notice}}. {TRANSCRIBED}"


def test_the_notice_can_be_worded_otherwise(tmp_path: Path) -> None:
    words = "Sie sprechen mit einer KI,\nund das Gespräch kann aufgezeichnet werden."
    prompts = greetings(tmp_path, notice=words, greeting="Guten Tag! {notice}")
    assert prompts.greeting == f"Guten Tag! {' '.join(words.split())}"
    assert not prompts.names_business()


@pytest.mark.parametrize("name", ["greeting", "after_hours"])
def test_a_greeting_without_the_notice_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}\.md: does not hold the notice.*AI assistant"):
        greetings(tmp_path, **{name: "Hello! How can I help you?"})


def test_a_greeting_knows_no_caller(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"greeting\.md: unknown placeholder caller"):
        greetings(tmp_path, greeting="Hello {caller}! {notice}")


# ---- what is kept, in the greeting ----------------------------------------------------------


def shipped(**how: bool) -> Prompts:
    return load_prompts(Path(__file__).parents[1] / "prompts", **how)


def test_recorded_is_said_only_when_it_is_so() -> None:
    for recorded, notice in ((False, TRANSCRIBED), (True, RECORDED)):
        texts = shipped(recorded=recorded).greetings(PROFILE)
        assert all(notice in text for text in texts.values())
        assert all(("recorded" in text) is recorded for text in texts.values())


def test_who_need_not_hear_the_notice_still_hears_of_the_ai() -> None:
    texts = shipped(recorded=True).greetings(PROFILE, plain=True)
    assert set(texts) == {"greeting", "after_hours", "greeting_plain", "after_hours_plain"}
    for name in ("greeting_plain", "after_hours_plain"):
        assert PLAIN in texts[name]
        assert "recorded" not in texts[name]
        assert "transcribed" not in texts[name]
        assert texts[name] == texts[name.removesuffix("_plain")].replace(RECORDED, PLAIN)


def test_the_plain_sentence_can_be_worded_otherwise(tmp_path: Path) -> None:
    prompts = greetings(
        tmp_path,
        notice="KI, und es wird mitgeschrieben.",
        notice_plain="KI \\1.",
        greeting="Hallo! ki, und es wird mitgeschrieben. Ja?",
    )
    assert prompts.greetings(PROFILE, plain=True)["greeting_plain"] == "Hallo! KI \\1. Ja?"


@pytest.mark.parametrize("notice", [TRANSCRIBED, RECORDED])
def test_the_notice_takes_four_seconds_at_most(notice: str) -> None:
    assert mulaw_ms(len(speak(notice, speed=1.3))) <= 4000
