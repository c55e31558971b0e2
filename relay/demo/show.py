"""What the terminal shows of a run: who says what while it happens, and tables at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.demo.caller import Timing
from relay.demo.checks import Row, Verdict
from relay.demo.scenario import Scenario

STYLES: Mapping[str, str] = {
    "caller": "cyan",
    "recognised": "dim cyan",
    "agent": "green",
    "voice": "green",
    "human": "magenta",
    "network": "dim magenta",
    "webhook": "bold yellow",
    "tool": "yellow",
    "result": "dim yellow",
    "greeting": "blue",
    "answer": "blue",
    "barge-in": "bold blue",
    "problem": "bold red",
}
# What of the rows is worth a column; numbers and keys that nobody reads are left out.
COLUMNS: Mapping[str, Sequence[str]] = {
    "calls": ("call_sid", "started_at", "caller", "disposition", "disposition_reason"),
    "transcripts": ("call_sid", "position", "speaker", "heard_text", "heard_ms", "interrupted"),
    "tool_calls": ("call_sid", "name", "arguments", "status", "output", "duration_ms"),
    "bookings": ("reference", "service", "starts_at", "name", "phone"),
    "call_outcomes": ("call_sid", "outcome", "reason", "duration_ms", "greeting_ms", "barge_ins"),
}
SID_CHARS = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """The terminal. Everything is stamped with the seconds since it was opened."""

    console: Console = field(default_factory=lambda: Console(highlight=False))
    opened: float = field(default_factory=time.monotonic)

    def tell(self, who: str, what: str) -> None:
        """One line: somebody's words, a function, or how long something took."""
        at = time.monotonic() - self.opened
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=6, justify="right", style="dim")
        line.add_column(width=10, justify="right", style=STYLES.get(who, "dim"))
        line.add_column(overflow="fold")
        line.add_row(f"{at:.2f}", who, Text(what))
        self.console.print(line)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.rule(Text(text, "bold"), align="left", style="dim")

    # ---- before -------------------------------------------------------------------------------

    def scenario(self, scenario: Scenario) -> None:
        """What was drawn."""
        self.heading(f"relay demo --seed {scenario.seed}")
        want = scenario.booking
        table = Table(box=None, show_header=False, pad_edge=False)
        for day, spans in scenario.hours.items():
            hours = ", ".join(f"{opens} to {closes}" for opens, closes in spans)
            table.add_row(day.capitalize(), hours or "closed")
        services = ", ".join(
            f"{name} ({minutes} min)" for name, minutes in scenario.services.items()
        )
        table.add_row("Services", services)
        table.add_row(
            "Call 1",
            f"asks for {scenario.interrupted.capitalize()}, breaks in, asks for"
            f" {scenario.asked.capitalize()}; books a {want.service} for {want.day.capitalize()}"
            f" {want.time} as {want.name.capitalize()}",
        )
        table.add_row("Call 2", "presses 0 at once")
        table.add_row("Call 3", f"asks for a human about the {scenario.topic}")
        left = scenario.message
        table.add_row(
            "Call 4",
            f"asks for a human, and for {scenario.meanwhile.capitalize()} while nobody answers;"
            f" wants {left.name.capitalize()} to be called back about the {left.topic}",
        )
        self.console.print(table)

    # ---- after --------------------------------------------------------------------------------

    def calls(
        self,
        timings: Sequence[Timing],
        silences: Sequence[tuple[float, float] | None],
        outcomes: Sequence[str],
        files: Sequence[str],
    ) -> None:
        """All calls, as their callers timed them; and the silence at both ears when they met."""
        self.heading("Calls")
        names = ("call", "outcome", "greeting", "answers", "barge-in", "joining", "recording")
        table = Table(*names)
        for number, (timing, silent, outcome, file) in enumerate(
            zip(timings, silences, outcomes, files, strict=True), 1
        ):
            answers = ", ".join(f"{ms:.0f}" for ms in timing.answers)
            table.add_row(
                str(number),
                outcome or "none",
                _ms(timing.greeting),
                f"{answers} ms" if answers else "-",
                _ms(timing.barge_in),
                f"{silent[0]:.0f}, {silent[1]:.0f} ms" if silent else "-",
                file,
            )
        self.console.print(table)

    def rows(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """What was written to the database."""
        for name, columns in COLUMNS.items():
            self.heading(f"Table {name}, {len(rows[name])} rows")
            table = Table(*columns)
            for row in rows[name]:
                table.add_row(*(_cell(column, row[column]) for column in columns))
            self.console.print(table)

    def heard(self, where: str, sentences: Iterable[str]) -> None:
        """What an ear was given, recognised again."""
        self.heading(f"Heard again at {where}")
        for sentence in sentences:
            self.console.print(Text(f"  {sentence or '…'}", "green" if sentence else "dim"))

    def verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Every check: a control is good when it does not hold."""
        self.heading("Checks")
        for verdict in verdicts:
            mark = ("ok  ", "green") if verdict.good else ("FAIL", "bold red")
            kind = "" if verdict.wanted else "control, must not hold: "
            self.console.print(Text.assemble("  ", mark, "  ", (kind, "dim"), verdict.claim))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _cell(column: str, value: object) -> str:
    text = "" if value is None else str(value)
    return text[:SID_CHARS] if column == "call_sid" else text
