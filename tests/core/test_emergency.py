"""Words that must not be missed."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.emergency import PHRASES, alarming
from relay.core.records import OwnerNotice
from tests.core.driver import MS, Driver, of


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_is_found_in_a_sentence(phrase: str) -> None:
    assert alarming(f"Please help, {phrase.upper()}! Now.", PHRASES)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "I have an emergency appointment, I think.",
        "My suicidegirls tattoo hurts.",
        "I cannot breathtakingly say how glad I am.",
        "911 Main Street",
    ],
)
def test_other_words_are_no_emergency(words: str) -> None:
    assert not alarming(words, PHRASES)


def test_a_curly_apostrophe_is_one() -> None:
    assert alarming("I can\u2019t   breathe", PHRASES)


def alarm(driver: Driver, item: str, words: str) -> list:
    out = driver.caller_says(item, words=None)
    return out + driver.feed(on.CallerTranscribed(item, words, alarming=True))


def test_the_line_is_said_at_once_and_once_and_the_call_is_flagged() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 6000)
    driver.wait(1)
    played = len(driver.played)
    commands = alarm(driver, "u2", "My husband is not breathing!")
    assert of(commands, do.ClearPhone)
    (flag,) = driver.kept(OwnerNotice)
    assert (flag.kind, flag.ref) == ("flagged", "emergency")
    assert "not breathing" in flag.text
    driver.wait(1.2)
    assert len(driver.played) - played >= 1000 * MS
    assert any("dial 9 1 1" in c.text for c in driver.sent(do.AddText))
    alarm(driver, "u3", "Not breathing, I say!")
    driver.wait(3)
    said = {c.name.split(":")[1] for c in driver.sent(do.SendMark) if "clip_emergency" in c.name}
    assert len(said) == 1
    assert len(driver.kept(OwnerNotice)) == 1


def test_words_before_the_notice_bring_the_line_and_are_not_kept() -> None:
    driver = Driver()
    driver.start()
    driver.feed(on.SpeechStarted("u1", 0), on.CallerTranscribed("u1", "Overdose!", alarming=True))
    assert any(isinstance(c, do.Keep) for _, c in driver.log)
    (flag,) = driver.kept(OwnerNotice)
    assert "verdose" not in flag.text
    driver.wait(3)
    assert any("clip_emergency" in c.name for c in driver.sent(do.SendMark))
