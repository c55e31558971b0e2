"""A call, drawn: what each side sounded like, what was suspected, and where the agent stopped.

Above each line the caller's telephone, noises and echo included; below it the agent at the
caller's ear; both in dB. Bands are the truth: when the caller spoke, and when there was a cough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ROW_S, WIDTH, HEIGHT, TOP = 25.0, 1200, 150, 56
FLOOR_DB = -60.0
STEP_S = 0.05
INK, CALLER, AGENT = "#333", "#1f6fb2", "#d9822b"
SUSPICION, CUT, MARK, SPOKE, COUGH = "#8e44ad", "#c0392b", "#999", "#cfe3f5", "#f6d9b8"


@dataclass(frozen=True, slots=True)
class Picture:
    """Times are seconds from the call's start; levels one a STEP_S, in dBFS."""

    title: str
    caller: list[float]
    agent: list[float]
    spoke: list[tuple[float, float]] = field(default_factory=list)
    coughs: list[tuple[float, float]] = field(default_factory=list)
    suspicions: list[float] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)


def svg(picture: Picture, seconds: float) -> str:
    """The first seconds of a call, one row under the other."""
    rows = int(-(-seconds // ROW_S))
    high = TOP + rows * HEIGHT + 10
    space = "http://www.w3.org/2000/svg"
    font = 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="{space}" viewBox="0 0 {WIDTH} {high}" {font}>',
        f'<rect width="{WIDTH}" height="{high}" fill="white"/>',
        f'<text x="8" y="18" font-size="15" fill="{INK}">{picture.title}</text>',
        *_legend(),
    ]
    for row in range(rows):
        parts += _row(picture, row)
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> Iterator[str]:
    names = (
        (CALLER, "the caller's telephone"),
        (AGENT, "the agent at the caller's ear"),
        (SPOKE, "the caller speaks"),
        (COUGH, "a cough"),
        (SUSPICION, "suspicion: the model's detector"),
        (CUT, "cut: silence at the ear"),
        (MARK, "marks echoed"),
    )
    x = 8
    for colour, name in names:
        yield f'<rect x="{x}" y="30" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 16}" y="40" fill="{INK}">{name}</text>'
        x += 28 + round(5.9 * len(name))


def _row(picture: Picture, row: int) -> Iterator[str]:
    since = row * ROW_S
    axis = TOP + row * HEIGHT + HEIGHT // 2
    half = HEIGHT // 2 - 12

    def x(at: float) -> float:
        return round((at - since) / ROW_S * WIDTH, 1)

    def inside(times: Iterable[float]) -> Iterator[float]:
        return (x(at) for at in times if since <= at < since + ROW_S)

    for spans, colour in ((picture.spoke, SPOKE), (picture.coughs, COUGH)):
        for start, end in spans:
            if end > since and start < since + ROW_S:
                left, right = max(0.0, x(start)), min(float(WIDTH), x(end))
                yield (
                    f'<rect x="{left}" y="{axis - half}" width="{right - left:.1f}"'
                    f' height="{2 * half}" fill="{colour}"/>'
                )
    yield _envelope(picture.caller, since, axis, -half, CALLER)
    yield _envelope(picture.agent, since, axis, half, AGENT)
    yield f'<path d="M0 {axis}H{WIDTH}" stroke="{INK}" stroke-width="0.5"/>'
    marks = "".join(f"M{at} {axis + half}v4" for at in inside(picture.marks))
    yield f'<path d="{marks}" stroke="{MARK}"/>' if marks else ""
    for at in inside(picture.suspicions):
        yield f'<path d="M{at} {axis - half}v{half}" stroke="{SUSPICION}" stroke-dasharray="3 2"/>'
    for at in inside(picture.cuts):
        yield f'<path d="M{at} {axis - half}v{2 * half}" stroke="{CUT}" stroke-width="2"/>'
    yield f'<text x="4" y="{axis + half + 10}" fill="{INK}" font-size="10">{since:.0f} s</text>'


def _envelope(levels: list[float], since: float, axis: int, tall: int, colour: str) -> str:
    first = round(since / STEP_S)
    shown = levels[first : first + round(ROW_S / STEP_S)]
    width = STEP_S / ROW_S * WIDTH
    points = [
        f"L{n * width:.1f} {axis + tall * max(0.0, 1 - level / FLOOR_DB):.0f}"
        for n, level in enumerate(shown)
    ]
    end = f"{len(shown) * width:.1f}"
    return f'<path d="M0 {axis}{"".join(points)}L{end} {axis}Z" fill="{colour}" opacity="0.75"/>'
