"""The results of a load run for people: a line per stage, a Markdown table, and curves in SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from bench._load_verdict import BUSY, LIMIT_MS, Point, at, capacity, memory_kib, p99

Ramps = Mapping[str, Sequence[Point]]

WIDTH, HIGH, LEFT, RIGHT, TOP, BETWEEN = 900, 240, 60, 24, 84, 64
COLOURS: Final = ("#1f6fb2", "#c0392b", "#2e8b57", "#8e44ad", "#d9822b")
INK, GRID, LIMIT = "#333", "#e5e5e5", "#c0392b"
MOST_MS: Final = 2 * LIMIT_MS


def line(point: Point) -> str:
    """One stage, as it is told while the ramp goes on."""
    if not point.figures:
        return f"{point.calls:4} calls  NO: {'; '.join(point.why)}"
    delays = "  ".join(
        f"{name} {point.figures[name]['p50']:.2f}/{p99(point.figures[name])}"
        for name in ("inbound", "outbound", "onset", "clear", "late")
        if name in point.figures
    )
    others = "+".join(f"{share:.0%}" for share in point.others)
    word = "holds" if point.holds else f"NO: {'; '.join(point.why)}"
    return (
        f"{point.calls:4} calls  {point.cpu_ms:6.2f} ms/s a call  {delays} ms (p50/p99)  "
        f"generators {point.busy:.0%}, others {others}  {word}"
    )


def summary(name: str, points: Sequence[Point], where: str = "a core") -> list[str]:
    """What a ramp came to, and what speaks against believing it."""
    most = capacity(points)
    choked = any(point.choked for point in points)
    lines = [f"{name}: {'at least ' if choked else ''}{most} calls on {where}"]
    few, many = at(points, 10), at(points, 100) or at(points, 50)
    if few and many:
        growth = many.cpu_ms / few.cpu_ms
        lines.append(
            f"{name}: a call costs {many.cpu_ms:.2f} ms a second at {many.calls} calls, "
            f"{growth:.2f} times what it costs at {few.calls}"
        )
    if (kib := memory_kib(points, 100)) is not None:
        lines.append(f"{name}: {kib:.0f} KiB a call beyond the first stage's")
    if choked:
        lines.append(f"FAULT    {name}: the generators took over {BUSY:.0%} of their core")
    return lines


def table(ramps: Ramps) -> str:
    """Every stage of every ramp, in Markdown."""
    head = ("relay", "calls", "cpu ms/s", "inbound p50", "p99", "outbound p50", "p99", "onset p99")
    more = ("clear p99", "RSS MiB", "generators", "others", "holds")
    titles = (*head, *more)
    lines = [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 2)} --- |"]
    for name, points in ramps.items():
        for point in sorted(points, key=lambda each: each.calls):
            cells = [name, str(point.calls), f"{point.cpu_ms:.2f}"]
            for figure, quantile in (
                ("inbound", "p50"),
                ("inbound", "p99"),
                ("outbound", "p50"),
                ("outbound", "p99"),
                ("onset", "p99"),
                ("clear", "p99"),
            ):
                found = point.figures.get(figure)
                shown = p99 if quantile == "p99" else _p50
                cells.append("" if found is None else shown(found))
            others = "+".join(f"{share:.0%}" for share in point.others)
            cells += [f"{point.rss_kib / 1024:.0f}", f"{point.busy:.0%}", others]
            cells.append("yes" if point.holds else "; ".join(point.why))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _p50(figure: Mapping[str, float]) -> str:
    return f"{figure['p50']:.2f}"


# ---- the picture ----------------------------------------------------------------------------


def drawing(ramps: Ramps, title: str) -> str:
    """Three curves a relay over the number of calls: p99 in, p99 out, cost of a call."""
    measured = {name: [p for p in points if p.figures] for name, points in ramps.items()}
    most = max((p.calls for points in measured.values() for p in points), default=1)
    dearest = max((p.cpu_ms for points in measured.values() for p in points), default=1.0)

    def of(figure: str) -> Callable[[Point], float | None]:
        return lambda p: p.figures[figure]["p99"] if figure in p.figures else None

    panels: list[tuple[str, Callable[[Point], float | None], float, float | None]] = [
        ("inbound p99, ms", of("inbound"), MOST_MS, LIMIT_MS),
        ("an answer's first sound, p99, ms", of("onset"), MOST_MS, LIMIT_MS),
        ("CPU of a call, ms a second", lambda p: p.cpu_ms, dearest * 1.1, None),
    ]
    height = TOP + len(panels) * (HIGH + BETWEEN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 13px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 24, title),
        *_legend(list(measured)),
    ]
    for number, (name, value, top, limit) in enumerate(panels):
        y = TOP + number * (HIGH + BETWEEN)
        parts += _axes(name, y, most, top, limit)
        place = partial(_place, y=y, most=most, top=top)
        for points, colour in zip(measured.values(), COLOURS, strict=False):
            parts += _curve(points, value, place, colour)
    return "\n".join([*parts, "</svg>\n"])


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], 16.0
    for name, colour in zip(names, COLOURS, strict=False):
        parts.append(f'<rect x="{x:.0f}" y="38" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 18, 49, name))
        x += 40 + 7.5 * len(name)
    return [*parts, _text(x, 49, "ring: does not hold; above the panel: off the scale")]


def _x(calls: float, most: int) -> float:
    return LEFT + calls / most * (WIDTH - LEFT - RIGHT)


def _y(value: float, y: float, top: float) -> float:
    return y + HIGH - min(value, top) / top * HIGH


def _place(calls: float, value: float, *, y: float, most: int, top: float) -> tuple[float, float]:
    return _x(calls, most), _y(value, y, top)


def _axes(name: str, y: float, most: int, top: float, limit: float | None) -> list[str]:
    parts = [_text(LEFT, y - 8, name)]
    for step in range(5):
        value = top * step / 4
        at_y = _y(value, y, top)
        parts.append(f'<path d="M{LEFT} {at_y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 8, at_y + 4, f"{value:.3g}", "end"))
        calls = most * step / 4
        parts.append(_text(_x(calls, most), y + HIGH + 18, f"{calls:.0f}", "middle"))
    parts.append(_text(WIDTH - RIGHT, y + HIGH + 34, "calls at once", "end"))
    if limit is not None:
        at_y = _y(limit, y, top)
        dashed = 'stroke-dasharray="6 4"'
        parts.append(f'<path d="M{LEFT} {at_y:.1f}H{WIDTH - RIGHT}" stroke="{LIMIT}" {dashed}/>')
    return parts


def _curve(
    points: Sequence[Point],
    value: Callable[[Point], float | None],
    place: Callable[[float, float], tuple[float, float]],
    colour: str,
) -> list[str]:
    ordered = sorted(points, key=lambda point: point.calls)
    found = [(p, at_y) for p in ordered if (at_y := value(p)) is not None]
    places = [(*place(p.calls, height), p.holds) for p, height in found]
    path = "L".join(f"{x:.1f} {at_y:.1f}" for x, at_y, _ in places)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'] if path else []
    for x, at_y, holds in places:
        fill = colour if holds else "white"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{at_y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>'
        )
    return parts


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{words}</text>'
