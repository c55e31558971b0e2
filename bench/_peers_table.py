"""The side-by-side table of bench/peers/run.py, and our own relay's goals in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench._load_verdict import LIMIT_MS, Point, at, capacity, memory_kib

OURS: Final = "relay"
COSTS: Final = (50, 100)  # the calls at which a call's cost is compared
DELAYS_AT: Final = 50
MEMORY_UP_TO: Final = 100
BLANK: Final = "-"


@dataclass(frozen=True, slots=True)
class Side:
    """One relay's ramp.

    filter_ms: what its resampler holds back, on top of what was measured
    paced: it was let off its own inbound delay and its pacing (`Allowance`)
    """

    name: str
    points: Sequence[Point]
    filter_ms: float = 0.0
    paced: bool = False

    def delay(self, figure: str, point: str) -> float | None:
        """An added delay at DELAYS_AT calls, or at the most below that held."""
        stage = self.compared()
        if stage is None or figure not in stage.figures:
            return None
        return stage.figures[figure][point] + self.filter_ms

    def compared(self) -> Point | None:
        held = [p for p in self.points if p.holds and p.calls <= DELAYS_AT]
        return max(held, key=lambda p: p.calls, default=None)

    def cost(self, calls: int) -> float | None:
        stage = at(self.points, calls)
        return None if stage is None else stage.cpu_ms


@dataclass(frozen=True, slots=True)
class Goal:
    """What we want of our own relay. got is None when it could not be measured."""

    what: str
    limit: float
    got: float | None
    least: bool = False

    @property
    def kept(self) -> bool:
        if self.got is None:
            return False
        return self.got > self.limit if self.least else self.got <= self.limit

    def __str__(self) -> str:
        got = "not measured" if self.got is None else f"{self.got:.2f}"
        how = "more than" if self.least else "at most"
        return f"{'kept' if self.kept else 'MISSED'}: {self.what}: {got} ({how} {self.limit:g})"


def compare(sides: Sequence[Side]) -> str:
    """Markdown, a relay a row."""
    titles = ["relay", "calls a core", *(f"CPU ms/s, {calls} calls" for calls in COSTS)]
    titles += ["delays at", "inbound p50", "p99", "outbound p50", "p99", "KiB a call"]
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
    for side in sides:
        stage = side.compared()
        outbound = "onset" if side.paced else "outbound"
        cells = [side.name, _calls(side), *(_shown(side.cost(calls)) for calls in COSTS)]
        cells.append(BLANK if stage is None else str(stage.calls))
        for figure in ("inbound", outbound):
            cells += [_shown(side.delay(figure, "p50")), _shown(side.delay(figure, "p99"))]
        cells.append(_shown(memory_kib(side.points, MEMORY_UP_TO), 0))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _calls(side: Side) -> str:
    most = capacity(side.points)
    shown = f"≥ {most}" if any(point.choked for point in side.points) else str(most)
    alone = at(side.points, 1)
    own_ms = 0.0 if alone is None else alone.figures["inbound"]["p99"]
    return f"0 ({shown} beyond its own delay)" if side.paced and own_ms > LIMIT_MS else shown


def _shown(value: float | None, places: int = 2) -> str:
    return BLANK if value is None else f"{value:.{places}f}"


# ---- the goals ------------------------------------------------------------------------------


def goals(sides: Sequence[Side], *, ramped: bool) -> list[Goal]:
    """Our goals, as far as the sides are there to compare with.

    ramped: capacities are known, and every goal was to be measured
    """
    by_name = {side.name: side for side in sides}
    mine = by_name.get(OURS)
    if mine is None:
        return []
    found = [
        Goal("inbound p50 at 50 calls, ms", 6, mine.delay("inbound", "p50")),
        Goal("inbound p99 at 50 calls, ms", 10, mine.delay("inbound", "p99")),
        Goal("outbound p50 at 50 calls, ms", 6, mine.delay("outbound", "p50")),
        Goal("outbound p99 at 50 calls, ms", 10, mine.delay("outbound", "p99")),
        Goal("confirmed to clear, p99 at 50 calls, ms", 2, _clear(mine)),
        Goal("KiB a call beyond the first", 256, memory_kib(mine.points, MEMORY_UP_TO)),
        Goal("cost at 100 calls over 10", 1.2, _ratio(mine.cost(100), mine.cost(10))),
    ]
    if node := by_name.get("node"):
        found += [
            Goal(f"cost at {n} calls over Node's", 0.8, _ratio(mine.cost(n), node.cost(n)))
            for n in COSTS
        ]
    if pipecat := by_name.get("pipecat"):
        both = {p.calls for p in mine.points} & {p.calls for p in pipecat.points if p.holds}
        most = max(both - {1}, default=0)
        ratio = _ratio(mine.cost(most), pipecat.cost(most))
        found.append(Goal(f"cost at {most} calls over Pipecat's", 0.1, ratio))
    if ramped:
        mines = capacity(mine.points)
        found += [
            Goal(f"calls a core, over {side.name}'s", capacity(side.points), mines, least=True)
            for side in sides
            if side is not mine
        ]
    return found if ramped else [goal for goal in found if goal.got is not None]


def _clear(side: Side) -> float | None:
    stage = at(side.points, DELAYS_AT)
    return None if stage is None or "clear" not in stage.figures else stage.figures["clear"]["p99"]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
