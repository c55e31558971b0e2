"""Every check holds on what is right, and fails on everything that is a little wrong."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from relay.demo.checks import (
    TABLES,
    Evidence,
    Left,
    judge,
    outcome_of,
    read_rows,
    says,
    says_booking,
    says_hours,
    says_noted,
    swapped_day,
    tells_about,
    told_of,
)
from relay.demo.scenario import BOOK, Message, draw, starts_at
from relay.sim.grammars import agent_grammar, caller_grammar, desk_grammar
from relay.sim.phrases import (
    BYE,
    ELSE,
    GOODBYE,
    HUMAN,
    HUMAN_HAS_IT,
    NOT_REACHED,
    UMBRELLA,
    WANTS_PERSON,
    WEEKDAYS,
    in_sentences,
    plain,
    say_booked,
    say_hours,
    say_noted,
    tell_about,
)
from relay.sim.voice import Recogniser, from_mulaw, speak
from tests.databases import migrated

RUN = draw(3)
WANT = RUN.booking
HOURS = say_hours(RUN.asked, RUN.hours[RUN.asked])
BOOKED = say_booked(WANT.service, WANT.day, WANT.time)
OTHER_TIME = next(at for at in BOOK.times if at != WANT.time)
OTHER_SERVICE = next(name for name in BOOK.services if name != WANT.service)
LEFT = RUN.message
CALLERS = ("+14155550123", "+12125550177", "+13055550144", "+14155550166")
SIDS = ("CA1", "CA2", "CA3", "CA4")
OUTCOMES = ("booked", "transferred", "transferred", "message")
QUIET_MS = (700.0, 500.0)


def row(**fields: object) -> dict[str, Any]:
    return dict(fields)


def calls() -> list[Left]:
    """What the calls of a perfect run leave."""
    met = {"rang": 1, "together": True, "quiet_ms": QUIET_MS}
    hello = in_sentences(HUMAN)
    asked, hours = RUN.meanwhile, RUN.hours
    return [
        Left("CA1", [plain(HOURS), "", plain(ELSE), plain(BOOKED), *in_sentences(GOODBYE)]),
        Left("CA2", ["", *hello], [plain(WANTS_PERSON), plain(BYE)], **met),
        Left(
            "CA3",
            [*hello, *in_sentences(HUMAN_HAS_IT)],
            [plain(tell_about(RUN.topic)), "", plain(UMBRELLA), plain(BYE)],
            **met,
        ),
        Left(
            "CA4",
            [
                plain(say_hours(asked, hours[asked])),
                plain(NOT_REACHED),
                plain(say_noted(LEFT.name, LEFT.topic)),
            ],
            rang=1,
        ),
    ]


def evidence() -> Evidence:
    """What a perfect run leaves behind."""
    at = starts_at(WANT, date(2026, 11, 23))
    name = WANT.name.capitalize()
    booked = row(service=WANT.service, starts_at=str(at), name=name, phone=CALLERS[0])
    cut = row(call_sid="CA1", speaker="agent", interrupted=1)
    key = row(call_sid="CA2", name="transfer_to_human", arguments="The caller pressed 0 for …")
    told = f"{name} booked: {WANT.service}, {WANT.day.capitalize()} 2026-11-23 {WANT.time}"
    left = f"{LEFT.name.capitalize()} left a message: Please call me back about my {LEFT.topic}."
    outcomes = [row(call_sid=sid, outcome=each) for sid, each in zip(SIDS, OUTCOMES, strict=True)]
    return Evidence(
        calls=calls(),
        rows={
            "bookings": [booked],
            "call_outcomes": outcomes,
            "transcripts": [cut],
            "tool_calls": [key],
        },
        callers=CALLERS,
        starts_at=at,
        barge_in_ms=180.0,
        notices=[
            row(kind="booked", call_sid="CA1", caller=CALLERS[0], text=told),
            row(kind="message", call_sid="CA4", caller=CALLERS[3], text=left),
        ],
        refused=(),
        gaps=(),
        complaints=(),
    )


def changed(call: int, **fields: Any) -> Evidence:
    """A perfect run but for something that one call left."""
    left = calls()
    left[call - 1] = replace(left[call - 1], **fields)
    return replace(evidence(), calls=left)


def noticed(at: int, **fields: Any) -> Evidence:
    """A perfect run but for something that the owner was told."""
    notices = [dict(each) for each in evidence().notices]
    notices[at].update(fields)
    return replace(evidence(), notices=notices)


def bad(given: Evidence) -> set[str]:
    return {verdict.claim for verdict in judge(RUN, given) if not verdict.good}


def rebooked(**fields: object) -> Evidence:
    whole = evidence()
    changed = [{**whole.rows["bookings"][0], **fields}]
    return replace(whole, rows={**whole.rows, "bookings": changed})


def with_reason(reason: str) -> Evidence:
    calls_ = [row(call_sid="CA2", name="transfer_to_human", arguments=reason)]
    return replace(evidence(), rows={**evidence().rows, "tool_calls": calls_})


KEY = "the key 0 makes the human's phone ring, once"
MET = "call {} meets the human, with 1.5 s of silence at the most"
ABOUT = f"the human is told that it is about the {RUN.topic}"
MEANWHILE = f"meanwhile it says the hours of {RUN.meanwhile.capitalize()}"
NOBODY_CAME = "then it says that nobody came, and they never met"
NOTED = f"call 4 reads back that {LEFT.name.capitalize()} wants to be called about the {LEFT.topic}"
TOLD = "the owner's webhook hears of both, signed, and of nothing else"


# ---- judgement ------------------------------------------------------------------------------


def test_a_perfect_run_is_good_and_its_controls_do_not_hold() -> None:
    verdicts = judge(RUN, evidence())
    assert [verdict.claim for verdict in verdicts if not verdict.good] == []
    assert sum(not verdict.wanted for verdict in verdicts) == 11


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(range(4), 2)))
def test_another_calls_sound_does_not_pass(one: int, other: int) -> None:
    left = calls()
    ears, desks = [each.ear for each in left], [each.desk for each in left]
    for row_ in (ears, desks):
        row_[one], row_[other] = row_[other], row_[one]
    swapped = [
        replace(each, ear=ear, desk=desk) for each, ear, desk in zip(left, ears, desks, strict=True)
    ]
    assert len(bad(replace(evidence(), calls=swapped))) >= 2


def test_silence_passes_for_nothing() -> None:
    silent = [replace(each, ear=[], desk=[]) for each in calls()]
    assert len(bad(replace(evidence(), calls=silent))) == 10


@pytest.mark.parametrize(
    "wrong",
    [
        rebooked(service=OTHER_SERVICE),
        rebooked(name="Somebody"),
        rebooked(phone=CALLERS[1]),
        rebooked(starts_at="2026-11-22 09:00:00.000000"),
        replace(evidence(), rows={**evidence().rows, "bookings": []}),
        replace(evidence(), rows={**evidence().rows, "bookings": evidence().rows["bookings"] * 2}),
    ],
)
def test_another_row_is_not_the_booking(wrong: Evidence) -> None:
    assert bad(wrong) == {"the database holds this booking and no other"}


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        (changed(2, rang=0), KEY),
        (changed(2, rang=2), KEY),
        (replace(evidence(), rows={**evidence().rows, "tool_calls": []}), KEY),
        (with_reason("the caller asked for a person"), KEY),
        (changed(2, together=False), MET.format(2)),
        (changed(2, quiet_ms=None), MET.format(2)),
        (changed(2, quiet_ms=(1600.0, 500.0)), MET.format(2)),
        (changed(2, ear=in_sentences(HUMAN)[:1]), "the caller of call 2 hears the human"),
        (changed(2, desk=["", "yes please"]), "the human hears the caller of call 2"),
        (changed(3, rang=0), "call 3 makes the human's phone ring, once"),
        (changed(3, desk=calls()[2].desk[1:]), ABOUT),
        (changed(3, desk=[plain(tell_about("")), *calls()[2].desk[1:]]), ABOUT),
        (changed(3, desk=[plain(WANTS_PERSON), *calls()[2].desk]), ABOUT),
        (changed(3, together=False), MET.format(3)),
        (changed(3, quiet_ms=(500.0, 1600.0)), MET.format(3)),
        (changed(3, ear=in_sentences(HUMAN)), "the caller of call 3 hears the human"),
        (changed(3, ear=calls()[2].ear[::-1]), "the caller of call 3 hears the human"),
        (changed(3, desk=calls()[2].desk[:-1]), "the human hears the caller of call 3"),
        (changed(4, rang=2), "call 4 makes the human's phone ring, once"),
        (changed(4, ear=calls()[3].ear[1:]), MEANWHILE),
        (changed(4, ear=calls()[3].ear[::2]), NOBODY_CAME),
        (changed(4, together=True), NOBODY_CAME),
        (changed(4, ear=calls()[3].ear[:2]), NOTED),
        (changed(4, ear=[*calls()[3].ear, plain(say_noted("anna", RUN.topic))]), NOTED),
        (noticed(0, kind="changed"), "the owner hears of this booking"),
        (noticed(0, call_sid="CA2"), "the owner hears of this booking"),
        (noticed(0, caller=CALLERS[1]), "the owner hears of this booking"),
        (noticed(0, text=f"Somebody booked: {WANT.service}"), "the owner hears of this booking"),
        (noticed(1, kind="failed"), "the owner hears of this message"),
        (noticed(1, call_sid="CA3"), "the owner hears of this message"),
        (noticed(1, text="Somebody left a message."), "the owner hears of this message"),
        (replace(evidence(), refused=["wrong signature"]), TOLD),
        (replace(evidence(), notices=[*evidence().notices, row(kind="failed")]), TOLD),
        (replace(evidence(), gaps=(35.0,)), "no gap in the agent's speech"),
        (
            replace(evidence(), complaints=("31951",)),
            "neither Twilio nor the model has a complaint",
        ),
    ],
)
def test_each_circumstance_counts(wrong: Evidence, claim: str) -> None:
    assert bad(wrong) == {claim}


@pytest.mark.parametrize(
    "wrong",
    [
        replace(evidence(), barge_in_ms=None),
        replace(evidence(), barge_in_ms=1500.0),
        replace(evidence(), rows={**evidence().rows, "transcripts": []}),
        replace(evidence(), rows={**evidence().rows, "transcripts": [{"call_sid": "CA2"}]}),
    ],
)
def test_an_agent_that_talks_on_is_found(wrong: Evidence) -> None:
    assert bad(wrong) == {"the agent yields when call 1 breaks in, and the transcript says so"}


@pytest.mark.parametrize("outcome", ["failed", "resolved", "abandoned"])
def test_each_outcome_is_told_from_the_wanted_one(outcome: str) -> None:
    outcomes = [row(call_sid=sid, outcome=outcome) for sid in SIDS]
    rows = {**evidence().rows, "call_outcomes": outcomes}
    assert bad(replace(evidence(), rows=rows)) == {
        f"the outcome of call {number} is {wanted}" for number, wanted in enumerate(OUTCOMES, 1)
    }


# ---- sentences ------------------------------------------------------------------------------


def test_hours_of_every_other_day_are_others() -> None:
    for day in WEEKDAYS:
        heard = [plain(say_hours(day, RUN.hours[RUN.asked]))]
        assert says_hours(heard, RUN.asked, RUN.hours[RUN.asked]) is (day == RUN.asked)
        truth = [plain(say_hours(day, RUN.hours[day]))]
        assert says_hours(truth, RUN.asked, RUN.hours[RUN.asked]) is (day == RUN.asked)


def test_hours_told_in_two_ways_are_not_the_hours() -> None:
    heard = [plain(HOURS), plain(say_hours(RUN.asked, ()))]
    assert not says_hours(heard, RUN.asked, RUN.hours[RUN.asked])


@pytest.mark.parametrize(
    "other",
    [
        (OTHER_SERVICE, WANT.day, WANT.time),
        (WANT.service, swapped_day(WANT.day), WANT.time),
        (WANT.service, WANT.day, OTHER_TIME),
    ],
)
def test_every_part_of_a_booking_counts(other: tuple[str, str, str]) -> None:
    wanted = (WANT.service, WANT.day, WANT.time)
    assert says_booking([plain(say_booked(*wanted))], *wanted)
    assert not says_booking([plain(say_booked(*other))], *wanted)
    assert not says_booking([plain(say_booked(*wanted)), plain(say_booked(*other))], *wanted)


def test_every_sentence_counts_and_their_order() -> None:
    hello, more = in_sentences(HUMAN), in_sentences(HUMAN_HAS_IT)
    assert says(["", *hello, "yes please", *more], HUMAN, HUMAN_HAS_IT)
    assert not says(hello[:1], HUMAN)
    assert not says([*more, *hello], HUMAN, HUMAN_HAS_IT)
    assert not says([], BYE)


def test_what_it_is_about_is_told_from_all_else() -> None:
    for one, other in itertools.product(("", *BOOK.topics), repeat=2):
        assert tells_about([plain(tell_about(one))], other) is (one == other)
    assert not tells_about([plain(BYE)], "")


def test_every_part_of_a_message_counts() -> None:
    for name, topic in itertools.product(BOOK.names, BOOK.topics):
        heard = [plain(say_noted(name, topic))]
        assert says_noted(heard, LEFT) is (Message(name, topic) == LEFT)
    assert not says_noted([], LEFT)


def test_a_notice_counts_once() -> None:
    one = row(kind="message", call_sid="CA1", caller="+1", text="Anna: the bill")
    assert told_of([one], "message", "CA1", "+1", "anna", "bill")
    assert not told_of([one, one], "message", "CA1", "+1", "anna", "bill")
    assert not told_of([], "message", "CA1", "+1")


# ---- sound ----------------------------------------------------------------------------------


def test_the_ears_could_have_heard_anything_else() -> None:
    agents, callers = Recogniser(agent_grammar(BOOK)), Recogniser(caller_grammar(BOOK))
    for day in WEEKDAYS:
        assert agents.allows(plain(say_hours(day, ())))
        for service in BOOK.services:
            for at in BOOK.times:
                assert agents.allows(plain(say_booked(service, day, at)))
    for opens in BOOK.times:
        for closes in BOOK.times:
            assert agents.allows(plain(say_hours("monday", [(opens, closes)])))
    assert callers.allows(plain(BYE))


def test_by_ear_the_drawn_hours_and_booking_are_told_from_others() -> None:
    ear = Recogniser(agent_grammar(BOOK))

    def heard(text: str) -> list[str]:
        return ear.sentences(from_mulaw(speak(text)))

    asked, hours = RUN.asked, RUN.hours
    wanted = (WANT.service, WANT.day, WANT.time)
    assert says_hours(heard(HOURS), asked, hours[asked])
    assert says_booking(heard(BOOKED), *wanted)
    other_day, other_booking = swapped_day(asked), say_booked(WANT.service, WANT.day, OTHER_TIME)
    assert not says_hours(heard(say_hours(other_day, hours[asked])), asked, hours[asked])
    assert not says_booking(heard(other_booking), *wanted)
    assert says(heard(HUMAN), HUMAN)
    assert not says(heard(HOURS), HUMAN)
    assert says_noted(heard(say_noted(LEFT.name, LEFT.topic)), LEFT)
    assert not says_noted(heard(say_noted(LEFT.name, RUN.topic)), LEFT)


def test_by_ear_the_drawn_topic_is_told_from_others() -> None:
    ear = Recogniser(desk_grammar(BOOK))
    for topic in BOOK.topics:
        heard = ear.sentences(from_mulaw(speak(tell_about(topic))))
        assert tells_about(heard, RUN.topic) is (topic == RUN.topic)


# ---- rows -----------------------------------------------------------------------------------


def test_rows_are_read_from_a_real_database(tmp_path: Path) -> None:
    file = tmp_path / "relay.db"
    migrated(file)
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO call_outcomes (call_sid, outcome, reason) VALUES ('CA1', 'booked', '')"
        )
    connection.close()
    rows = read_rows(file)
    assert set(rows) == set(TABLES)
    assert outcome_of(rows, "CA1") == "booked"
    assert outcome_of(rows, "CA2") == ""
