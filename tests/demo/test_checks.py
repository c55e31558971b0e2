"""Every check holds on what is right, and fails on everything that is a little wrong."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from relay.adapters.store import upgrade
from relay.demo.checks import (
    TABLES,
    Evidence,
    judge,
    outcome_of,
    read_rows,
    says_booking,
    says_hours,
    says_human,
    swapped_day,
)
from relay.demo.scenario import BOOK, draw, starts_at
from relay.sim.phrases import (
    BYE,
    ELSE,
    GOODBYE,
    HUMAN,
    WEEKDAYS,
    agent_grammar,
    caller_grammar,
    in_sentences,
    plain,
    say_booked,
    say_hours,
)
from relay.sim.voice import Recogniser, from_mulaw, speak

RUN = draw(3)
WANT = RUN.booking
HOURS = say_hours(RUN.asked, RUN.hours[RUN.asked])
BOOKED = say_booked(WANT.service, WANT.day, WANT.time)
OTHER_TIME = next(at for at in BOOK.times if at != WANT.time)
OTHER_SERVICE = next(name for name in BOOK.services if name != WANT.service)
CALLER = "+14155550123"


def row(**fields: object) -> dict[str, Any]:
    return dict(fields)


def evidence() -> Evidence:
    """What a perfect run leaves behind."""
    at = starts_at(WANT, date(2026, 11, 23))
    booked = row(service=WANT.service, starts_at=str(at), name=WANT.name.capitalize(), phone=CALLER)
    cut = row(call_sid="CA1", speaker="agent", interrupted=1)
    outcomes = [row(call_sid="CA1", outcome="booked"), row(call_sid="CA2", outcome="transferred")]
    return Evidence(
        ears=(
            [plain(HOURS), "", plain(ELSE), plain(BOOKED), plain(ELSE), *in_sentences(GOODBYE)],
            ["", *in_sentences(HUMAN)],
        ),
        desk=[plain(BYE)],
        rang=1,
        rows={"bookings": [booked], "call_outcomes": outcomes, "transcripts": [cut]},
        call_sids=("CA1", "CA2"),
        caller=CALLER,
        starts_at=at,
        barge_in_ms=180.0,
        gaps=(),
        complaints=(),
    )


def bad(given: Evidence) -> set[str]:
    return {verdict.claim for verdict in judge(RUN, given) if not verdict.good}


def rebooked(**fields: object) -> Evidence:
    whole = evidence()
    changed = [{**whole.rows["bookings"][0], **fields}]
    return replace(whole, rows={**whole.rows, "bookings": changed})


# ---- judgement ------------------------------------------------------------------------------


def test_a_perfect_run_is_good_and_its_controls_do_not_hold() -> None:
    verdicts = judge(RUN, evidence())
    assert all(verdict.good for verdict in verdicts)
    assert sum(not verdict.wanted for verdict in verdicts) == 6


def test_the_other_calls_audio_passes_for_neither() -> None:
    swapped = replace(evidence(), ears=evidence().ears[::-1])
    assert len(bad(swapped)) >= 6


def test_silence_passes_for_nothing() -> None:
    assert len(bad(replace(evidence(), ears=([], []), desk=[]))) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        rebooked(service=OTHER_SERVICE),
        rebooked(name="Somebody"),
        rebooked(phone="+12125550177"),
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
        (replace(evidence(), rang=0), "call 2 makes the human's phone ring, once"),
        (replace(evidence(), rang=2), "call 2 makes the human's phone ring, once"),
        (replace(evidence(), gaps=(35.0,)), "no gap in the agent's speech"),
        (
            replace(evidence(), complaints=("31951",)),
            "neither Twilio nor the model has a complaint",
        ),
        (replace(evidence(), desk=["", "yes please"]), "the human hears the caller of call 2"),
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


@pytest.mark.parametrize("outcome", ["failed", "resolved", "abandoned", "message"])
def test_each_outcome_is_told_from_the_wanted_one(outcome: str) -> None:
    rows = {
        **evidence().rows,
        "call_outcomes": [
            row(call_sid="CA1", outcome=outcome),
            row(call_sid="CA2", outcome=outcome),
        ],
    }
    assert bad(replace(evidence(), rows=rows)) == {
        "the outcome of call 1 is booked",
        "the outcome of call 2 is transferred",
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


def test_half_a_greeting_is_not_the_human() -> None:
    assert says_human(in_sentences(HUMAN))
    assert not says_human(in_sentences(HUMAN)[:1])


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
    assert says_human(heard(HUMAN))
    assert not says_human(heard(HOURS))


# ---- rows -----------------------------------------------------------------------------------


def test_rows_are_read_from_a_real_database(tmp_path: Path) -> None:
    file = tmp_path / "relay.db"
    upgrade(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO call_outcomes (call_sid, outcome, reason) VALUES ('CA1', 'booked', '')"
        )
    connection.close()
    rows = read_rows(file)
    assert set(rows) == set(TABLES)
    assert outcome_of(rows, "CA1") == "booked"
    assert outcome_of(rows, "CA2") == ""
