"""Whether a run did what it was drawn to do: judged by what was heard, and by the database.

A check takes everything it judges as an argument, so that the same check can be put to evidence
that must fail: the other call's audio, another day. A closed grammar always hears something,
so a check that has not been seen to fail proves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from relay.demo.scenario import Booking, Scenario
from relay.sim.phrases import (
    BYE,
    HUMAN,
    WEEKDAYS,
    Span,
    booking_said,
    hours_said,
    in_sentences,
    plain,
)

Sentences: TypeAlias = Sequence[str]
Row: TypeAlias = dict[str, Any]

MAX_BARGE_IN_MS = 1000  # two people who talk at once for longer do not hear each other
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


def says_human(heard: Sentences) -> bool:
    """Whether the human at the front desk was heard, every sentence of the greeting."""
    return set(in_sentences(HUMAN)) <= set(heard)


# ---- what was written down ----------------------------------------------------------------------


def read_rows(database: Path) -> dict[str, list[Row]]:
    """All rows of the tables that calls leave behind, with SQLite's own driver."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608
            for table in TABLES
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


# ---- all of it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left behind.

    ears: the sentences that arrived at the caller's ear, by call
    desk: the sentences that arrived at the human's ear; rang: how often that phone rang
    call_sids: of the two calls; caller: the number that called first
    starts_at: when the drawn booking has to begin
    barge_in_ms: from the first caller's breaking in to silence; None: the agent talked on
    gaps: holes in the middle of an item of the agent's speech, in ms
    complaints: what Twilio's debugger would show, and what broke the model's protocol
    """

    ears: tuple[Sentences, Sentences]
    desk: Sentences
    rang: int
    rows: dict[str, list[Row]]
    call_sids: tuple[str, str]
    caller: str
    starts_at: datetime
    barge_in_ms: float | None
    gaps: Sequence[float]
    complaints: Sequence[str]


def judge(scenario: Scenario, evidence: Evidence) -> list[Verdict]:
    """Every check of a run, and the controls of those that go by ear."""
    first, second = evidence.ears
    asked, hours = scenario.asked, scenario.hours
    want = scenario.booking
    swapped = swapped_day(asked)
    other = swapped_day(want.day)
    outcomes = [outcome_of(evidence.rows, sid) for sid in evidence.call_sids]
    booking = (want.service, want.day, want.time)
    when = f"{want.service}, {want.day.capitalize()} {want.time}"
    return [
        Verdict(
            f"call 1 says the hours of {asked.capitalize()}", says_hours(first, asked, hours[asked])
        ),
        Verdict(f"call 1 confirms {when}", says_booking(first, *booking)),
        Verdict(
            "the database holds this booking and no other",
            booked_rows(evidence.rows, want, evidence.starts_at, evidence.caller),
        ),
        Verdict("the outcome of call 1 is booked", outcomes[0] == "booked"),
        Verdict(
            "the agent yields when call 1 breaks in, and the transcript says so",
            evidence.barge_in_ms is not None
            and evidence.barge_in_ms <= MAX_BARGE_IN_MS
            and interrupted_in(evidence.rows, evidence.call_sids[0]),
        ),
        Verdict("call 2 makes the human's phone ring, once", evidence.rang == 1),
        Verdict("the caller of call 2 hears the human", says_human(second)),
        Verdict("the human hears the caller of call 2", plain(BYE) in evidence.desk),
        Verdict("the outcome of call 2 is transferred", outcomes[1] == "transferred"),
        Verdict("no gap in the agent's speech", not evidence.gaps),
        Verdict("neither Twilio nor the model has a complaint", not evidence.complaints),
        *(
            Verdict(claim, holds, wanted=False)
            for claim, holds in (
                ("call 2 says those hours", says_hours(second, asked, hours[asked])),
                ("call 2 confirms that booking", says_booking(second, *booking)),
                ("call 1 lets the human be heard", says_human(first)),
                (
                    f"call 1 says those hours of {swapped.capitalize()}",
                    says_hours(first, swapped, hours[asked]),
                ),
                (
                    f"call 1 says the hours of {swapped.capitalize()} for {asked.capitalize()}",
                    says_hours(first, asked, hours[swapped]),
                ),
                (
                    f"call 1 confirms it for {other.capitalize()}",
                    says_booking(first, want.service, other, want.time),
                ),
            )
        ),
    ]


def swapped_day(day: str) -> str:
    """Another day of the week."""
    return WEEKDAYS[(WEEKDAYS.index(day) + 1) % 7]
