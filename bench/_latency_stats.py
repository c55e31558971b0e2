"""From many times to a few figures, and from figures to a verdict. Pure: no clock, no files.

A *figure* is what one stage (so many calls at once) measured of one thing: five points of its
distribution. A *budget* is a limit on one of those points, with the reason for it; its measure is
either the figure itself, or its ratio to what the machine did in the same run (`per`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

POINTS: Final = ("min", "p50", "p99", "p99.9", "max")
BYSTANDER: Final = "bystander"  # the figure of an echo beside a stage
HOPS: Final = 4  # an answer's way: into us, into the model, and the same back
STARVED_MS: Final = 100.0  # five frames: on such a machine nothing can be said of a relay


@dataclass(frozen=True, slots=True)
class Figure:
    """A distribution in five points; count 1 makes them all the same number."""

    name: str
    unit: str
    count: int
    points: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit. figure and point name what is limited.

    at_most: the limit; ci_at_most: the one for a machine of which nothing is known
    per: a yardstick of the calibration that the figure is divided by, None: nothing
    calls: the stages that it holds for, None: all
    """

    figure: str
    point: str
    at_most: float
    reason: str
    ci_at_most: float | None = None
    per: str | None = None
    calls: tuple[int, ...] | None = None

    def limit(self, *, ci: bool) -> float:
        return self.ci_at_most if ci and self.ci_at_most is not None else self.at_most


@dataclass(frozen=True, slots=True)
class Verdict:
    """A budget, held against a stage. got is None when the stage has no such figure."""

    calls: int
    budget: Budget
    limit: float
    got: float | None
    starved: bool = False

    @property
    def timed(self) -> bool:
        """Whether a busy machine can make it what it is."""
        return self.budget.figure not in {"probe", "memory", "cpu"}

    @property
    def kept(self) -> bool:
        return self.starved or (self.got is not None and self.got <= self.limit)

    def __str__(self) -> str:
        budget = self.budget
        per = f" / {budget.per}" if budget.per else ""
        got = "not measured" if self.got is None else f"{self.got:.2f}"
        word = "kept" if self.kept else "BREACHED"
        if self.starved:
            word = "STARVED"
        what = f"{budget.figure} {budget.point}{per}"
        return f"{word:9}{self.calls:4} calls  {what}: {got} (at most {self.limit:.4g})"


def quantile(ordered: Sequence[float], q: float) -> float:
    """The value that a share q of them does not exceed: always one that was measured.

    Raises ValueError when there is none.
    """
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[max(0, math.ceil(q * len(ordered) - 1e-9) - 1)]


def figure(name: str, values: Iterable[float], unit: str = "ms") -> Figure | None:
    """Sum up what was measured; None when nothing was."""
    ordered = sorted(values)
    if not ordered:
        return None
    at = {"min": 0.0, "p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return Figure(name, unit, len(ordered), {p: quantile(ordered, at[p]) for p in POINTS})


def read_budgets(table: Mapping[str, Any]) -> list[Budget]:
    """Budgets of a parsed TOML file. Raises ValueError naming the one that is malformed."""
    budgets = []
    for number, entry in enumerate(table.get("budget", []), 1):
        fields = dict(entry)
        calls = fields.pop("calls", None)
        try:
            budget = Budget(**fields, calls=None if calls is None else tuple(calls))
        except TypeError as error:
            raise ValueError(f"budget {number}: {error}") from None
        if budget.point not in POINTS:
            raise ValueError(f"budget {number}: {budget.point!r} is none of {', '.join(POINTS)}")
        if not budget.reason.strip():
            raise ValueError(f"budget {number}: no reason given")
        budgets.append(budget)
    return budgets


def judge(
    budgets: Iterable[Budget],
    stages: Mapping[int, Mapping[str, Figure]],
    yardsticks: Mapping[str, float],
    *,
    ci: bool = False,
) -> list[Verdict]:
    """Hold every budget against every stage that it is for.

    What was not measured is a breach. With `ci` a time may be longer by what a bystander's echo
    took at the same point, HOPS times, a ratio to an echo is one to the bystander's if that was
    slower, and a stage in which it starved is not judged.
    Raises ValueError for a yardstick that nobody took.
    """
    verdicts = []
    for budget in budgets:
        if budget.per is not None and budget.per not in yardsticks:
            raise ValueError(f"{budget.figure}: there is no yardstick {budget.per!r}")
        for calls, figures in stages.items():
            if budget.calls is not None and calls not in budget.calls:
                continue
            found = figures.get(budget.figure)
            got = None if found is None else found.points[budget.point]
            limit, beside = budget.limit(ci=ci), figures.get(BYSTANDER) if ci else None
            if got is not None and budget.per is not None:
                kind, _, point = budget.per.partition(" ")
                echo = beside.points[point] if beside is not None and kind == "echo" else 0.0
                got /= max(yardsticks[budget.per], echo)
            timed = beside is not None and (found is None or found.unit == "ms")
            starved = timed and beside is not None and beside.points["p99"] > STARVED_MS
            if timed and beside is not None and budget.per is None:
                limit += HOPS * beside.points[budget.point]
            verdicts.append(Verdict(calls, budget, limit, got, starved))
    return verdicts


# ---- was the machine quiet? ------------------------------------------------------------------

UNEVEN: Final = 1.5  # the slower tenth of a unit of work over its quicker tenth
DRIFT: Final = 1.3  # after the run over before it, either way
ECHO_MS: Final = 10.0  # p99 of a bare round trip: half a frame


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the machine itself does: a unit of work, wall ms each time, and bare echoes, ms."""

    units: Sequence[float]
    echoes: Sequence[float]


def noise(before: Calibration, after: Calibration) -> list[str]:
    """Why this machine was no place to measure at; empty when it was."""
    found = busy("before", before) + busy("after", after)
    drift = quantile(sorted(after.units), 0.5) / quantile(sorted(before.units), 0.5)
    if max(drift, 1 / drift) > DRIFT:
        found.append(f"equal work took {drift:.2f} times as long after the run as before")
    return found


def busy(when: str, seen: Calibration) -> list[str]:
    """What one look at the machine says of it; when: before, beside or after the run."""
    found = []
    if seen.units:
        units = sorted(seen.units)
        uneven = quantile(units, 0.9) / quantile(units, 0.1)
        if uneven > UNEVEN:
            found.append(f"{when} the run, equal work took {uneven:.1f} times as long at times")
    if seen.echoes:
        slow = quantile(sorted(seen.echoes), 0.99)
        if slow > ECHO_MS:
            found.append(f"{when} the run, a bare echo took {slow:.1f} ms (p99)")
    return found


def yardsticks(before: Calibration, after: Calibration, units_cpu_ms: float) -> dict[str, float]:
    """What figures are divided by. units_cpu_ms: CPU of one unit of work."""
    echoes = sorted([*before.echoes, *after.echoes])
    return {
        "echo p50": quantile(echoes, 0.5),
        "echo p99": quantile(echoes, 0.99),
        "work unit": units_cpu_ms,
    }
