"""How many calls a core carries, and what each costs the more there are: `python bench/load.py`.

The real `relay serve` on a core of its own; both ends of every call in one cheap process on the
other (_load_ends.py). Calls are added until the added delay's p99 passes 20 ms either way, a hole
longer than a frame is heard, or anything goes wrong; then the number between is looked for. Once
with a plain WebSocket to the model, and once with TLS, as in production, with a CA made on the
spot that the relay is told to trust.

    python bench/load.py                       both legs; ten minutes or so
    python bench/load.py --legs tls            one of them
    python bench/load.py --calls 50,100        these numbers and no others
    python bench/load.py --workers 2           so many processes, on all cores, with PostgreSQL
    python bench/load.py --out bench/results   also writes load.json, load.md and load.svg

Everything a stage prints is explained in docs/benchmarks.md. Ends with 1 when the generators were
the bottleneck, since then they were what was measured, when they shared the only core with the
relay, and when not even one call was carried well, or one of --calls was not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _latency_machine as machine  # noqa: E402
from bench._load_ramp import Relay, ramp  # noqa: E402
from bench._load_relays import ours  # noqa: E402
from bench._load_show import Ramps, drawing, line, summary, table  # noqa: E402
from bench._load_verdict import Point, as_json, capacity, stands  # noqa: E402
from bench._program import calls as calls_of  # noqa: E402
from bench._program import need_postgres, one_core, run  # noqa: E402

LEGS: Final = {"plain": False, "tls": True}
WINDOW: Final = "of each stage's window (15); below 10, few calls have too little to measure"


async def measure(
    relay: Relay,
    legs: Sequence[str],
    cores: machine.Cores,
    *,
    seconds: float,
    most: int,
    sizes: Sequence[int] | None,
) -> dict[str, list[Point]]:
    """A ramp for each leg, told as it goes."""
    ramps = {}
    for leg in legs:
        name = f"{relay.name}, {leg}"
        print(f"\n{name}", flush=True)
        ramps[name] = await ramp(
            relay,
            cores,
            seconds=seconds,
            most=most,
            tls=LEGS[leg],
            sizes=sizes,
            tell=lambda point: print(line(point), flush=True),
        )
    return ramps


def report(ramps: Ramps, unit_ms: float) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(share, 1) for share in os.getloadavg()],
        "work unit ms": round(unit_ms, 3),
        "ramps": {
            name: {"capacity": capacity(points), "stages": as_json(points)}
            for name, points in ramps.items()
        },
    }


def write(
    out: Path, name: str, ramps: Ramps, told: Mapping[str, Any], *, title: str, text: str
) -> None:
    """NAME.json, .md and .svg. text: the Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(f"{json.dumps(told, indent=1)}\n", encoding="utf-8")
    (out / f"{name}.md").write_text(f"{text}\n", encoding="utf-8")
    (out / f"{name}.svg").write_text(drawing(ramps, title), encoding="utf-8")
    print(f"written: {out / name}.json, .md, .svg")


async def main(arguments: argparse.Namespace) -> int:
    alone = one_core()
    cores = machine.share_out()
    _, unit_ms = await machine.calibrate(cores)
    where = cores if arguments.workers == 1 else machine.Cores(None, cores.others)
    ramps = await measure(
        ours(arguments.workers),
        arguments.legs.split(","),
        where,
        seconds=arguments.seconds,
        most=arguments.most,
        sizes=arguments.calls,
    )
    print(f"\nload average {os.getloadavg()[0]:.1f}; a unit of work takes {unit_ms:.2f} ms of CPU")
    place = "a core" if arguments.workers == 1 else f"{os.cpu_count()} cores"
    for name, points in ramps.items():
        print(*summary(name, points, place), sep="\n")
    if arguments.out:
        title = "What a core carries, and what a call costs"
        told = report(ramps, unit_ms)
        write(arguments.out, "load", ramps, told, title=title, text=table(ramps))
    return (
        0 if all(stands(points, arguments.calls) for points in ramps.values()) and not alone else 1
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ramp calls until a relay no longer keeps up.")
    parser.add_argument("--legs", default="plain,tls", help="to the model (plain,tls)")
    parser.add_argument("--seconds", type=float, default=15.0, help=WINDOW)
    parser.add_argument("--most", type=int, default=800, help="calls to try (800)")
    parser.add_argument("--calls", type=calls_of, help="measure these numbers instead of a ramp")
    parser.add_argument("--workers", type=int, default=1, help="processes of the relay (1)")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and SVG")
    given = parser.parse_args()
    if unknown := set(given.legs.split(",")) - set(LEGS):
        parser.error(f"no such leg: {', '.join(unknown)}")
    if given.workers > 1:
        need_postgres()
    sys.exit(run(main, given))
