"""What a rehearsal shows: a line for each thing said, a table of marks, JSON, and files to keep."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.config import Settings
from relay.rehearse.evidence import Evidence
from relay.rehearse.score import CRITERIA, Mark
from relay.rehearse.scripts import Role
from relay.rehearse.stage import MICRO, Called
from relay.sim.line import stereo_wav

SIGNS: Final = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[dim]·[/]"}


@dataclass(frozen=True, slots=True)
class Marked:
    """A call with its marks; None: it was not placed."""

    role: Role
    called: Called | None
    marks: Sequence[Mark]

    @property
    def good(self) -> bool:
        return self.called is not None and all(mark.good for mark in self.marks)

    @property
    def answers_ms(self) -> Sequence[float]:
        return self.called.seen.answers_ms if self.called else ()


def passed(calls: Sequence[Marked]) -> bool:
    """Whether every call was placed and is good. None at all proves nothing."""
    return bool(calls) and all(each.good for each in calls)


def table(calls: Sequence[Marked]) -> Table:
    shown = Table("", *(each.role.name for each in calls))
    found = [{mark.criterion: mark.good for mark in each.marks} for each in calls]
    for criterion in CRITERIA:
        shown.add_row(criterion, *(SIGNS[marks.get(criterion)] for marks in found))
    times = [answer_times(each.answers_ms) for each in calls]
    for n, name in enumerate(("answers p50", "answers max")):
        shown.add_row(name, *(f"{pair[n]:.0f} ms" if pair else "-" for pair in times))
    shown.add_row(
        "USD",
        *(f"{each.called.seen.micro_usd / MICRO:.4f}" if each.called else "-" for each in calls),
    )
    return shown


def report(console: Console, calls: Sequence[Marked], *, simulated: bool) -> None:
    """The table, and each failure in words."""
    console.print()
    console.print(table(calls))
    for each in calls:
        if each.called is None:
            console.print(Text(f"{each.role.name}: was not called", "red"))
        for mark in each.marks:
            if not mark.good:
                console.print(Text(f"{each.role.name}: {mark.criterion}: {mark.says}", "red"))
    times = answer_times([ms for each in calls for ms in each.answers_ms])
    if times is not None:
        console.print(f"All answers: p50 {times[0]:.0f} ms, max {times[1]:.0f} ms")
    if simulated:
        console.print(
            "The model was the simulated one: this says nothing of a real one, and cost nothing."
        )
    console.print("It passed." if passed(calls) else Text("It did not pass.", "bold red"))


def as_json(calls: Sequence[Marked], settings: Settings, *, simulated: bool) -> dict[str, Any]:
    """The same for programs."""
    times = answer_times([ms for each in calls for ms in each.answers_ms])
    return {
        "passed": passed(calls),
        "model": "simulated" if simulated else settings.realtime_model,
        "voice": settings.realtime_voice,
        "answers_p50_ms": times[0] if times else None,
        "answers_max_ms": times[1] if times else None,
        "usd": sum(each.called.seen.micro_usd for each in calls if each.called) / MICRO,
        "calls": [_call(each) for each in calls],
    }


def _call(each: Marked) -> dict[str, Any]:
    seen = each.called.seen if each.called else None
    return {
        "caller": each.role.name,
        "passed": each.good,
        "placed": seen is not None,
        "greeting_ms": seen.greeting_ms if seen else None,
        "answers_ms": list(each.answers_ms),
        "outcome": seen.outcome if seen else None,
        "usd": seen.micro_usd / MICRO if seen else 0.0,
        "marks": [
            {"criterion": mark.criterion, "passed": mark.good, "says": mark.says}
            for mark in each.marks
        ],
    }


def answer_times(answers_ms: Sequence[float]) -> tuple[float, float] | None:
    """The median and the longest; None: there were none."""
    return (statistics.median(answers_ms), max(answers_ms)) if answers_ms else None


def keep(folder: Path, called: Called) -> None:
    """Write down a call: its sound (left: the caller, right: what they heard), and its words."""
    line, name = called.call.line, f"rehearsal-{called.role.name}"
    sound = stereo_wav(bytes(line.said.audio), bytes(line.heard.audio))
    (folder / f"{name}.wav").write_bytes(sound)
    (folder / f"{name}.txt").write_text(transcript(called.seen), encoding="utf-8")


def transcript(seen: Evidence) -> str:
    """A call in words: what was said, and what was called, in their order."""
    told = [(line.at, line.who, line.text) for line in seen.lines]
    told += [
        (each.at, "function", f"{each.name} {dict(each.arguments)} -> {each.status}")
        for each in seen.used
    ]
    return "".join(
        f"{at:%H:%M:%S} {who:8} {text}\n"
        for at, who, text in sorted(told, key=lambda each: each[0])
    )
