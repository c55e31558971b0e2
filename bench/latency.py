"""How much time we add to a call, and what a call costs: `python bench/latency.py`.

The real `relay serve` runs as a process of its own, with the settings that are the default, behind
real sockets and on the real clock. A simulated Twilio (signed webhook, TwiML, signed stream) and a
simulated Realtime model run in two others, on the other core where there are two. Times are taken
at the peers' sockets, so they hold the peers' own event loops, too; see docs/benchmarks.md.

    greeting          `start` sent to the first media received
    webhook           the ring's request to its TwiML
    inbound           a caller's frame sent to its audio at the model, every frame
    probe             how far the sound stands in what the model got from where it was counted
    outbound          a delta sent to the first media of it at the phone
    answer            the end of the caller's voice to the answer's first media; `ours`: without
                      the model's own silence and thinking
    turn              the model's `speech_stopped` to our `response.create`
    barge-in          the caller's first loud frame to `clear`; `ours`: from the one that proves it
    gap               holes in the caller's play-out buffer, the ms of each; a call without is a 0
    cpu, memory       of the relay's process: ms a second of one call, KiB a call beyond the first

Prints the table, and writes latency.json, latency.md and latency.svg into --out if that is given.
Held against budgets.toml: a breach is named and ends with 1. When a budget is breached on a machine
whose own calibration was noisy, the run is repeated, once; that is said, and the second one counts.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import platform
import socket
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import trio

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _latency_machine as machine  # noqa: E402
from bench._latency_join import Delays, join  # noqa: E402
from bench._latency_phones import ACCOUNT_SID, AUTH_TOKEN, OWN_NUMBER, number_of  # noqa: E402
from bench._latency_show import drawing, table  # noqa: E402
from bench._latency_stats import (  # noqa: E402
    Calibration,
    Figure,
    Verdict,
    figure,
    judge,
    noise,
    read_budgets,
    yardsticks,
)
from relay.core.policy import CallPolicy  # noqa: E402

PUBLIC: Final = "https://relay.example.com"
CALLS: Final = (1, 10)
TURNS, CI_TURNS = 5, 4
KNOCKS: Final = 20
START_S: Final = 30.0
STAGE_S: Final = 150.0
# The phones are only cheap up to here: beyond, their own core is what is measured.
BUSY: Final = 0.8


# ---- the relay ------------------------------------------------------------------------------


def environment(
    port: int, model_port: int, folder: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    """The settings that are needed, and nothing of the environment that we happen to be in."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(HERE.parent),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": PUBLIC,
        "DATABASE_URL": f"sqlite:///{folder / 'relay.db'}",
        "PROMPTS_DIR": str(HERE.parent / "prompts"),
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": OWN_NUMBER,
        "HUMAN_TRANSFER_NUMBER": "+15125550199",
        "OPENAI_API_KEY": "benchmark",
        "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{model_port}/v1/realtime",
        "MAX_CALLS_PER_NUMBER_HOUR": "0",  # a simulated caller calls again and again
        "CLIPS": "packaged",  # else the clip studio would have the model speak them meanwhile
        **settings,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_relay(
    model_port: int,
    core: int | None,
    folder: Path,
    settings: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[tuple[trio.Process, str]]:
    """`relay serve`, once it is ready, and its address; what it logged is shown if it is not.

    settings: other values, or more of them; options: of the command line
    """
    port = free_port()
    local, log_file = f"http://127.0.0.1:{port}", folder / "relay.log"
    with log_file.open("wb") as log:
        relay = await machine.begin(
            ["-m", "relay", "serve", *options],
            core,
            environ=environment(port, model_port, folder, settings or {}),
            cwd=folder,
            log=log,
        )
        try:
            await until_ready(relay, local, log_file)
            yield relay, local
            if relay.returncode is not None:
                raise SystemExit(f"the relay ended:\n{_last_words(log_file)}")
        finally:
            relay.terminate()
            await machine.end(relay)


async def until_ready(relay: trio.Process, local: str, log_file: Path) -> None:
    """Wait for /readyz. Raises SystemExit with the last of its log when it stays away."""
    with trio.move_on_after(START_S):
        async with httpx.AsyncClient(trust_env=False) as client:
            while relay.returncode is None:
                try:
                    if (await client.get(f"{local}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await trio.sleep(0.1)
    raise SystemExit(f"the relay did not start:\n{_last_words(log_file)}")


def _last_words(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-2000:]


def pseudonym(caller: str) -> str:
    """What the relay calls a caller at the model: an HMAC that its settings determine."""
    return hmac.digest(AUTH_TOKEN.encode(), b"caller " + caller.encode(), hashlib.sha256).hex()


# ---- one stage: so many calls at once -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """What was measured. rss_kib: the relay's; busy: CPU shares of the two generators."""

    calls: int
    delays: Delays
    cpu_ms: float
    rss_kib: float
    busy: Mapping[str, float]
    complaints: list[str]


async def stage(
    calls: int,
    turns: int,
    *,
    knocks: int,
    local: str,
    relay: trio.Process,
    model: machine.Lines,
    core: int | None,
) -> Stage:
    """Have so many callers talk at once, and put together what both ends saw."""
    counts = [str(count) for count in (calls, turns, knocks)]
    phones = await machine.begin([str(HERE / "_latency_phones.py"), PUBLIC, local, *counts], core)
    watched: dict[str, list[machine.Sample]] = {"relay": [], "model": [], "phones": []}
    pids = {"relay": relay.pid, "model": model.process.pid, "phones": phones.pid}
    try:
        async with trio.open_nursery() as nursery:
            for name, samples in watched.items():
                nursery.start_soon(machine.watch, partial(machine.sample, pids[name]), samples)
            seen = await machine.Lines(phones, "the simulated phones").next(STAGE_S)
            nursery.cancel_scope.cancel()
        sessions = await _sessions(model, calls + knocks)
    finally:
        await machine.end(phones)
    policy = CallPolicy()
    proof = -(-min(policy.confirm_voiced_ms, policy.confirm_vowel_ms) // 20)
    names = {number_of(index): pseudonym(number_of(index)) for index in range(calls + knocks)}
    window = {name: machine.within(each, seen["window"]) for name, each in watched.items()}
    return Stage(
        calls,
        join(seen["calls"], sessions, proof_frames=proof, names=names),
        machine.cpu_share(window["relay"]) / calls,
        max(each.rss_kib for each in window["relay"]),
        {name: machine.cpu_share(window[name]) / 1000 for name in ("model", "phones")},
        [text for call in seen["calls"] for text in call["complaints"]]
        + [text for session in sessions for text in session["faults"]],
    )


async def _sessions(model: machine.Lines, count: int) -> list[dict[str, Any]]:
    """What the model saw of these calls, once the last of its sessions is over."""
    sessions: list[dict[str, Any]] = []
    with trio.move_on_after(START_S):
        while len(sessions) < count:
            await trio.sleep(0.2)
            sessions += await model.ask(START_S)
    return sessions


def figures(each: Stage, first: Stage) -> dict[str, Figure]:
    """All figures of a stage; memory is counted from the first stage on."""
    units = {"probe": "ms off"}  # a place, not a delay
    found = [figure(name, at, units.get(name, "ms")) for name, at in each.delays.of.items()]
    found.append(figure("cpu", [each.cpu_ms], "ms/s"))
    if each.calls > first.calls:
        more = (each.rss_kib - first.rss_kib) / (each.calls - first.calls)
        found.append(figure("memory", [more], "KiB/call"))
    return {one.name: one for one in found if one is not None}


def missing(each: Stage) -> list[str]:
    return [f"missing: {what}" for what in each.delays.missing]


# ---- a run ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    stages: list[Stage]
    before: Calibration
    after: Calibration
    unit_cpu_ms: float

    def figures(self) -> dict[int, dict[str, Figure]]:
        return {each.calls: figures(each, self.stages[0]) for each in self.stages}

    def yardsticks(self) -> dict[str, float]:
        return yardsticks(self.before, self.after, self.unit_cpu_ms)

    def faults(self) -> list[str]:
        """What makes the figures worthless, whatever they are."""
        return [
            f"{each.calls} calls: {count} times {text}"
            for each in self.stages
            for text, count in Counter([*missing(each), *each.complaints]).items()
        ] + [
            f"{each.calls} calls: the {name} took {share:.0%} of a core and were the bottleneck"
            for each in self.stages
            for name, share in each.busy.items()
            if share > BUSY
        ]


async def run(calls: tuple[int, ...], turns: int, cores: machine.Cores) -> Run:
    before, unit_before = await machine.calibrate(cores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = await machine.begin([str(HERE / "_latency_model.py")], cores.others)
        try:
            model = machine.Lines(process, "the simulated model")
            port = (await model.next(START_S))["port"]
            async with running_relay(port, cores.relay, folder) as (relay, local):

                async def at_once(count: int, length: int, knocks: int) -> Stage:
                    return await stage(
                        count,
                        length,
                        knocks=knocks,
                        local=local,
                        relay=relay,
                        model=model,
                        core=cores.others,
                    )

                await at_once(1, 1, 2)  # what a process does only once is not what is asked
                stages = [await at_once(count, turns, KNOCKS) for count in calls]
        finally:
            await machine.end(process)
    after, unit_after = await machine.calibrate(cores)
    return Run(stages, before, after, (unit_before + unit_after) / 2)


# ---- the report -----------------------------------------------------------------------------


def report(done: Run, verdicts: list[Verdict], noisy: list[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "yardsticks": {name: round(ms, 4) for name, ms in done.yardsticks().items()},
        "noise": noisy,
        "generators": {each.calls: dict(each.busy) for each in done.stages},
        "stages": {
            calls: {name: asdict(one) for name, one in each.items()}
            for calls, each in done.figures().items()
        },
        "budgets": [
            {
                "calls": verdict.calls,
                "figure": verdict.budget.figure,
                "point": verdict.budget.point,
                "per": verdict.budget.per,
                "limit": verdict.limit,
                "got": verdict.got,
                "kept": verdict.kept,
            }
            for verdict in verdicts
        ],
    }


def show(done: Run, verdicts: list[Verdict], noisy: list[str]) -> None:
    print(table(done.figures()), end="\n\n")
    print("calibration:", ", ".join(f"{k} {v:.3f} ms" for k, v in done.yardsticks().items()))
    for each in done.stages:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in each.busy.items())
        print(f"generators at {each.calls} calls, of a core: {shares}")
    for text in noisy:
        print(f"noise: {text}")
    print(*verdicts, sep="\n")
    for text in done.faults():
        print(f"FAULT    {text}")


def write(out: Path, done: Run, verdicts: list[Verdict], noisy: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report(done, verdicts, noisy), indent=2)
    (out / "latency.json").write_text(f"{text}\n", encoding="utf-8")
    (out / "latency.md").write_text(f"{table(done.figures())}\n", encoding="utf-8")
    (out / "latency.svg").write_text(drawing(done.figures(), verdicts), encoding="utf-8")
    print(f"written: {out / 'latency.json'}, latency.md, latency.svg")


def counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(word) for word in text.split(",") if int(word) > 0}))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the relay's latency, and hold it.")
    parser.add_argument("--calls", type=counts, default=CALLS, help="at once, as 1,10,50 (1,10)")
    parser.add_argument("--ci", action="store_true", help="shorter; limits for unknown machines")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and SVG")
    arguments = parser.parse_args()
    with (HERE / "budgets.toml").open("rb") as file:
        budgets = read_budgets(tomllib.load(file))

    turns = CI_TURNS if arguments.ci else TURNS
    cores = machine.share_out()
    if cores.others is not None:
        os.sched_setaffinity(0, {cores.others})
    for last in (False, True):
        done = trio.run(run, arguments.calls, turns, cores)
        noisy = noise(done.before, done.after)
        verdicts = judge(budgets, done.figures(), done.yardsticks(), ci=arguments.ci)
        show(done, verdicts, noisy)
        good = not done.faults() and all(verdict.kept for verdict in verdicts)
        if good or not noisy or last:
            break
        print("\nThis machine was noisy: once more, and that counts.\n")
    if arguments.out:
        write(arguments.out, done, verdicts, noisy)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
