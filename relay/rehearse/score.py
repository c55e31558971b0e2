"""What is demanded of a call: a mark for each criterion, and why it is as it is.

Everything judged is an argument, so that each criterion can be put to evidence that must fail it.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal, assert_never

from relay.rehearse.evidence import Booked, Evidence
from relay.rehearse.scripts import Name
from relay.rehearse.want import Want
from relay.rehearse.words import greets, says_day, says_time, says_word

Criterion = Literal["greeting", "function", "facts", "read-back", "bookings", "answers", "end"]
CRITERIA: Final[tuple[Criterion, ...]] = (
    *("greeting", "function", "facts", "read-back", "bookings", "answers", "end"),
)

# A telephone that rings and is then silent for longer is hung up on.
MAX_GREETING_MS: Final = 2000
# Half of the answers within this: people begin to say "hello?" soon after. The longest: by then the
# relay itself has said "one moment".
P50_ANSWER_MS: Final = 2000
MAX_ANSWER_MS: Final = 5000
# What an agent may call to find its way, whoever calls.
LOOKING: Final = frozenset({"lookup_hours", "list_slots", "answer_question", "ask_larger_model"})


@dataclass(frozen=True, slots=True)
class Mark:
    """says: what was found, for a person"""

    criterion: Criterion
    good: bool
    says: str


def score(name: Name, want: Want, seen: Evidence) -> list[Mark]:
    """Every mark of one call."""
    marks = [_greeting(seen), _bookings(name, want, seen), _end(name, seen)]
    marks += [_answers(seen.answers_ms)] if name not in ("noise", "silence") else []
    match name:
        case "hours":
            marks += [_looked_up(want, seen), _told(want, seen)]
        case "booking":
            marks += [_booked(want, seen), _read_back(want, seen)]
        case "human":
            marks.append(_only("transfer_to_human", seen, LOOKING))
        case "noise" | "silence":
            marks.append(_nothing_done(seen))
        case _:
            assert_never(name)
    return sorted(marks, key=lambda mark: CRITERIA.index(mark.criterion))


def _greeting(seen: Evidence) -> Mark:
    if seen.greeting_ms is None:
        return Mark("greeting", False, "nothing was heard")
    if seen.greeting_ms > MAX_GREETING_MS:
        return Mark("greeting", False, f"first heard after {seen.greeting_ms:.0f} ms")
    greeted = [greets(text) for text in seen.agent]
    if greeted.count(True) != 1 or not greeted[0]:
        return Mark("greeting", False, f"{greeted.count(True)} greetings in what was said")
    return Mark("greeting", True, f"one, after {seen.greeting_ms:.0f} ms")


def _answers(answers_ms: Sequence[float]) -> Mark:
    if not answers_ms:
        return Mark("answers", False, "none was heard")
    half, longest = statistics.median(answers_ms), max(answers_ms)
    says = f"p50 {half:.0f} ms, max {longest:.0f} ms"
    return Mark("answers", half <= P50_ANSWER_MS and longest <= MAX_ANSWER_MS, says)


# ---- functions ------------------------------------------------------------------------------


def _only(name: str, seen: Evidence, beside: Collection[str]) -> Mark:
    """One call of this function that went well, and no other but those beside."""
    others = {each.name for each in seen.used} - {name, "end_call"} - set(beside)
    if others:
        return Mark("function", False, f"it also called {', '.join(sorted(others))}")
    calls = [each for each in seen.used if each.name == name]
    if len(calls) != 1:
        return Mark("function", False, f"{name} was called {len(calls)} times")
    if calls[0].status != "ok":
        return Mark("function", False, f"{name} ended with {calls[0].status}")
    return Mark("function", True, name)


def _looked_up(want: Want, seen: Evidence) -> Mark:
    others = {each.name for each in seen.used} - LOOKING - {"end_call"}
    if others:
        return Mark("function", False, f"it also called {', '.join(sorted(others))}")
    days = [
        str(each.output.get("date", ""))
        for each in seen.used
        if each.name == "lookup_hours" and each.status == "ok"
    ]
    if f"{want.at:%Y-%m-%d}" not in days:
        return Mark("function", False, f"hours were looked up for {', '.join(days) or 'no day'}")
    return Mark("function", True, f"lookup_hours {want.day}")


def _booked(want: Want, seen: Evidence) -> Mark:
    once = _only("book_appointment", seen, LOOKING)
    if not once.good:
        return once
    call = next(each for each in seen.used if each.name == "book_appointment")
    if call.output.get("booked") is not True:
        return Mark("function", False, f"it was refused: {call.output.get('reason', '')}")
    got = [call.output.get("date"), call.output.get("time")]
    meant = [f"{want.at:%Y-%m-%d}", f"{want.at:%H:%M}"]
    service, name = (str(call.arguments.get(key, "")) for key in ("service", "name"))
    if got != meant or not says_word(service, want.service) or not says_word(name, want.name):
        return Mark("function", False, f"booked {service}, {' '.join(map(str, got))}, {name}")
    return Mark("function", True, f"book_appointment {want.service}, {' '.join(meant)}")


def _nothing_done(seen: Evidence) -> Mark:
    done = {each.name for each in seen.used} - {"end_call", "wait_for_caller"}
    if done:
        return Mark("function", False, f"nobody spoke, yet it called {', '.join(sorted(done))}")
    return Mark("function", True, "none")


# ---- words ----------------------------------------------------------------------------------


def _told(want: Want, seen: Evidence) -> Mark:
    """The caller heard when it opens and when it closes."""
    said = " ".join(seen.agent[1:])
    missing = [f"{at:%H:%M}" for at in chain.from_iterable(want.spans) if not says_time(said, at)]
    if missing:
        return Mark("facts", False, f"not heard: {', '.join(missing)}")
    return Mark("facts", True, "the hours were said")


def _read_back(want: Want, seen: Evidence) -> Mark:
    """Service, day, time and name were heard, and then the caller spoke, before it was booked."""
    calls = [each for each in seen.used if each.name == "book_appointment"]
    if not calls:
        return Mark("read-back", False, "nothing was booked")
    before = [line for line in seen.lines if line.at < calls[0].at]
    last = max((n for n, line in enumerate(before) if line.who == "caller"), default=0)
    agent = [line.text for line in before[:last] if line.who == "agent"]
    # Since the correction: what is said in the same breath as the time that was meant.
    until = [n for n, text in enumerate(agent) if says_time(text, want.at.time())]
    if not until:
        return Mark("read-back", False, f"{want.at:%H:%M} was not heard before the caller agreed")
    said = " ".join(agent[until[0] :])
    missing = [
        what
        for what, heard in (
            (want.service, says_word(said, want.service)),
            (want.day, says_day(said, want.at.date())),
            (want.name, says_word(said, want.name)),
        )
        if not heard
    ]
    if missing:
        return Mark("read-back", False, f"not read back: {', '.join(missing)}")
    return Mark("read-back", True, "before it was booked")


# ---- what is left ---------------------------------------------------------------------------


def _bookings(name: Name, want: Want, seen: Evidence) -> Mark:
    """The book holds what this caller wanted, in their number, and nothing else of theirs."""
    mine = [each for each in seen.bookings if each.phone == seen.caller]
    wanted = 1 if name == "booking" else 0
    wrong = [each for each in mine if not _right(each, want)] if wanted else mine
    if wrong:
        booked = ", ".join(f"{each.service} {each.at:%a %H:%M} {each.name}" for each in wrong)
        return Mark("bookings", False, f"wrongly in the book: {booked}")
    if len(mine) != wanted:
        return Mark("bookings", False, f"{len(mine)} in the book instead of {wanted}")
    return Mark("bookings", True, "the one that was wanted" if wanted else "none")


def _right(booked: Booked, want: Want) -> bool:
    return (
        booked.standing
        and booked.at == want.at
        and booked.service.lower() == want.service.lower()
        and says_word(booked.name, want.name)
    )


def _end(name: Name, seen: Evidence) -> Mark:
    faults = list(_end_faults(name, seen))
    says = f"{seen.outcome or 'no outcome'}, ended by {seen.ended_by or 'nobody'}"
    return Mark("end", not faults, "; ".join(faults) or says)


def _end_faults(name: Name, seen: Evidence) -> Iterator[str]:
    wanted = {
        "hours": {"resolved"},
        "booking": {"booked"},
        "human": {"transferred"},
        "noise": {"resolved", "abandoned"},
        "silence": {"resolved", "abandoned"},
    }[name]
    if seen.gave_up:
        yield "the caller waited in vain"
    if seen.outcome not in wanted:
        yield f"the outcome is {seen.outcome or 'missing'} ({seen.reason})"
    if name in ("hours", "booking", "silence") and seen.ended_by != "relay":
        yield "the agent did not hang up"
    if (seen.reason == "idle") != (name == "silence") and seen.ended_by == "relay":
        yield f"the call ended for the reason {seen.reason}"
    yield from seen.complaints
