"""Whether a run did what it was drawn to do: judged by what was heard, by the database, and by
what the owner was told.

A check takes everything it judges as an argument, so that the same check can be put to evidence
that must fail: the other call's audio, another day. A closed grammar always hears something,
so a check that has not been seen to fail proves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from relay.demo.scenario import Booking, Message, Scenario
from relay.sim.grammars import about_told, booking_said, hours_said, noted_said
from relay.sim.phrases import (
    BYE,
    HUMAN,
    HUMAN_HAS_IT,
    NOT_REACHED,
    UMBRELLA,
    WEEKDAYS,
    Span,
    in_sentences,
)

Sentences: TypeAlias = Sequence[str]
Row: TypeAlias = dict[str, Any]
Notice: TypeAlias = Mapping[str, Any]

MAX_BARGE_IN_MS = 1000  # two people who talk at once for longer do not hear each other
MAX_SILENCE_MS = 1500  # after that people on the telephone ask whether anybody is there
BY_KEY = "pressed 0"  # in the reason for which a human was rung
TABLES = ("calls", "transcripts", "tool_calls", "bookings", "call_outcomes")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's outcome. wanted: False for a control, which must not hold."""

    claim: str
    holds: bool
    wanted: bool = True

    @property
    def good(self) -> bool:
        return self.holds is self.wanted


# ---- what was heard ---------------------------------------------------------------------------


def says_hours(heard: Sentences, day: str, spans: Sequence[Span]) -> bool:
    """Whether these hours of this day were told, and no others of it."""
    told = {said[1] for said in map(hours_said, heard) if said and said[0] == day}
    return told == {tuple(spans)}


def says_booking(heard: Sentences, service: str, day: str, time: str) -> bool:
    """Whether this booking was confirmed, and no other."""
    told = {said for said in map(booking_said, heard) if said}
    return told == {(service, day, time)}


def says(heard: Sentences, *texts: str) -> bool:
    """Whether every sentence of these texts was heard, in that order."""
    rest = iter(heard)
    return all(sentence in rest for text in texts for sentence in in_sentences(text))


def tells_about(heard: Sentences, topic: str) -> bool:
    """Whether a human was told that this is what it is about, and nothing else."""
    told = {about for about in map(about_told, heard) if about is not None}
    return told == {topic}


def says_noted(heard: Sentences, message: Message) -> bool:
    """Whether this message was read back, and no other."""
    told = {said for said in map(noted_said, heard) if said}
    return told == {(message.name, message.topic)}


# ---- what was written down ----------------------------------------------------------------------


def read_rows(database: Path, tables: Sequence[str] = TABLES) -> dict[str, list[Row]]:
    """All rows of the tables that calls leave behind, with SQLite's own driver."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608
            for table in tables
        }
    finally:
        connection.close()


def booked_rows(rows: dict[str, list[Row]], booking: Booking, at: datetime, caller: str) -> bool:
    """Whether the one booking in the database is this one."""
    wanted = (booking.service, at, booking.name, caller)
    found = [
        (
            row["service"],
            datetime.fromisoformat(row["starts_at"]),
            row["name"].lower(),
            row["phone"],
        )
        for row in rows["bookings"]
    ]
    return found == [wanted]


def outcome_of(rows: dict[str, list[Row]], call_sid: str) -> str:
    """A call's outcome row, "" while there is none."""
    found = [row["outcome"] for row in rows["call_outcomes"] if row["call_sid"] == call_sid]
    return found[0] if found else ""


def interrupted_in(rows: dict[str, list[Row]], call_sid: str) -> bool:
    """Whether a call's transcript holds a line of the agent's that was cut short."""
    return any(
        row["interrupted"] and row["speaker"] == "agent"
        for row in rows["transcripts"]
        if row["call_sid"] == call_sid
    )


def rung_by_key(rows: dict[str, list[Row]], call_sid: str) -> bool:
    """Whether a call rang a human because of a key, and not because of a word."""
    reasons = [
        row["arguments"]
        for row in rows["tool_calls"]
        if row["call_sid"] == call_sid and row["name"] == "transfer_to_human"
    ]
    return bool(reasons) and all(BY_KEY in reason for reason in reasons)


# ---- what the owner was told --------------------------------------------------------------------


def told_of(notices: Sequence[Notice], kind: str, call_sid: str, caller: str, *words: str) -> bool:
    """Whether a notice of this kind came once, about this call, with these words in it."""
    found = [each for each in notices if each["kind"] == kind]
    return len(found) == 1 and (
        (found[0]["call_sid"], found[0]["caller"]) == (call_sid, caller)
        and all(word.lower() in found[0]["text"].lower() for word in words)
    )


# ---- all of it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Left:
    """What one call left.

    ear, desk: the sentences that arrived at the caller's ear, and at the human's
    rang: how often the human's telephone did; together: whether both met in one room, they alone
    quiet_ms: the longest silences around that, at the caller's ear and at the human's
    """

    sid: str
    ear: Sentences
    desk: Sentences = ()
    rang: int = 0
    together: bool = False
    quiet_ms: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether caller and human were brought together, neither kept waiting in silence."""
        return self.together and self.quiet_ms is not None and max(self.quiet_ms) <= MAX_SILENCE_MS


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left behind.

    calls: the four of them; callers: the numbers that they came from
    starts_at: when the drawn booking has to begin
    barge_in_ms: from the first caller's breaking in to silence; None: the agent talked on
    notices: what was posted to the owner's webhook, and believed; refused: why the rest was not
    gaps: holes in the middle of an item of the agent's speech, in ms
    complaints: what Twilio's debugger would show, and what broke the model's protocol
    """

    calls: Sequence[Left]
    rows: dict[str, list[Row]]
    callers: Sequence[str]
    starts_at: datetime
    barge_in_ms: float | None
    notices: Sequence[Notice]
    refused: Sequence[str]
    gaps: Sequence[float]
    complaints: Sequence[str]


def judge(scenario: Scenario, evidence: Evidence) -> list[Verdict]:
    """Every check of a run, and the controls of those that go by ear."""
    return [
        *_first(scenario, evidence),
        *_second(evidence),
        *_third(scenario, evidence),
        *_fourth(scenario, evidence),
        Verdict(
            "the owner's webhook hears of both, signed, and of nothing else",
            len(evidence.notices) == 2 and not evidence.refused,
        ),
        Verdict("no gap in the agent's speech", not evidence.gaps),
        Verdict("neither Twilio nor the model has a complaint", not evidence.complaints),
        *(Verdict(claim, holds, wanted=False) for claim, holds in _controls(scenario, evidence)),
    ]


def _first(scenario: Scenario, evidence: Evidence) -> list[Verdict]:
    call, asked, want = evidence.calls[0], scenario.asked, scenario.booking
    rows = evidence.rows
    when = f"{want.service}, {want.day.capitalize()} {want.time}"
    return [
        Verdict(
            f"call 1 says the hours of {asked.capitalize()}",
            says_hours(call.ear, asked, scenario.hours[asked]),
        ),
        Verdict(
            f"call 1 confirms {when}", says_booking(call.ear, want.service, want.day, want.time)
        ),
        Verdict(
            "the database holds this booking and no other",
            booked_rows(rows, want, evidence.starts_at, evidence.callers[0]),
        ),
        Verdict(
            "the owner hears of this booking",
            told_of(
                evidence.notices,
                "booked",
                call.sid,
                evidence.callers[0],
                want.service,
                want.day,
                want.time,
                want.name,
            ),
        ),
        Verdict("the outcome of call 1 is booked", outcome_of(rows, call.sid) == "booked"),
        Verdict(
            "the agent yields when call 1 breaks in, and the transcript says so",
            evidence.barge_in_ms is not None
            and evidence.barge_in_ms <= MAX_BARGE_IN_MS
            and interrupted_in(rows, call.sid),
        ),
    ]


def _second(evidence: Evidence) -> list[Verdict]:
    call, rows = evidence.calls[1], evidence.rows
    return [
        Verdict(
            "the key 0 makes the human's phone ring, once",
            call.rang == 1 and rung_by_key(rows, call.sid),
        ),
        Verdict("call 2 meets the human, with 1.5 s of silence at the most", call.met),
        Verdict("the caller of call 2 hears the human", says(call.ear, HUMAN)),
        Verdict("the human hears the caller of call 2", says(call.desk, BYE)),
        Verdict(
            "the outcome of call 2 is transferred", outcome_of(rows, call.sid) == "transferred"
        ),
    ]


def _third(scenario: Scenario, evidence: Evidence) -> list[Verdict]:
    call, rows = evidence.calls[2], evidence.rows
    return [
        Verdict("call 3 makes the human's phone ring, once", call.rang == 1),
        Verdict(
            f"the human is told that it is about the {scenario.topic}",
            tells_about(call.desk, scenario.topic),
        ),
        Verdict("call 3 meets the human, with 1.5 s of silence at the most", call.met),
        Verdict("the caller of call 3 hears the human", says(call.ear, HUMAN, HUMAN_HAS_IT)),
        Verdict("the human hears the caller of call 3", says(call.desk, UMBRELLA, BYE)),
        Verdict(
            "the outcome of call 3 is transferred", outcome_of(rows, call.sid) == "transferred"
        ),
    ]


def _fourth(scenario: Scenario, evidence: Evidence) -> list[Verdict]:
    call, rows, left = evidence.calls[3], evidence.rows, scenario.message
    meanwhile, name = scenario.meanwhile, left.name.capitalize()
    return [
        Verdict("call 4 makes the human's phone ring, once", call.rang == 1),
        Verdict(
            f"meanwhile it says the hours of {meanwhile.capitalize()}",
            says_hours(call.ear, meanwhile, scenario.hours[meanwhile]),
        ),
        Verdict(
            "then it says that nobody came, and they never met",
            says(call.ear, NOT_REACHED) and not call.together,
        ),
        Verdict(
            f"call 4 reads back that {name} wants to be called about the {left.topic}",
            says_noted(call.ear, left),
        ),
        Verdict(
            "the owner hears of this message",
            told_of(
                evidence.notices, "message", call.sid, evidence.callers[3], left.name, left.topic
            ),
        ),
        Verdict("the outcome of call 4 is message", outcome_of(rows, call.sid) == "message"),
    ]


def _controls(scenario: Scenario, evidence: Evidence) -> list[tuple[str, bool]]:
    """Claims that must not hold."""
    first, second, third, fourth = evidence.calls
    asked, hours, want = scenario.asked, scenario.hours, scenario.booking
    swapped, other = swapped_day(asked), swapped_day(want.day)
    left = scenario.message
    return [
        ("call 2 says those hours", says_hours(second.ear, asked, hours[asked])),
        (
            "call 4 confirms that booking",
            says_booking(fourth.ear, want.service, want.day, want.time),
        ),
        ("call 1 lets the human be heard", says(first.ear, HUMAN)),
        (
            f"call 1 says those hours of {swapped.capitalize()}",
            says_hours(first.ear, swapped, hours[asked]),
        ),
        (
            f"call 1 says the hours of {swapped.capitalize()} for {asked.capitalize()}",
            says_hours(first.ear, asked, hours[swapped]),
        ),
        (
            f"call 1 confirms it for {other.capitalize()}",
            says_booking(first.ear, want.service, other, want.time),
        ),
        (
            f"the human of call 2 is told that it is about the {scenario.topic}",
            tells_about(second.desk, scenario.topic),
        ),
        (
            f"the human of call 3 is told that it is about the {left.topic}",
            tells_about(third.desk, left.topic),
        ),
        ("the human of call 2 hears the caller of call 3", says(second.desk, UMBRELLA)),
        ("call 3 says that nobody came", says(third.ear, NOT_REACHED)),
        (
            f"call 4 reads back that it is about the {scenario.topic}",
            says_noted(fourth.ear, Message(left.name, scenario.topic)),
        ),
    ]


def swapped_day(day: str) -> str:
    """Another day of the week."""
    return WEEKDAYS[(WEEKDAYS.index(day) + 1) % 7]
