"""The results of bench/latency.py for people: a Markdown table, and the distributions drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench._latency_stats import POINTS, Figure, Verdict

Stages = Mapping[int, Mapping[str, Figure]]
_Scale = Callable[[float], float]

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 190, 30, 26, 64
LEAST_MS: Final = 0.1
INK, RANGE, BODY, LIMIT = "#333", "#b8c7d6", "#1f6fb2", "#c0392b"


def table(stages: Stages) -> str:
    """Markdown, also readable as it is."""
    lines = [
        f"| {'figure':16} | calls | {'unit':8} | {'n':>6} |"
        + "".join(f" {point:>8} |" for point in POINTS),
        f"| {'-' * 16} | ----: | {'-' * 8} | -----: |" + " -------: |" * len(POINTS),
    ]
    names = list(dict.fromkeys(name for figures in stages.values() for name in figures))
    for name in names:
        for calls, figures in stages.items():
            if name in figures:
                lines.append(_row(calls, figures[name]))
    return "\n".join(lines)


def _row(calls: int, figure: Figure) -> str:
    points = "".join(f" {figure.points[point]:8.2f} |" for point in POINTS)
    return f"| {figure.name:16} | {calls:5} | {figure.unit:8} | {figure.count:6} |{points}"


def drawing(stages: Stages, verdicts: Sequence[Verdict]) -> str:
    """SVG, logarithmic: all of it thin, p50 to p99 thick, budgets in milliseconds as red ticks."""
    rows = [
        (calls, figure)
        for name in dict.fromkeys(name for figures in stages.values() for name in figures)
        for calls, figures in stages.items()
        if (figure := figures.get(name)) and figure.unit == "ms" and figure.points["max"] > 0
    ]
    most = max([figure.points["max"] for _, figure in rows], default=1.0)
    top_ms = 10 ** math.ceil(math.log10(max(most, 1.0)))
    height = TOP + ROW * len(rows) + 40
    bottom = TOP + ROW * len(rows)

    def x(ms: float) -> float:
        share = math.log10(max(ms, LEAST_MS) / LEAST_MS) / math.log10(top_ms / LEAST_MS)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 13px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 26, "What a call waits for: smallest to largest thin, p50 to p99 thick"),
        _text(16, 46, "red: the budget of one of these points; milliseconds, logarithmic"),
    ]
    for power in range(round(math.log10(LEAST_MS)), round(math.log10(top_ms)) + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {TOP}V{bottom}" stroke="#e5e5e5"/>')
        parts.append(_text(at, bottom + 18, f"{10.0**power:g}", "middle"))
    for number, (calls, figure) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        limits = [
            verdict.limit
            for verdict in verdicts
            if verdict.calls == calls
            and verdict.budget.figure == figure.name
            and verdict.budget.per is None
        ]
        parts += _strip(figure, calls, y, x, limits)
    return "\n".join([*parts, "</svg>\n"])


def _strip(figure: Figure, calls: int, y: float, x: _Scale, limits: Sequence[float]) -> list[str]:
    at = {point: x(ms) for point, ms in figure.points.items()}
    end = max(at["max"], at["min"] + 2)
    body = max(3.0, at["p99"] - at["p50"])
    return [
        _text(LEFT - 10, y + 4, f"{figure.name}, {calls} call{'s' * (calls > 1)}", "end"),
        f'<path d="M{at["min"]:.1f} {y}H{end:.1f}" stroke="{RANGE}" stroke-width="4"/>',
        f'<rect x="{at["p50"]:.1f}" y="{y - 6}" width="{body:.1f}" height="12" fill="{BODY}"/>',
        *(
            f'<path d="M{x(limit):.1f} {y - 9}V{y + 9}" stroke="{LIMIT}" stroke-width="2"/>'
            for limit in limits
        ),
    ]


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{words}</text>'
