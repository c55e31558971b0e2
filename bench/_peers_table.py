"""The side-by-side table of bench/peers/run.py, and our own relay's goals in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    again: how often the same relay had been measured before in this run
    """

    name: str
    points: Sequence[Point]
    filter_ms: float = 0.0
    paced: bool = False
    again: int = 0

    @property
    def title(self) -> str:
        return f"{self.name} ({self.again + 1})" if self.again else self.name

    def delay(self, figure: str, point: str, stage: Point | None) -> float | None:
        """An added delay in one of its stages."""
        if stage is None or figure not in stage.figures:
            return None
        return stage.figures[figure][point] + self.filter_ms

    def compared(self) -> Point | None:
        """The stage of DELAYS_AT calls, or the largest below it that held."""
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
        cells = [side.title, _calls(side), *(_shown(side.cost(calls)) for calls in COSTS)]
        cells.append(BLANK if stage is None else str(stage.calls))
        for figure in ("inbound", outbound):
            cells += [_shown(side.delay(figure, point, stage)) for point in ("p50", "p99")]
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
    """Our goals, each time that we were measured, as far as the sides are there to compare with.

    ramped: capacities are known, and every goal was to be measured
    """
    peers = {side.name: side for side in reversed(sides) if side.name != OURS}
    mines = [side for side in sides if side.name == OURS]
    return [goal for mine in mines for goal in _goals(mine, peers, ramped=ramped)]


def _goals(mine: Side, peers: Mapping[str, Side], *, ramped: bool) -> list[Goal]:
    stage = at(mine.points, DELAYS_AT)
    delays = [(figure, point) for figure in ("inbound", "outbound") for point in ("p50", "p99")]
    found = [
        Goal(f"{figure} {point} at {DELAYS_AT} calls, ms", limit, mine.delay(figure, point, stage))
        for (figure, point), limit in zip(delays, (6, 10, 6, 10), strict=True)
    ]
    found += [
        Goal(f"confirmed to clear, p99 at {DELAYS_AT} calls, ms", 2, _clear(stage)),
        Goal("KiB a call beyond the first stage's", 256, memory_kib(mine.points, MEMORY_UP_TO)),
        Goal("cost at 100 calls over 10", 1.2, _ratio(mine.cost(100), mine.cost(10))),
    ]
    if node := peers.get("node"):
        found += [
            Goal(f"cost at {n} calls over Node's", 0.8, _ratio(mine.cost(n), node.cost(n)))
            for n in COSTS
        ]
    if pipecat := peers.get("pipecat"):
        both = {p.calls for p in mine.points} & {p.calls for p in pipecat.points if p.holds}
        most = max(both - {1}, default=0)
        ratio = _ratio(mine.cost(most), pipecat.cost(most))
        found.append(Goal(f"cost at {most} calls over Pipecat's", 0.1, ratio))
    if ramped:
        mines = capacity(mine.points)
        found += [
            Goal(f"calls a core, over {name}'s", capacity(side.points), mines, least=True)
            for name, side in sorted(peers.items())
        ]
    else:  # only some were asked for: what these cannot say is no goal, but they have to hold
        found = [goal for goal in found if goal.got is not None]
        failed = sum(not point.holds for point in mine.points)
        found.append(Goal("stages that did not hold", 0, failed))
    return (
        [replace(goal, what=f"{mine.title}: {goal.what}") for goal in found]
        if mine.again
        else found
    )


def _clear(stage: Point | None) -> float | None:
    return None if stage is None or "clear" not in stage.figures else stage.figures["clear"]["p99"]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
