"""Our relay and what people use today, side by side: `python bench/peers/run.py`, or `make peers`.

The same generators, the same core, the same rules as bench/load.py (whose head explains a ramp),
plain WebSockets, one relay after another:

    relay      ours: signed webhooks and streams, PCM16 both ways, journal, ledger, greeting
    fastapi    FastAPI on uvicorn with uvloop, `websockets` to the model, mu-law passed through
    node       Fastify with @fastify/websocket, `ws` to the model, mu-law passed through
    pipecat    its FastAPI transport, Twilio serializer and OpenAI Realtime service

    python bench/peers/run.py                        all of them; half an hour
    python bench/peers/run.py --only relay,node      some of them
    python bench/peers/run.py --calls 10,50,100      these numbers and no ramp
    python bench/peers/run.py --set-up               only installs what they need, below .cache/
    python bench/peers/run.py --out bench/results    also writes peers.json, peers.md and peers.svg

Named twice, as in --only relay,node,relay, a relay is measured twice, and is two rows. Ends with 1
when a goal is missed, when a relay did not start, when the generators were the bottleneck, and when
they shared the only core with the relay.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
CACHE: Final = ROOT / ".cache" / "peers"
sys.path.insert(0, str(ROOT))

from bench import _latency_machine as machine  # noqa: E402
from bench._load_phone import Stream  # noqa: E402
from bench._load_ramp import Model, Relay, Running, ramp  # noqa: E402
from bench._load_relays import ours  # noqa: E402
from bench._load_show import line, summary, table  # noqa: E402
from bench._load_verdict import Allowance, Point  # noqa: E402
from bench._peers_table import Side, compare, goals  # noqa: E402
from bench._program import calls as calls_of  # noqa: E402
from bench._program import one_core, run  # noqa: E402
from bench._relay_process import died_of, free_port, until_ready  # noqa: E402
from bench.load import WINDOW, report, write  # noqa: E402

PYTHON_PEERS: Final = ("fastapi", "pipecat")
NODE: Final = 20  # as its package.json has it
NAMES: Final = ("relay", "fastapi", "node", "pipecat")


# ---- what they need -------------------------------------------------------------------------


def set_up(name: str) -> None:
    """Install a peer's dependencies below CACHE, as its lock says; quick the second time."""
    folder = CACHE / name
    locks = [HERE / f"{name}.txt"]
    if name == "node":
        locks = [HERE / "node" / "package.json", HERE / "node" / "package-lock.json"]
    made_from = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    stamp = folder / ".made-from"
    if name == "node":
        node_version()
    if stamp.exists() and stamp.read_text(encoding="ascii") == made_from and _of_our_python(folder):
        return
    print(f"installing {name} into {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if name == "node":
        for lock in locks:
            shutil.copy(lock, folder)
        _checked(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder)
    else:
        venv.create(folder, with_pip=True)
        _checked([str(folder / "bin" / "pip"), "install", "-q", "-r", str(locks[0])], folder)
    stamp.write_text(made_from, encoding="ascii")


def _of_our_python(folder: Path) -> bool:
    """Whether a venv, if it is one, is of the Python that our own relay runs on."""
    made = folder / "pyvenv.cfg"
    return not made.exists() or f"version = {platform.python_version()}\n" in made.read_text(
        "utf-8"
    )


def node_version() -> str:
    """Raises SystemExit where there is no Node, or one that is too old."""
    version = _checked(["node", "--version"], ROOT).strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        raise SystemExit(f"node is {version}, and its relay needs {NODE} or newer")
    return version


def versions(chosen: Sequence[str]) -> dict[str, str]:
    """What the relays ran on."""
    found = {"Python": platform.python_version()}
    return {**found, "Node": node_version()} if "node" in chosen else found


def _checked(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not installed") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


# ---- a peer as a relay ----------------------------------------------------------------------


def _program(name: str) -> tuple[str, Path]:
    """What runs a peer, and its script. Node looks for modules beside the script."""
    if name in PYTHON_PEERS:
        return str(CACHE / name / "bin" / "python"), HERE / f"{name}_relay.py"
    return "node", Path(shutil.copy(HERE / "node" / "relay.js", CACHE / name))


@asynccontextmanager
async def _serving(
    model: Model, core: int | None, folder: Path, *, name: str
) -> AsyncIterator[Running]:
    port = free_port()
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "PORT": str(port),
        "OPENAI_REALTIME_URL": model.url,
        "OPENAI_API_KEY": "benchmark",
        "NODE_ENV": "production",
    }
    if model.ca is not None:
        environ |= {"SSL_CERT_FILE": str(model.ca), "NODE_EXTRA_CA_CERTS": str(model.ca)}
    program, script = _program(name)
    log_file = folder / "peer.log"
    with log_file.open("wb") as log:
        process = await machine.begin(
            [str(script)], core, environ=environ, cwd=folder, log=log, program=program
        )
        try:
            await until_ready(process, f"http://127.0.0.1:{port}", log_file)

            async def streams(calls: int, first: int) -> list[Stream]:
                path, numbers = "/media-stream", range(first, first + calls)
                return [
                    Stream("127.0.0.1", port, path, {}, f"CA{n:032x}", f"+1415{n:07d}")
                    for n in numbers
                ]

            yield Running(process.pid, streams, partial(died_of, process, log_file))
        finally:
            process.terminate()
            await machine.end(process)


def relay_of(name: str) -> Relay:
    """A row of the table."""
    if name == "relay":
        return ours()
    # Pipecat's resampler hands on sound in bursts, and its transport paces what it plays.
    allowed = Allowance(paced=True, own_ms=math.inf) if name == "pipecat" else Allowance()
    return Relay(name, partial(_serving, name=name), allowed)


# ---- the comparison -------------------------------------------------------------------------


async def measure(arguments: argparse.Namespace, cores: machine.Cores) -> tuple[list[Side], bool]:
    """A ramp for each that was asked for, and whether all of them could be started."""
    sides: list[Side] = []
    whole = True
    for number, name in enumerate(arguments.only):
        relay, points = relay_of(name), list[Point]()
        print(f"\n{name}", flush=True)
        try:
            points = await ramp(
                relay,
                cores,
                seconds=arguments.seconds,
                most=arguments.most,
                sizes=arguments.calls,
                tell=lambda point: print(line(point), flush=True),
            )
        except SystemExit as fault:  # the others' half an hour is not lost for it
            print(f"FAULT    {name}: {fault}", flush=True)
            whole = False
        again = arguments.only[:number].count(name)
        sides.append(Side(name, points, relay.filter_ms, relay.allowed.paced, again))
    return sides, whole


async def main(arguments: argparse.Namespace) -> int:
    alone = one_core()
    cores = machine.share_out()
    _, unit_ms = await machine.calibrate(cores)
    sides, whole = await measure(arguments, cores)
    ramps = {side.title: side.points for side in sides}
    print(f"\nload average {os.getloadavg()[0]:.1f}; a unit of work takes {unit_ms:.2f} ms of CPU")
    for side in sides:
        print(*summary(side.title, side.points), sep="\n")
    reached = goals(sides, ramped=not arguments.calls)
    told = [str(goal) for goal in reached]
    ran_on = versions(arguments.only)
    print(*(f"{what} {version}" for what, version in ran_on.items()), sep=", ")
    print("", compare(sides), "", *told, sep="\n")
    if arguments.out:
        words = "\n".join(f"* {text}" for text in told)
        text = f"{compare(sides)}\n\n{words}\n\nEvery stage:\n\n{table(ramps)}"
        told_all = {**report(ramps, unit_ms), "versions": ran_on, "goals": told}
        write(arguments.out, "peers", ramps, told_all, title="Relays on one core", text=text)
    choked = any(point.choked for side in sides for point in side.points)
    return 0 if all(goal.kept for goal in reached) and whole and not choked and not alone else 1


def names(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(NAMES):
        raise argparse.ArgumentTypeError(f"no such relay: {', '.join(unknown)}")
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Our relay and others, side by side.")
    parser.add_argument("--only", type=names, default=list(NAMES), help=",".join(NAMES))
    parser.add_argument("--set-up", action="store_true", help="install what they need, and end")
    parser.add_argument("--seconds", type=float, default=15.0, help=WINDOW)
    parser.add_argument("--most", type=int, default=800, help="calls to try (800)")
    parser.add_argument("--calls", type=calls_of, help="measure these numbers instead of a ramp")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and SVG")
    given = parser.parse_args()
    for each in dict.fromkeys(given.only):
        if each != "relay":
            set_up(each)
    sys.exit(0 if given.set_up else run(main, given))
