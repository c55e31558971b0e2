"""What a rehearsed call left behind: what its caller measured, and what was written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from relay.demo.caller import Timing
from relay.demo.checks import Row, read_rows
from relay.sim.twilio_call import PhoneCall

TABLES = ("calls", "transcripts", "tool_calls", "bookings", "call_outcomes", "spend")


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody said, as it was heard. who: caller or agent."""

    who: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Used:
    """A function that the agent called. at: when it was called; status: ok, or why it is not"""

    name: str
    arguments: Mapping[str, Any]
    status: str
    output: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """An appointment in the business's book. phone: whose; at: on the business's clock"""

    service: str
    at: datetime
    name: str
    phone: str
    standing: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """One call's.

    caller: the number; greeting_ms, answers_ms: as the caller's ear had them
    bookings: of all callers
    ended_by: who hung up: relay or caller; outcome, reason: what the relay wrote down of its end
    gave_up: the caller waited in vain; complaints: what Twilio's debugger would show
    micro_usd: the model's part of what it cost
    """

    sid: str
    caller: str
    greeting_ms: float | None = None
    answers_ms: Sequence[float] = ()
    lines: Sequence[Line] = ()
    used: Sequence[Used] = ()
    bookings: Sequence[Booked] = ()
    ended_by: str = ""
    outcome: str = ""
    reason: str = ""
    gave_up: bool = False
    complaints: Sequence[str] = ()
    micro_usd: int = 0

    @property
    def agent(self) -> list[str]:
        """What the agent said, in order."""
        return [line.text for line in self.lines if line.who == "agent"]


class Book:
    """The relay's database, as one looks into it from outside while it is in use."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def rows(self) -> dict[str, list[Row]]:
        return read_rows(self._file, TABLES)

    def agent_said(self, sid: str) -> list[str]:
        """What the agent has said on a call so far."""
        return [line.text for line in lines_of(self.rows(), sid) if line.who == "agent"]

    def used(self, sid: str, name: str) -> bool:
        """Whether a function was called on a call."""
        return any(each.name == name for each in used_of(self.rows(), sid))


def gather(
    rows: Mapping[str, Sequence[Row]], call: PhoneCall, timing: Timing, *, gave_up: bool
) -> Evidence:
    """What there is of one call."""
    outcome = next(_of(rows["call_outcomes"], call.sid), None)
    return Evidence(
        sid=call.sid,
        caller=call.caller,
        greeting_ms=timing.greeting,
        answers_ms=tuple(timing.answers),
        lines=lines_of(rows, call.sid),
        used=used_of(rows, call.sid),
        bookings=[
            Booked(
                row["service"],
                datetime.fromisoformat(row["starts_at"]),
                row["name"],
                row["phone"],
                row["state"] == "booked",
            )
            for row in rows["bookings"]
        ],
        ended_by=call.ended_by,
        outcome=outcome["outcome"] if outcome else "",
        reason=outcome["reason"] if outcome else "",
        gave_up=gave_up,
        complaints=[each.text for each in call.complaints],
        micro_usd=spent(_of(rows["spend"], call.sid)),
    )


def spent(rows: Iterable[Row]) -> int:
    """What the model and its recogniser cost: the line itself is simulated, and free."""
    return sum(row["micro_usd"] for row in rows if row["kind"] != "phone")


def lines_of(rows: Mapping[str, Sequence[Row]], sid: str) -> list[Line]:
    ordered = sorted(_of(rows["transcripts"], sid), key=lambda row: row["position"])
    return [
        Line(row["speaker"], row["heard_text"], datetime.fromisoformat(row["started_at"]))
        for row in ordered
        if row["heard_text"]
    ]


def used_of(rows: Mapping[str, Sequence[Row]], sid: str) -> list[Used]:
    ordered = sorted(_of(rows["tool_calls"], sid), key=lambda row: row["at"])
    return [
        Used(
            row["name"],
            _object(row["arguments"]),
            row["status"],
            _object(row["output"]),
            datetime.fromisoformat(row["at"]) - timedelta(milliseconds=row["duration_ms"] or 0),
        )
        for row in ordered
    ]


def _of(rows: Iterable[Row], sid: str) -> Iterator[Row]:
    return (row for row in rows if row["call_sid"] == sid)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
