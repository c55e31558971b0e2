"""So many calls at once through our own relay, and what they cost: the cheap measure.

    python bench/_load_stage.py --calls 10,50 --seconds 15
    python bench/_load_stage.py --sockets library,native      before and after, as a ratio

One relay a run, on a core of its own; both ends in one process on the other (_load_ends.py, whose
head says how to set other relays between them). The relay's process id is printed first, so that a
profiler can be set on it while a stage runs. Ends with 1 when anything went wrong in a stage.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import trio

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _latency_machine as machine  # noqa: E402
from bench._latency_phones import ACCOUNT_SID, AUTH_TOKEN, OWN_NUMBER  # noqa: E402
from bench._latency_stats import quantile  # noqa: E402
from bench._load_phone import Stream  # noqa: E402
from bench._program import calls as calls_of  # noqa: E402
from bench._program import one_core, run  # noqa: E402
from bench._relay_process import PUBLIC, running_relay  # noqa: E402
from relay.sim.twilio_net import sign  # noqa: E402

RUN_S: Final = 240.0
POINTS: Final = {"p50": 0.5, "p99": 0.99, "max": 1.0}


class StageError(Exception):
    """The calls did not get as far as to be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One stage. cpu_ms: of the relay, a second of one call; the delays are in ms.

    busy: the generators' share of their core
    others: what part of each core was used by anybody else, the relay's first; of one, the relay's
    """

    calls: int
    cpu_ms: float
    rss_kib: float
    busy: float
    others: tuple[float, ...]
    delays: Mapping[str, list[float]]
    faults: list[str]


async def ring(local: str, count: int, first: int) -> list[Stream]:
    """Have so many calls ring at our relay. Returns the streams that its TwiML asks for.

    Raises StageError when one is not let in.
    """
    streams = []
    url = f"{PUBLIC}/twilio/incoming"
    async with httpx.AsyncClient(trust_env=False) as client:
        for number in range(first, first + count):
            caller, call_sid = f"+1415{number:07d}", f"CA{number:032x}"
            form = [
                ("CallSid", call_sid),
                ("AccountSid", ACCOUNT_SID),
                ("From", caller),
                ("To", OWN_NUMBER),
                ("CallStatus", "ringing"),
                ("Direction", "inbound"),
            ]
            headers = {"X-Twilio-Signature": sign(AUTH_TOKEN, url, form)}
            try:
                answer = await client.post(
                    f"{local}/twilio/incoming", data=dict(form), headers=headers
                )
            except httpx.TransportError as fault:
                why = str(fault) or type(fault).__name__
                raise StageError(f"call {number - first + 1} rang in vain: {why}") from None
            found = re.search(r'<Stream url="([^"]+)"', answer.text)
            if found is None:
                raise StageError(f"call {number - first + 1} was not let in")
            took_ms = answer.elapsed.total_seconds() * 1000
            here, there = urlsplit(local), urlsplit(found[1])
            signed = {"X-Twilio-Signature": sign(AUTH_TOKEN, found[1])}
            streams.append(
                Stream(
                    here.hostname or "",
                    here.port or 80,
                    there.path,
                    signed,
                    call_sid,
                    caller,
                    took_ms,
                )
            )
    return streams


async def stage(
    ends: machine.Lines, streams: list[Stream], seconds: float, pid: int, cores: machine.Cores
) -> Measured:
    """Let the calls talk, and watch the process between their ends. Raises StageError."""
    samples: list[machine.Sample] = []
    known = [core for core in (cores.relay, cores.others) if core is not None]
    whole: dict[int, list[machine.Sample]] = {core: [] for core in known}
    asked = json.dumps({"streams": [asdict(each) for each in streams], "seconds": seconds})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.watch, partial(machine.sample, pid), samples)
        for core, taken in whole.items():
            nursery.start_soon(machine.watch, partial(machine.core_sample, core), taken)
        seen = await _seen(ends, asked.encode())
        nursery.cancel_scope.cancel()
    if isinstance(seen, str):
        raise StageError(seen)
    window = machine.within(samples, seen["window"])
    calls = len(streams)
    if len(window) < 2:
        raise StageError("; ".join(sorted(set(seen["faults"]))) or "it was over at once")
    ours = machine.cpu_share(window)
    uses = {cores.relay: ours, cores.others: 1000 * seen["busy"]}
    others = tuple(
        max(0.0, machine.cpu_share(machine.within(taken, seen["window"])) - uses[core]) / 1000
        for core, taken in whole.items()
    )
    webhook = [each.rung for each in streams if each.rung is not None]
    return Measured(
        calls,
        ours / calls,
        max(each.rss_kib for each in window),
        seen["busy"],
        others,
        {**seen["delays"], "webhook": webhook},
        seen["faults"],
    )


async def _seen(ends: machine.Lines, asked: bytes) -> dict[str, Any] | str:
    """What the generators saw, or why they said nothing: a stage's end, and not the run's."""
    try:
        seen: dict[str, Any] = await ends.ask(RUN_S, asked)
    except machine.SilentError as silent:
        return str(silent)
    return seen


def show(each: Measured) -> str:
    cost = f"cpu {each.cpu_ms:.2f} ms/s a call, rss {each.rss_kib / 1024:.0f} MiB"
    lines = [f"{each.calls} calls: {cost}, generators {each.busy:.0%} of their core"]
    for name, values in each.delays.items():
        if values:
            ordered = sorted(values)
            points = ", ".join(f"{p} {quantile(ordered, q):.2f}" for p, q in POINTS.items())
            lines.append(f"    {name:9} n {len(values):7}  {points}")
    lines += [f"    FAULT {text}" for text in sorted(set(each.faults))]
    return "\n".join(lines)


async def main(calls: list[int], seconds: float, kinds: list[str]) -> int:
    cores = machine.share_out()
    process = await machine.begin([str(HERE / "_load_ends.py")], cores.others)
    try:
        ends = machine.Lines(process, "the generators")
        port = (await ends.next(10))["port"]
        measured = {
            kind: await stages(ends, port, cores=cores, calls=calls, seconds=seconds, kind=kind)
            for kind in kinds
        }
    finally:
        await machine.end(process)
    for kind in kinds[1:]:
        pairs = zip(measured[kind], measured[kinds[0]], strict=True)
        ratios = (f"{mine.cpu_ms / first.cpu_ms:.2f}" for mine, first in pairs)
        print(f"cpu, {kind} / {kinds[0]}: {', '.join(ratios)}")
    return int(any(each.faults for found in measured.values() for each in found))


async def stages(
    ends: machine.Lines,
    port: int,
    *,
    cores: machine.Cores,
    calls: list[int],
    seconds: float,
    kind: str,
) -> list[Measured]:
    """All stages through one relay with sockets of this kind."""
    found, first = [], 1
    with tempfile.TemporaryDirectory() as name:
        settings = {"WEBSOCKETS": kind}
        opened = running_relay(port, cores.relay, Path(name), settings=settings)
        async with opened as (relay, local):
            print(f"relay: {relay.pid} {kind}", flush=True)
            for count in calls:
                streams = await ring(local, count, first)
                first += count
                measured = await stage(ends, streams, seconds, relay.pid, cores)
                print(show(measured), flush=True)
                found.append(measured)
                await trio.sleep(3)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="So many calls at once, and what they cost.")
    parser.add_argument("--calls", type=calls_of, default=[10, 50], help="at once, in turn (10,50)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each stage's window")
    parser.add_argument("--sockets", default="native", help="native, library, or both by commas")
    given = parser.parse_args()
    one_core()
    try:
        sys.exit(run(main, given.calls, given.seconds, given.sockets.split(",")))
    except StageError as failed:
        sys.exit(f"FAULT    {failed}")
