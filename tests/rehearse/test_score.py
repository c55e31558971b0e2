"""The marks: a call that went well has them all, and each falls to evidence of its own fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from relay.adapters.business_file import load_business
from relay.rehearse.evidence import Booked, Evidence, Line, Used
from relay.rehearse.score import CRITERIA, MAX_ANSWER_MS, MAX_GREETING_MS, P50_ANSWER_MS, score
from relay.rehearse.scripts import Name
from relay.rehearse.want import choose

WANT = choose(load_business(), datetime.fromisoformat("2026-11-25"))  # Friday at nine; no, at ten
BEGAN = datetime.fromisoformat("2026-11-25")
GREETING = "Hello! You are speaking with an AI assistant. How can I help you?"
BYE = "Thank you for calling. Goodbye."
READ_BACK = "A cleaning for Friday at ten o'clock in the name of Peter. Is that right?"
PHONE = "+14155550174"


def said(*lines: tuple[str, str]) -> list[Line]:
    """Lines, two seconds apart."""
    return [Line(who, text, after(2 * n)) for n, (who, text) in enumerate(lines)]


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def used(
    function: str, at: float, output: dict[str, object] | None = None, /, **given: object
) -> Used:
    return Used(function, given, "ok", output or {}, after(at))


BOOKING = used(
    "book_appointment",
    13,
    {"booked": True, "date": "2026-11-27", "time": "10:00"},
    service="Cleaning",
    day="friday",
    time="10:00",
    name="Peter",
)
IN_BOOK = Booked("cleaning", WANT.at, "Peter", PHONE)
QUIET = Evidence(
    "CA1", PHONE, 200.0, lines=said(("agent", GREETING)), ended_by="relay", outcome="resolved"
)
GOOD: dict[Name, Evidence] = {
    "hours": replace(
        QUIET,
        answers_ms=[900, 1100],
        lines=said(
            ("agent", GREETING),
            ("caller", "what are your hours this friday"),
            ("agent", "This Friday we are open from 9 AM to 3 PM."),
            ("caller", "thank you goodbye"),
            ("agent", BYE),
        ),
        used=[used("lookup_hours", 3, {"date": "2026-11-27"}, day="friday"), used("end_call", 8)],
        reason="goodbye",
    ),
    "booking": replace(
        QUIET,
        answers_ms=[1000],
        lines=said(
            ("agent", GREETING),
            ("caller", "a cleaning for friday at nine, my name is peter"),
            ("agent", "A cleaning for Friday at nine in the name of Peter. Is that right?"),
            ("caller", "no that is wrong, at ten"),
            ("agent", READ_BACK),
            ("caller", "yes please"),
            ("agent", "One moment please."),
            ("agent", "Your cleaning is booked for Friday at ten."),
        ),
        used=[BOOKING],
        bookings=[IN_BOOK],
        outcome="booked",
        reason="goodbye",
    ),
    "noise": replace(QUIET, outcome="abandoned", ended_by="caller"),
    "human": replace(
        QUIET,
        answers_ms=[1000],
        used=[used("transfer_to_human", 3)],
        outcome="transferred",
        ended_by="caller",
    ),
    "silence": replace(QUIET, outcome="abandoned", reason="idle"),
}


def marks(name: Name, seen: Evidence) -> dict[str, bool]:
    return {mark.criterion: mark.good for mark in score(name, WANT, seen)}


@pytest.mark.parametrize("name", GOOD)
def test_a_call_that_went_well_has_every_mark(name: Name) -> None:
    given = marks(name, GOOD[name])
    assert all(given.values())
    assert list(given) == [criterion for criterion in CRITERIA if criterion in given]


def without(*texts: str) -> Callable[[Evidence], Evidence]:
    """The same call, in which the agent never said these."""
    return lambda seen: replace(seen, lines=[x for x in seen.lines if x.text not in texts])


def with_line(n: int, text: str) -> Callable[[Evidence], Evidence]:
    """The same call, with other words in its n-th line."""
    return lambda seen: replace(
        seen, lines=[replace(x, text=text) if m == n else x for m, x in enumerate(seen.lines)]
    )


def but(**changes: object) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, **changes)  # type: ignore[arg-type]


BAD: list[tuple[Name, str, Callable[[Evidence], Evidence]]] = [
    # one greeting, soon
    ("silence", "greeting", but(greeting_ms=None)),
    ("silence", "greeting", but(greeting_ms=MAX_GREETING_MS + 1.0)),
    ("silence", "greeting", but(lines=())),
    ("silence", "greeting", but(lines=said(("agent", GREETING), ("agent", GREETING)))),
    ("hours", "greeting", with_line(2, "Hi! This Friday we are open from 9 AM to 3 PM.")),
    ("silence", "greeting", but(lines=said(("agent", "Are you there?"), ("agent", GREETING)))),
    # the right function, with the right arguments
    ("hours", "function", but(used=())),
    ("hours", "function", but(used=[used("lookup_hours", 3, {"date": "2026-11-28"})])),
    ("hours", "function", lambda x: replace(x, used=[replace(x.used[0], status="error")])),
    ("hours", "function", lambda x: replace(x, used=[*x.used, used("take_message", 5)])),
    ("booking", "function", but(used=())),
    ("booking", "function", but(used=[BOOKING, BOOKING])),
    ("booking", "function", but(used=[replace(BOOKING, status="error")])),
    ("booking", "function", but(used=[BOOKING, used("transfer_to_human", 14)])),
    ("booking", "function", but(used=[replace(BOOKING, output={"booked": False})])),
    (
        "booking",
        "function",
        but(used=[replace(BOOKING, output={**BOOKING.output, "time": "09:00"})]),
    ),
    (
        "booking",
        "function",
        but(used=[replace(BOOKING, arguments={**BOOKING.arguments, "service": "filling"})]),
    ),
    (
        "booking",
        "function",
        but(used=[replace(BOOKING, arguments={**BOOKING.arguments, "name": "Anna"})]),
    ),
    ("human", "function", but(used=())),
    ("human", "function", but(used=[used("transfer_to_human", 3)] * 2)),
    ("human", "function", but(used=[used("transfer_to_human", 3), used("take_message", 4)])),
    ("noise", "function", but(used=[used("lookup_hours", 3)])),
    ("silence", "function", but(used=[used("transfer_to_human", 3)])),
    # the facts were said
    ("hours", "facts", with_line(2, "This Friday we are open from 9 AM.")),
    ("hours", "facts", with_line(2, "This Friday we are open from nine to four.")),
    # read back before it was booked
    ("booking", "read-back", but(used=())),
    ("booking", "read-back", without(READ_BACK)),
    ("booking", "read-back", with_line(4, "At ten, for Peter. Is that right?")),
    ("booking", "read-back", with_line(4, "A cleaning for Friday at ten. Is that right?")),
    ("booking", "read-back", with_line(4, "Monday at ten for Peter, a cleaning?")),
    ("booking", "read-back", with_line(4, "A cleaning for Friday at nine for Peter?")),
    ("booking", "read-back", but(used=[replace(BOOKING, at=after(7))])),
    ("booking", "read-back", but(used=[replace(BOOKING, at=after(9))])),
    # nothing else in the book
    ("booking", "bookings", but(bookings=())),
    ("booking", "bookings", but(bookings=[replace(IN_BOOK, at=WANT.first)])),
    ("booking", "bookings", but(bookings=[replace(IN_BOOK, service="filling")])),
    ("booking", "bookings", but(bookings=[replace(IN_BOOK, name="Anna")])),
    ("booking", "bookings", but(bookings=[replace(IN_BOOK, standing=False)])),
    ("booking", "bookings", but(bookings=[IN_BOOK, replace(IN_BOOK, at=WANT.first)])),
    ("booking", "bookings", but(bookings=[replace(IN_BOOK, phone="+14155550100")])),
    ("hours", "bookings", but(bookings=[IN_BOOK])),
    ("noise", "bookings", but(bookings=[IN_BOOK])),
    # answers in time
    ("hours", "answers", but(answers_ms=())),
    ("hours", "answers", but(answers_ms=[P50_ANSWER_MS + 1] * 2)),
    ("hours", "answers", but(answers_ms=[500, 500, MAX_ANSWER_MS + 1])),
    # ended well
    ("hours", "end", but(ended_by="caller")),
    ("hours", "end", but(outcome="failed", reason="fallback: model_lost")),
    ("hours", "end", but(outcome="")),
    ("hours", "end", but(reason="idle")),
    ("hours", "end", but(gave_up=True)),
    ("hours", "end", but(complaints=["31921 stream closed"])),
    ("booking", "end", but(outcome="resolved")),
    ("human", "end", but(outcome="resolved")),
    ("noise", "end", but(outcome="transferred")),
    ("silence", "end", but(reason="max_call_s")),
    ("silence", "end", but(ended_by="caller")),
]


@pytest.mark.parametrize(("name", "criterion", "spoil"), BAD)
def test_a_fault_costs_its_mark(
    name: Name, criterion: str, spoil: Callable[[Evidence], Evidence]
) -> None:
    assert not marks(name, spoil(GOOD[name]))[criterion]


def test_every_criterion_is_seen_to_fail() -> None:
    assert {criterion for _, criterion, _ in BAD} == set(CRITERIA)


def test_an_appointment_of_somebody_else_is_not_held_against_a_caller() -> None:
    other = replace(IN_BOOK, phone="+14155550100")
    assert all(marks("hours", replace(GOOD["hours"], bookings=[other])).values())
