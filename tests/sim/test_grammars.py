"""Grammars and meanings; and how many sentences survive a telephone line.

All sentences of all weekdays, half hours and services take minutes to hear, so the suite hears a
sample, picked by a hash of the sentence; `make fuzz` hears ten times as many.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

import pytest

from relay.sim import grammars, phrases
from relay.sim.grammars import Meaning
from relay.sim.phrases import Book, plain
from relay.sim.voice import Recogniser, from_mulaw, speak
from tests.depth import TIMES

BOOK = Book()
SLOTS = list(itertools.product(BOOK.services, BOOK.days, BOOK.times))
CALLERS_PITCH = 0.9


@pytest.fixture(scope="module")
def agents_ear() -> Recogniser:
    return Recogniser(grammars.caller_grammar(BOOK))


@pytest.fixture(scope="module")
def callers_ear() -> Recogniser:
    return Recogniser(grammars.agent_grammar(BOOK))


def heard(ear: Recogniser, text: str, pitch: float = 1.0) -> list[str]:
    return ear.sentences(from_mulaw(speak(text, pitch=pitch)))


def sample(texts: list[str], one_in: int) -> list[str]:
    one_in = one_in // 10 if TIMES > 1 else one_in
    return [text for text in texts if zlib.crc32(text.encode()) % one_in == 0]


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
        phrases.ask_human("bill"): Meaning("human", topic="bill"),
        phrases.ask_call_back("anna", "order"): Meaning("back", name="anna", topic="order"),
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
    assert {text: grammars.caller_meant(plain(text)) for text in meant} == meant


def test_every_meaning_is_in_the_grammar(agents_ear: Recogniser) -> None:
    for service, day, time in SLOTS:
        text = plain(phrases.ask_booking(service, day, time, "anna"))
        assert agents_ear.allows(text)
        assert grammars.caller_meant(text) == Meaning("booking", service, day, time, "anna")
    for text in (*phrases.ODD, phrases.HUMAN_PLEASE, phrases.YES, phrases.NO, phrases.BYE):
        assert agents_ear.allows(plain(text))


def test_what_a_human_is_told_and_a_message_read_back() -> None:
    for topic in ("", *BOOK.topics):
        assert grammars.about_told(plain(phrases.tell_about(topic))) == topic
    assert grammars.about_told(plain(phrases.tell_hours("monday"))) is None
    for name, topic in itertools.product(BOOK.names, BOOK.topics):
        assert grammars.noted_said(plain(phrases.say_noted(name, topic))) == (name, topic)
    assert grammars.noted_said("what else can i do for you") is None


def test_the_humans_ear_knows_all_that_they_can_be_told() -> None:
    ear = Recogniser(grammars.desk_grammar(BOOK, "A caller is on the line."))
    texts = ["A caller is on the line.", phrases.BYE, phrases.UMBRELLA]
    texts += [phrases.tell_about(topic) for topic in ("", *BOOK.topics)]
    texts += [phrases.tell_hours(day) for day in (*BOOK.days, *phrases.RELATIVE)]
    for booked in (False, True):
        texts += [phrases.tell_booking(*slot, booked=booked) for slot in SLOTS[::7]]
    for text in texts:
        assert ear.allows(plain(text)), text
    for text in texts[: 4 + len(BOOK.topics)]:
        assert heard(ear, text) == [plain(text)]


def test_what_the_agent_said() -> None:
    spans = [("09:00", "12:00"), ("13:00", "17:00")]
    assert grammars.hours_said(plain(phrases.say_hours("Wednesday", spans))) == (
        "wednesday",
        tuple(spans),
    )
    assert grammars.hours_said(plain(phrases.say_hours("sunday", []))) == ("sunday", ())
    assert grammars.hours_said("what else can i do for you") is None
    booked = phrases.in_sentences(phrases.say_booked("filling", "Monday", "12:30", "407123"))
    assert grammars.booking_said(booked[0]) == ("filling", "monday", "12:30")
    assert grammars.booking_said(booked[1]) is None


def test_the_callers_ear_knows_all_that_the_agent_can_say(callers_ear: Recogniser) -> None:
    texts = [phrases.HELP, phrases.WHOSE, phrases.MOMENT, phrases.LOST, phrases.BROKEN]
    texts += [phrases.TRYING, phrases.RINGING, phrases.NOT_REACHED, phrases.SORRY, phrases.MESSAGE]
    texts += [phrases.WHOSE_MESSAGE, phrases.HUMAN_HAS_IT, phrases.NOBODY, phrases.GOODBYE]
    texts += [
        phrases.WAITING,
        phrases.NOT_DONE,
        phrases.ALL_RIGHT,
        phrases.ANOTHER,
        phrases.HUMAN,
        phrases.AGAIN,
    ]
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
    yield from (phrases.ask_human(topic) for topic in BOOK.topics)
    yield from (phrases.ask_call_back(BOOK.names[1], topic) for topic in BOOK.topics)


def test_the_agent_hears_what_callers_say(agents_ear: Recogniser) -> None:
    bookings = [phrases.ask_booking(*slot, BOOK.names[0]) for slot in SLOTS]
    for text in [*fixed_by_callers(), *sample(bookings, 60)]:
        assert heard(agents_ear, text, CALLERS_PITCH) == [plain(text)]


def test_callers_hear_what_the_agent_says(callers_ear: Recogniser) -> None:
    booked = [phrases.say_booked(*slot) for slot in SLOTS]
    hours = [
        phrases.say_hours(day, [(opens, closes)])
        for day, opens, closes in itertools.product(BOOK.days, BOOK.times[:6], BOOK.times[12:])
    ]
    fixed = [phrases.HELP, phrases.ELSE, phrases.TRYING, phrases.RINGING, phrases.GOODBYE]
    fixed += [phrases.NOT_REACHED, phrases.MESSAGE, phrases.WHOSE_MESSAGE]
    fixed += [phrases.HUMAN, phrases.HUMAN_HAS_IT]
    fixed += [phrases.say_noted(BOOK.names[0], topic) for topic in BOOK.topics]
    fixed += [phrases.say_hours(day, []) for day in BOOK.days]
    for text in [*fixed, *sample(booked, 80), *sample(hours, 40)]:
        assert heard(callers_ear, text) == phrases.in_sentences(text)


def test_a_swapped_day_is_not_heard_as_the_right_one(callers_ear: Recogniser) -> None:
    said = heard(callers_ear, phrases.say_booked("filling", "thursday", "10:00"))
    assert [grammars.booking_said(sentence) for sentence in said] == [
        ("filling", "thursday", "10:00")
    ]
    assert grammars.booking_said(said[0]) != ("filling", "tuesday", "10:00")


def test_other_speech_is_no_booking(agents_ear: Recogniser) -> None:
    for text in ("My dog has eaten my homework.", "Banana.", "I need to cancel my appointment."):
        assert heard(agents_ear, text) == [""]
