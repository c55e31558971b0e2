"""One stage of bench/latency.py: so many calls at once, and what both ends saw of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import trio

from bench import _latency_machine as machine
from bench._latency_join import FRAME_MS, Delays, Report, join
from bench._latency_lag import lags_ms, read
from bench._latency_live import STAGE_S, sessions_of
from bench._latency_stats import BYSTANDER, Figure, figure
from bench._relay_process import PUBLIC, pseudonym
from relay.core.policy import CallPolicy

HERE: Final = Path(__file__).resolve().parent
# The generators are only cheap up to here: beyond, the room that they have is what is measured.
BUSY: Final = 0.8
# With more calls one core does not carry both generators, and the phones use what the relay leaves.
CROWD: Final = 25


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
    cores: machine.Cores,
    echoes: list[list[float]],
    metrics_port: int | None = None,
) -> Stage:
    """Have so many callers talk at once, and put together what both ends saw.

    echoes: gets the bystander's, as they come
    Raises SystemExit when they did not all get as far as to talk.
    """
    lag, beside = await _lag(metrics_port), list[float]()
    echoes.append(beside)
    counts = [str(count) for count in (calls, turns, knocks)]
    phones = await machine.begin(
        [str(HERE / "_latency_phones.py"), PUBLIC, local, *counts], cores.others
    )
    if calls > CROWD and cores.relay is not None and cores.others is not None:
        os.sched_setaffinity(phones.pid, {cores.relay, cores.others})
    watched: dict[str, list[machine.Sample]] = {"relay": [], "model": [], "phones": []}
    pids = {"relay": relay.pid, "model": model.process.pid, "phones": phones.pid}
    try:
        async with machine.bystander(cores, beside), trio.open_nursery() as nursery:
            for name, samples in watched.items():
                nursery.start_soon(machine.watch, partial(machine.sample, pids[name]), samples)
            seen = await machine.Lines(phones, "the simulated phones").next(STAGE_S)
            nursery.cancel_scope.cancel()
        sessions = await sessions_of(model, calls + knocks)
    finally:
        await machine.end(phones)
    if len(seen["window"]) < 2:
        raise SystemExit(f"{calls} calls never talked at once: {_why(seen['calls'])}")
    lags = lags_ms(lag, await _lag(metrics_port))
    window = {name: machine.within(each, seen["window"]) for name, each in watched.items()}
    delays = joined(seen["calls"], sessions)
    delays.add("loop lag", *lags)
    delays.add(BYSTANDER, *beside)
    return Stage(
        calls,
        delays,
        machine.cpu_share(window["relay"]) / calls,
        max(each.rss_kib for each in window["relay"]),
        {name: machine.cpu_share(window[name]) / 1000 for name in ("model", "phones")},
        [text for call in seen["calls"] for text in call["complaints"]]
        + [text for session in sessions for text in session["faults"]],
    )


def joined(calls: Sequence[Report], sessions: Sequence[Report]) -> Delays:
    """What both ends saw of calls through a relay with our own settings, put together."""
    policy = CallPolicy()
    proof = -(-min(policy.confirm_voiced_ms, policy.confirm_vowel_ms) // FRAME_MS)
    names = {call["caller"]: pseudonym(call["caller"]) for call in calls}
    return join(calls, sessions, proof_frames=proof, names=names)


def _why(calls: Sequence[Report]) -> str:
    """What so many calls missed or complained of, the most frequent first."""
    counted = Counter(text for call in calls for text in (*call["missing"], *call["complaints"]))
    told = (f"{count} times {text}" for text, count in counted.most_common())
    return "; ".join(told) or "nobody says why"


async def _lag(metrics_port: int | None) -> dict[float, float]:
    if metrics_port is None:
        return {}
    async with httpx.AsyncClient(trust_env=False) as client:
        return read((await client.get(f"http://127.0.0.1:{metrics_port}/metrics")).text)


def figures(each: Stage, first: Stage) -> dict[str, Figure]:
    """All figures of a stage; memory is counted from the first stage on."""
    units = {"probe": "ms off"}  # a place, not a delay
    found = [figure(name, at, units.get(name, "ms")) for name, at in each.delays.of.items()]
    found.append(figure("cpu", [each.cpu_ms], "ms/s"))
    if each.calls > first.calls:
        more = (each.rss_kib - first.rss_kib) / (each.calls - first.calls)
        found.append(figure("memory", [more], "KiB/call"))
    return {one.name: one for one in found if one is not None}


def faults(each: Stage) -> list[str]:
    """What makes a stage's figures worthless, whatever they are."""
    missing = [f"missing: {what}" for what in each.delays.missing]
    counted = Counter([*missing, *each.complaints])
    found = [f"{count} times {text}" for text, count in counted.items()]
    share = sum(each.busy.values()) / generators_cores(each)
    if share > BUSY:
        found.append(f"the generators took {share:.0%} of their room and were the bottleneck")
    return found


def generators_cores(each: Stage) -> float:
    """How many cores the generators have between them: one, and of the relay's what it leaves."""
    return 1 if each.calls <= CROWD else 2 - each.calls * each.cpu_ms / 1000
