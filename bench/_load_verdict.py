"""When so many calls are still carried well, and how many to try next. Pure.

A stage *holds* when the added delay's p99 is within a frame both ways, no hole longer than a frame
was heard, and nothing went wrong. A relay's *capacity* is the most calls that held.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bench._latency_stats import quantile

LIMIT_MS: Final = 20.0
GAP_MS: Final = 20.0
# The generators are only cheap up to here: beyond, their own core is what is measured.
BUSY: Final = 0.8
SIZES: Final = (1, 10, 25, 50, 75, 100, 130, 160, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800)
CLOSE: Final = 0.1  # the capacity is known to this part of it
FEW: Final = 100  # of fewer values p99 is simply the largest
POINTS: Final = {"min": 0.0, "p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Point:
    """What a stage came to.

    cpu_ms: the relay's, a second of one call; busy: the generators' share of their core
    others: the share of each core that somebody else used, the relay's core first
    figures: min … max of each delay in ms, and `n`
    why: what speaks against it; empty: it holds
    """

    calls: int
    cpu_ms: float
    rss_kib: float
    busy: float
    others: tuple[float, ...]
    figures: Mapping[str, Mapping[str, float]]
    why: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.why

    @property
    def choked(self) -> bool:
        """The generators had no time left: what was measured was them."""
        return self.busy > BUSY


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a relay is let off.

    paced: it sends an answer's sound no sooner than it is heard, so that only an answer's first
    delta tells of a delay
    own_ms: what it takes inbound (p99) with one caller and nothing else to do; inf: not known yet
    """

    paced: bool = False
    own_ms: float = 0.0

    @property
    def outbound(self) -> str:
        return "onset" if self.paced else "outbound"


NOTHING: Final = Allowance()


def asked(sizes: Sequence[int], allowed: Allowance) -> list[int]:
    """The numbers of calls to measure: before others one call, where its own delay is not known."""
    return sorted({1, *sizes}) if sizes and math.isinf(allowed.own_ms) else list(sizes)


def learned(allowed: Allowance, point: Point) -> Allowance:
    """The same, once its own delay is known by a stage of one call; one that failed proves none."""
    if point.calls > 1 or not math.isinf(allowed.own_ms):
        return allowed
    return replace(allowed, own_ms=point.figures["inbound"]["p99"] if point.holds else 0.0)


def sum_up(delays: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """The points of every delay that was measured at all."""
    figures = {}
    for name, values in delays.items():
        if ordered := sorted(values):
            points = {point: round(quantile(ordered, q), 3) for point, q in POINTS.items()}
            figures[name] = {"n": len(ordered), **points}
    return figures


def objections(
    figures: Mapping[str, Mapping[str, float]], faults: Sequence[str], allowed: Allowance
) -> tuple[str, ...]:
    """Why a stage does not hold."""
    found = []
    for name, limit in (("inbound", LIMIT_MS + allowed.own_ms), (allowed.outbound, LIMIT_MS)):
        if name not in figures:
            found.append(f"{name}: nothing was measured")
        elif figures[name]["p99"] > limit:
            found.append(f"{name} p99 {figures[name]['p99']:.1f} ms (at most {limit:.0f})")
    if (hole := figures.get("gap", {}).get("max", 0.0)) > GAP_MS:
        found.append(f"a gap of {hole:.0f} ms")
    return (*found, *sorted(set(faults)))


def next_size(tried: Mapping[int, bool], most: int, sizes: Sequence[int] = SIZES) -> int | None:
    """The number of calls to try next; None when the capacity is known closely enough.

    tried: whether each number of calls held
    """
    bad = min((calls for calls, held in tried.items() if not held), default=None)
    held = (calls for calls, held in tried.items() if held and (bad is None or calls < bad))
    good = max(held, default=0)
    if bad is None:
        return next((size for size in sizes if good < size <= most), None)
    middle = (good + bad) // 2
    return middle if middle > good and bad - good > CLOSE * bad else None


def capacity(points: Sequence[Point]) -> int:
    """The most calls that held, below the first number that did not; 0: not even one."""
    failed = min((point.calls for point in points if not point.holds), default=None)
    held = [p.calls for p in points if p.holds and (failed is None or p.calls < failed)]
    return max(held, default=0)


def stands(points: Sequence[Point], asked: Sequence[int] | None) -> bool:
    """Whether a ramp says what it was run for: of a relay, and that one carried calls.

    asked: the numbers of calls that were to be measured, all of which have to hold; None: a ramp
    """
    if any(point.choked for point in points):
        return False
    return all(point.holds for point in points) if asked else capacity(points) > 0


def memory_kib(points: Sequence[Point], most: int) -> float | None:
    """RSS a call beyond the first, up to so many calls; None when there is nothing to compare."""
    held = sorted((p for p in points if p.holds and p.calls <= most), key=lambda p: p.calls)
    if len(held) < 2:
        return None
    first, last = held[0], held[-1]
    return (last.rss_kib - first.rss_kib) / (last.calls - first.calls)


def p99(figure: Mapping[str, float]) -> str:
    """For people, with how many there were where these are too few for it."""
    few = f" of {figure['n']:.0f}" if figure["n"] < FEW else ""
    return f"{figure['p99']:.2f}{few}"


def at(points: Sequence[Point], calls: int) -> Point | None:
    """The stage with so many calls, if there was one and it held."""
    return next((point for point in points if point.calls == calls and point.holds), None)


def as_json(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "calls": point.calls,
            "holds": point.holds,
            "why": list(point.why),
            "cpu_ms_per_call_second": round(point.cpu_ms, 3),
            "rss_mib": round(point.rss_kib / 1024, 1),
            "generators": round(point.busy, 3),
            "others": [round(share, 3) for share in point.others],
            "ms": {name: dict(points) for name, points in point.figures.items()},
        }
        for point in points
    ]
