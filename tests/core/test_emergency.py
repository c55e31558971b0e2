"""Words that must not be missed."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.emergency import PHRASES, alarming, language_of, phrases_of
from relay.core.phases import Phase
from relay.core.policy import CallPolicy
from relay.core.records import OwnerNotice, TranscriptLine
from relay.shell.understood import understood
from tests.core.driver import MS, Driver, of

EVERY = phrases_of(PHRASES, PHRASES)


@pytest.mark.parametrize("phrase", EVERY)
def test_every_phrase_is_found_in_a_sentence(phrase: str) -> None:
    assert alarming(f"Please help, {phrase.upper()}! Now.", EVERY)


@pytest.mark.parametrize(
    "words",
    [
        "¡Mi esposo no está respirando!",
        "Creo que es un ataque al corazon.",
        "Por favor, ¿llamen al 911?",
        "Hay mucha sangre, no deja de sangrar",
    ],
)
def test_spanish_is_heard_with_and_without_its_accents(words: str) -> None:
    assert alarming(words, phrases_of(PHRASES, ["es"]))
    assert not alarming(words, phrases_of(PHRASES, ["en"]))


def test_a_language_without_phrases_has_none() -> None:
    assert phrases_of(PHRASES, ["fr"]) == ()
    assert phrases_of(PHRASES, ["fr", "en"]) == PHRASES["en"]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "I have an emergency appointment, I think.",
        "My suicidegirls tattoo hurts.",
        "I cannot breathtakingly say how glad I am.",
        "911 Main Street",
        "Me muero de hambre, y respira hondo.",
        "¿Puedo hacer una cita? Vivo en la calle Infante 911.",
    ],
)
def test_other_words_are_no_emergency(words: str) -> None:
    assert not alarming(words, EVERY)


def test_a_curly_apostrophe_is_one() -> None:
    assert alarming("I can\u2019t   breathe", EVERY)


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
    said = {c.mark.split(":")[1] for c in driver.sent(do.SendAudio) if "clip_emergency" in c.mark}
    assert len(said) == 1
    assert len(driver.kept(OwnerNotice)) == 1


@pytest.mark.parametrize(
    ("language", "spanish", "line"),
    [
        ("es", True, "clip_emergency_es_"),
        ("en", True, "clip_emergency_2"),
        ("", True, "clip_emergency_2"),
        ("es", False, "clip_emergency_2"),
    ],
)
def test_the_line_is_said_in_the_language_of_the_words(
    language: str, spanish: bool, line: str
) -> None:
    driver = Driver(spanish=spanish)
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.CallerTranscribed("u1", "No respira.", alarming=True, language=language))
    driver.wait(2)
    said = {sent.mark.split(":")[1] for sent in driver.sent(do.SendAudio)}
    assert [name for name in said if "emergency" in name and name.startswith(line)]


@pytest.mark.parametrize(
    ("words", "language"),
    [("¡No respira!", "es"), ("He is not breathing!", "en"), ("Il ne respire plus!", "")],
)
def test_the_packaged_phrases_tell_which_language_it_is(words: str, language: str) -> None:
    assert language_of(words) == language
    heard = understood(on.CallerTranscribed("u1", words), CallPolicy())
    assert isinstance(heard, on.CallerTranscribed)
    assert (heard.alarming, heard.language) == (bool(language), language)


def test_words_before_the_notice_bring_the_line_and_are_not_kept() -> None:
    driver = Driver()
    driver.start()
    driver.feed(on.SpeechStarted("u1", 0), on.CallerTranscribed("u1", "Overdose!", alarming=True))
    assert any(isinstance(c, do.Keep) for _, c in driver.log)
    (flag,) = driver.kept(OwnerNotice)
    assert "verdose" not in flag.text
    driver.wait(3)
    assert any("clip_emergency" in c.mark for c in driver.sent(do.SendAudio))


def test_it_cuts_the_greeting_which_then_counts_as_unheard_and_the_call_goes_on() -> None:
    driver = Driver(clip_ms=4000, record_calls=True)
    driver.start()
    driver.wait(0.3)
    alarm(driver, "u1", "He has a heart attack!")
    driver.wait(5)
    assert driver.call.phase is Phase.TALKING
    assert [c.purpose for c in driver.sent(do.CreateResponse)] == ["emergency"]
    driver.agent_says("a1", 1000)
    driver.wait(2)
    assert not driver.kept(TranscriptLine)
    assert not driver.sent(do.StartRecording)


def test_a_greeting_of_the_model_s_own_is_not_said_after_it() -> None:
    driver = Driver(live="Hello, this call is recorded.", clip_ms=1000)
    driver.start()
    driver.feed(
        on.ResponseStarted("r0", "greeting"), on.AgentAudio("r0", "g1", bytes(2000 * MS), -20.0)
    )
    alarm(driver, "u1", "He has a heart attack!")
    driver.feed(
        on.AgentAudio("r0", "g1", bytes(2000 * MS), -20.0), on.ResponseEnded("r0", "cancelled")
    )
    driver.wait(3)
    assert driver.call.phase is Phase.TALKING
    assert not any("clip_greeting" in sent.mark for sent in driver.sent(do.SendAudio))
    assert not driver.call.statistics().notice_heard


def test_the_agent_goes_on_after_it_if_it_was_none() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.CallerTranscribed("u1", "My heart attack was years ago.", alarming=True))
    driver.feed(on.ResponseEnded("r1", "cancelled"))
    assert [c.purpose for c in driver.sent(do.CreateResponse)] == ["turn", "emergency"]


def test_who_hung_up_before_their_words_came_is_flagged_all_the_same() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.PhoneStopped())
    commands = driver.feed(on.CallerTranscribed("u1", "Call an ambulance", alarming=True))
    assert not of(commands, do.SendAudio)
    driver.wait(10)
    (flag,) = driver.kept(OwnerNotice)
    assert flag.kind == "flagged"


def test_who_is_leaving_hears_it_after_the_last_words() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.ModelErrored("invalid_api_key", "no"))
    assert driver.call.phase is Phase.LEAVING
    driver.feed(on.CallerTranscribed("u1", "Call an ambulance", alarming=True))
    driver.wait(3)
    said = [sent.mark.split(":")[1] for sent in driver.sent(do.SendAudio)]
    assert said.index("clip_apology_2") < said.index("clip_emergency_3")
    (closed,) = driver.sent(do.ClosePhone)
    assert closed.disposition == "fallback"
