"""How much time we add to a call, and what a call costs: `python bench/latency.py`.

The real `relay serve` runs as a process of its own, with the settings that are the default, behind
real sockets and on the real clock. A simulated Twilio (signed webhook, TwiML, signed stream) and a
simulated Realtime model run in two others, on the other core where there are two. Times are taken
at the peers' sockets, so they hold the peers' own event loops, too; see docs/benchmarks.md.

    greeting          `start` sent to the first media received: the clip; `greeting, live`: of a
                      relay with GREETING=live, where the model must be dialled, and thinks first
    webhook           the ring's request to its TwiML
    inbound           a caller's frame sent to its audio at the model, every frame
    probe             how far the sound stands in what the model got from where it was counted
    outbound          a delta sent to the first media of it at the phone
    answer            the end of the caller's voice to the answer's first media; `ours`: without
                      the model's own silence and thinking
    tool, tool turn   a function call sent to the `response.create` behind its answer; and the end
                      of the caller's voice to what is said then, the model's own time included
    turn              the model's `speech_stopped` to our `response.create`
    barge-in          the caller's first loud frame to `clear`; `ours`: from the one that proves it
    silence           the caller's first loud frame to the end of what they still hear
    loop lag          how late the relay's event loop is, by its own metrics: bounds, not values
    bystander         a bare echo beside it all: what the machine does to anybody
    gap               holes in the caller's play-out buffer, the ms of each; a call without is a 0
    cpu, memory       of the relay's process: ms a second of one call, KiB a call beyond the first

Prints the table, and writes latency.json, latency.md and latency.svg into --out if that is given.
Held against budgets.toml: a breach is named and ends with 1. A stage in which one is breached, or
anything went wrong, is measured once more before that; it is said, and the second time counts.

--ci takes three minutes at the most. What is not measured by then, or breached twice in a time, is
UNPROVEN if the machine was busy by its own calibration, and ends with 0; if it was quiet, with 1.
Lost or doubled sound, CPU, memory, and what either end complained of are held in any case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import trio

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _latency_machine as machine  # noqa: E402
from bench._latency_live import live_greetings  # noqa: E402
from bench._latency_show import drawing, table  # noqa: E402
from bench._latency_stage import Stage, faults, figures, stage  # noqa: E402
from bench._latency_stats import (  # noqa: E402
    Budget,
    Calibration,
    Figure,
    Verdict,
    busy,
    judge,
    noise,
    read_budgets,
    yardsticks,
)
from bench._program import calls as calls_of  # noqa: E402
from bench._program import one_core, run  # noqa: E402
from bench._relay_process import START_S, free_port, running_relay  # noqa: E402

CALLS: Final = (1, 10, 50)
CI_CALLS: Final = (1, 10)
TURNS, CI_TURNS = 5, 3
KNOCKS, CI_KNOCKS = 20, 12
CI_LIMIT_S: Final = 140.0  # and some seconds to end what runs


# ---- a run ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    stages: list[Stage]
    before: Calibration
    after: Calibration
    unit_cpu_ms: float
    first: Stage  # what memory is counted from

    def figures(self) -> dict[int, dict[str, Figure]]:
        return {each.calls: figures(each, self.first) for each in self.stages}

    def yardsticks(self) -> dict[str, float]:
        return yardsticks(self.before, self.after, self.unit_cpu_ms)

    def held(self, budgets: Sequence[Budget], *, ci: bool) -> list[Verdict]:
        """Every budget against every stage; memory's not against the one it is counted from."""
        verdicts = judge(budgets, self.figures(), self.yardsticks(), ci=ci)
        least = self.first.calls
        return [each for each in verdicts if each.budget.figure != "memory" or each.calls > least]

    def faults(self) -> list[str]:
        return [f"{each.calls} calls: {text}" for each in self.stages for text in faults(each)]

    def troubled(self, verdicts: Sequence[Verdict]) -> list[int]:
        """The stages whose figures cannot stand."""
        breached = {verdict.calls for verdict in verdicts if not verdict.kept}
        starved = {verdict.calls for verdict in verdicts if verdict.starved}
        at_fault = {each.calls for each in self.stages if faults(each)} - starved
        wrong = {each.calls for each in self.stages if each.complaints}
        return [each.calls for each in self.stages if each.calls in breached | at_fault | wrong]

    def excused(self, verdicts: Sequence[Verdict]) -> bool:
        """Whether a busy machine can be the reason for all that is wrong with it."""
        timed = all(verdict.kept or verdict.timed for verdict in verdicts)
        return timed and not any(each.complaints for each in self.stages)


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages' calls, the turns of each call, and the callers who only hear the greeting."""

    calls: Sequence[int]
    turns: int
    knocks: int


class LateError(Exception):
    """There was no time for it. blames: what says that the machine was busy; else it is ours."""

    def __init__(self, blames: Sequence[str]) -> None:
        super().__init__(blames)
        self.blames = blames


async def measure(plan: Plan, cores: machine.Cores, first: Stage | None, within_s: float) -> Run:
    """One stage after another on one relay. first: the one of the run that this repeats.

    Raises LateError when that takes longer.
    """
    echoes: list[list[float]] = []
    befores: list[Calibration] = []
    with trio.move_on_after(within_s):
        return await _measure(plan, cores, first, befores, echoes)
    found = [text for before in befores for text in busy("before", before)]
    raise LateError(found + busy("beside", Calibration([], [ms for each in echoes for ms in each])))


async def _measure(
    plan: Plan,
    cores: machine.Cores,
    first: Stage | None,
    befores: list[Calibration],
    echoes: list[list[float]],
) -> Run:
    before, unit_before = await machine.calibrate(cores)
    befores.append(before)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = await machine.begin([str(HERE / "_latency_model.py")], cores.others)
        try:
            model = machine.Lines(process, "the simulated model")
            port = (await model.next(START_S))["port"]
            metrics_port = free_port()
            settings = {"METRICS_PORT": str(metrics_port)}
            async with running_relay(port, cores.relay, folder, settings) as (relay, local):

                async def at_once(count: int, length: int, knocking: int) -> Stage:
                    return await stage(
                        count,
                        length,
                        knocks=knocking,
                        local=local,
                        relay=relay,
                        model=model,
                        cores=cores,
                        echoes=echoes,
                        metrics_port=metrics_port,
                    )

                await at_once(1, 1, 2)  # what a process does only once is not what is asked
                stages = [await at_once(count, plan.turns, plan.knocks) for count in plan.calls]
            if first is None or first.calls in plan.calls:
                live = await live_greetings(model, port, cores, plan.knocks)
                stages[0].delays.add("greeting, live", *live.took)
                stages[0].complaints.extend(live.complaints)
        finally:
            await machine.end(process)
    after, unit_after = await machine.calibrate(cores)
    return Run(stages, before, after, (unit_before + unit_after) / 2, first or stages[0])


def instead(old: Run, new: Run) -> Run:
    """The old run, with the stages that were measured again."""
    again = {each.calls: each for each in new.stages}
    stages = [again.get(each.calls, each) for each in old.stages]
    return Run(stages, new.before, new.after, new.unit_cpu_ms, old.first)


# ---- the report -----------------------------------------------------------------------------


def report(done: Run, verdicts: list[Verdict], noisy: list[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "yardsticks": {name: round(ms, 4) for name, ms in done.yardsticks().items()},
        "noise": noisy,
        "faults": done.faults(),
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


def unproven(what: str, late: LateError) -> int:
    """Say that there was no time for it, and whose fault that is. Returns the exit status."""
    for text in late.blames:
        print(f"noise: {text}")
    blame = "the machine was busy" if late.blames else "and the machine was quiet"
    print(f"UNPROVEN {CI_LIMIT_S:.0f} s were not enough to measure {what}: {blame}")
    return 0 if late.blames else 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the relay's latency, and hold it.")
    parser.add_argument("--calls", type=calls_of, help="at once, as 1,10,50, which is the default")
    parser.add_argument("--ci", action="store_true", help="shorter; limits for unknown machines")
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and SVG")
    arguments = parser.parse_args()
    with (HERE / "budgets.toml").open("rb") as file:
        budgets = read_budgets(tomllib.load(file))

    turns, knocks = (CI_TURNS, CI_KNOCKS) if arguments.ci else (TURNS, KNOCKS)
    calls = arguments.calls or (CI_CALLS if arguments.ci else CALLS)
    one_core()
    cores = machine.share_out()
    if cores.others is not None:
        os.sched_setaffinity(0, {cores.others})

    def held(done: Run) -> list[Verdict]:
        return done.held(budgets, ci=arguments.ci)

    limit_s = CI_LIMIT_S if arguments.ci else math.inf

    def measured(calls: Sequence[int], first: Stage | None) -> Run:
        left_s = max(0.0, limit_s - machine.age_s())
        return run(measure, Plan(calls, turns, knocks), cores, first, left_s)

    try:
        done = measured(calls, None)
    except LateError as late:
        return unproven("the stages", late)
    noisy, verdicts = noise(done.before, done.after), held(done)
    show(done, verdicts, noisy)
    doubted = {*done.troubled(verdicts), *(each.calls for each in verdicts if each.starved)}
    if breached := sorted(doubted):
        print(f"\nOnce more, and that counts: {', '.join(map(str, breached))} calls\n")
        try:
            again = measured(breached, done.first)
        except LateError as late:
            if not done.troubled(verdicts):
                return 0
            if not done.excused(verdicts):
                return 1
            return unproven("what was breached", LateError([*noisy, *late.blames]))
        kept = [verdict for verdict in verdicts if verdict.calls not in breached]
        noisy, verdicts = noise(again.before, again.after), kept + held(again)
        done = instead(done, again)
        show(done, verdicts, noisy)
    if arguments.out:
        write(arguments.out, done, verdicts, noisy)
    if not done.troubled(verdicts):
        return 0
    if arguments.ci and noisy and done.excused(verdicts):
        print("UNPROVEN breached twice, on a machine that was busy: see the noise above")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
