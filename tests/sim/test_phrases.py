"""Texts, grammars and meanings; and how many sentences survive a telephone line.

All sentences of all weekdays, half hours and services take minutes to hear, so the suite hears a
sample, picked by a hash of the sentence.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

import pytest

from relay.sim import phrases
from relay.sim.phrases import Book, Meaning, plain
from relay.sim.voice import Recogniser, from_mulaw, speak

BOOK = Book()
SLOTS = list(itertools.product(BOOK.services, BOOK.days, BOOK.times))
CALLERS_PITCH = 0.9


@pytest.fixture(scope="module")
def agents_ear() -> Recogniser:
    return Recogniser(phrases.caller_grammar(BOOK))


@pytest.fixture(scope="module")
def callers_ear() -> Recogniser:
    return Recogniser(phrases.agent_grammar(BOOK))


def heard(ear: Recogniser, text: str, pitch: float = 1.0) -> list[str]:
    return ear.sentences(from_mulaw(speak(text, pitch=pitch)))


def sample(texts: list[str], one_in: int) -> list[str]:
    return [text for text in texts if zlib.crc32(text.encode()) % one_in == 0]


# ---- words ------------------------------------------------------------------------------------


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


# ---- meanings ---------------------------------------------------------------------------------


def test_what_callers_mean() -> None:
    meant = {
        phrases.ask_hours("tuesday"): Meaning("hours", day="tuesday"),
        phrases.ask_hours("tomorrow"): Meaning("hours", day="tomorrow"),
        phrases.ask_booking("cleaning", "friday", "15:30"): Meaning(
            "booking", service="cleaning", day="friday", time="15:30"
        ),
        phrases.ask_booking("filling", "today", "09:00", "anna"): Meaning(
            "booking", service="filling", day="today", time="09:00", name="anna"
        ),
        phrases.tell_name("peter"): Meaning("name", name="peter"),
        phrases.HUMAN_PLEASE: Meaning("human"),
        phrases.YES: Meaning("yes"),
        "That is right.": Meaning("yes"),
        phrases.NO: Meaning("no"),
        "No that is wrong.": Meaning("no"),
        phrases.BYE: Meaning("bye"),
        "Thank you.": Meaning("bye"),
        "Hello.": Meaning("hello"),
        phrases.ODD[0]: Meaning("odd"),
        "": None,
    }
    assert {text: phrases.caller_meant(plain(text)) for text in meant} == meant


def test_every_meaning_is_in_the_grammar(agents_ear: Recogniser) -> None:
    for service, day, time in SLOTS:
        text = plain(phrases.ask_booking(service, day, time, "anna"))
        assert agents_ear.allows(text)
        assert phrases.caller_meant(text) == Meaning("booking", service, day, time, "anna")
    for text in (*phrases.ODD, phrases.HUMAN_PLEASE, phrases.YES, phrases.NO, phrases.BYE):
        assert agents_ear.allows(plain(text))


def test_what_the_agent_said() -> None:
    spans = [("09:00", "12:00"), ("13:00", "17:00")]
    assert phrases.hours_said(plain(phrases.say_hours("Wednesday", spans))) == (
        "wednesday",
        tuple(spans),
    )
    assert phrases.hours_said(plain(phrases.say_hours("sunday", []))) == ("sunday", ())
    assert phrases.hours_said("what else can i do for you") is None
    booked = phrases.in_sentences(phrases.say_booked("filling", "Monday", "12:30", "407123"))
    assert phrases.booking_said(booked[0]) == ("filling", "monday", "12:30")
    assert phrases.booking_said(booked[1]) is None


def test_the_callers_ear_knows_all_that_the_agent_can_say(callers_ear: Recogniser) -> None:
    texts = [phrases.HELP, phrases.WHOSE, phrases.MOMENT, phrases.LOST, phrases.BROKEN]
    texts += [phrases.CONNECTING, phrases.NOBODY, phrases.GOODBYE, phrases.WAITING]
    texts += [phrases.NOT_DONE, phrases.ALL_RIGHT, phrases.ANOTHER, phrases.HUMAN, phrases.AGAIN]
    for service, day, time in SLOTS[::5]:
        texts += [phrases.say_booked(service, day, time, "407123")]
        texts += [phrases.read_back(service, day, time, "anna")]
        texts += [phrases.say_offer(reason, day, time) for reason in phrases.REFUSED]
        texts += [phrases.say_hours(day, [("08:00", time), (time, "18:30")])]
    for text in texts:
        for sentence in phrases.in_sentences(text):
            assert callers_ear.allows(sentence), sentence


# ---- over the telephone -----------------------------------------------------------------------


def fixed_by_callers() -> Iterator[str]:
    yield from (phrases.HUMAN_PLEASE, phrases.YES, phrases.NO, phrases.BYE, *phrases.ODD)
    yield from (phrases.ask_hours(day) for day in (*BOOK.days, *phrases.RELATIVE))
    yield from (phrases.tell_name(name) for name in BOOK.names)


def test_the_agent_hears_what_callers_say(agents_ear: Recogniser) -> None:
    bookings = [phrases.ask_booking(*slot, BOOK.names[0]) for slot in SLOTS]
    for text in [*fixed_by_callers(), *sample(bookings, 30)]:
        assert heard(agents_ear, text, CALLERS_PITCH) == [plain(text)]


def test_callers_hear_what_the_agent_says(callers_ear: Recogniser) -> None:
    booked = [phrases.say_booked(*slot) for slot in SLOTS]
    hours = [
        phrases.say_hours(day, [(opens, closes)])
        for day, opens, closes in itertools.product(BOOK.days, BOOK.times[:6], BOOK.times[12:])
    ]
    fixed = [phrases.HELP, phrases.ELSE, phrases.CONNECTING, phrases.GOODBYE, phrases.HUMAN]
    fixed += [phrases.say_hours(day, []) for day in BOOK.days]
    for text in [*fixed, *sample(booked, 40), *sample(hours, 40)]:
        assert heard(callers_ear, text) == phrases.in_sentences(text)


def test_a_swapped_day_is_not_heard_as_the_right_one(callers_ear: Recogniser) -> None:
    said = heard(callers_ear, phrases.say_booked("filling", "thursday", "10:00"))
    assert [phrases.booking_said(sentence) for sentence in said] == [
        ("filling", "thursday", "10:00")
    ]
    assert phrases.booking_said(said[0]) != ("filling", "tuesday", "10:00")


def test_other_speech_is_no_booking(agents_ear: Recogniser) -> None:
    for text in ("My dog has eaten my homework.", "Banana.", "I need to cancel my appointment."):
        assert heard(agents_ear, text) == [""]
