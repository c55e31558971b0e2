"""Does anything stay behind? `make soak SOAK_S=600`

A real `relay serve` for so many seconds, fifty calls at a time, one after another on each line:
callers who talk, interrupt, are cut off, send nonsense, press keys; a model that fails, stalls and
dies; humans who take calls or do not; REST that errs; strangers at the door. All over real sockets,
on the real clock. Prints a table, and ends with 1 when one of these does not hold:

    memory    what the relay has resident at the end is within 5 % of what it had after warming up
    sockets, other files, threads, tasks
              as many after the last call as before the first, once everybody is gone
    outcomes  every call that was let in has one outcome in the database, and none is missing
    lines     each stream ended with one "call over", and no call with "call failed"
    exit      0, on SIGTERM
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import trio

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _soak_ends as ends  # noqa: E402
from bench._program import run  # noqa: E402
from bench._relay_process import LOG, died_of, free_port, running_relay  # noqa: E402
from relay.sim.realtime_listen import listen  # noqa: E402
from relay.sim.twilio_cloud import TwilioCloud  # noqa: E402
from relay.sim.twilio_net import open_internet  # noqa: E402
from relay.sim.twilio_rest import RestApi, RestFault, open_rest  # noqa: E402
from relay.sim.twilio_rest_server import serve_rest  # noqa: E402

LINES: Final = 50
WARM_S: Final = 15.0  # before the first count: what a process makes once, it has made by then
WARMED: Final = 0.3  # of the run: from here on memory shall be flat
MEMORY: Final = 0.05
LEAST_S: Final = 10.0
QUIET_S: Final = 15.0  # idle worker threads end after ten
END_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Count:
    """What a process holds. files: neither sockets nor the database, whose pool is bounded."""

    at: float
    rss_kib: int
    sockets: int
    files: int
    threads: int
    tasks: int


class Relay:
    """The process, seen from outside."""

    def __init__(self, process: trio.Process, http: httpx.AsyncClient, metrics: str) -> None:
        self.process, self._http, self._metrics = process, http, metrics

    async def count(self) -> Count:
        folder = Path(f"/proc/{self.process.pid}")
        page = (await self._http.get(self._metrics)).text
        tasks = re.search(r"^relay_tasks (\S+)$", page, re.MULTILINE)
        status = (folder / "status").read_text(encoding="ascii")
        kinds = [_kind(each) for each in (folder / "fd").iterdir()]
        return Count(
            time.monotonic(),
            _field(status, "VmRSS"),
            kinds.count("socket"),
            len(kinds) - kinds.count("socket") - kinds.count("database"),
            _field(status, "Threads"),
            int(float(tasks[1])) if tasks else -1,
        )

    async def settled(self) -> Count:
        """A count that does not change any more, or the last one when it goes on changing."""
        await trio.sleep(QUIET_S)
        counts = [await self.count()]
        for _ in range(20):
            await trio.sleep(1)
            counts.append(await self.count())
            if _held(counts[-1]) == _held(counts[-2]):
                break
        return counts[-1]


def _kind(descriptor: Path) -> str:
    try:
        target = str(descriptor.readlink())
        return "database" if "relay.db" in target else target.partition(":")[0]
    except OSError:  # closed meanwhile
        return "gone"


def _field(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split()[0])


def _held(count: Count) -> tuple[int, ...]:
    return count.sockets, count.files, count.threads, count.tasks


def settings(metrics: int, rest: str) -> dict[str, str]:
    """What this relay has otherwise than the benchmarks' usual one."""
    return {
        "METRICS_PORT": str(metrics),
        "TWILIO_ACCOUNT_SID": ends.ACCOUNT,
        "TWILIO_AUTH_TOKEN": ends.TOKEN,
        "TWILIO_PHONE_NUMBER": ends.OURS,
        "TWILIO_API_URL": rest,
        "HUMAN_TRANSFER_NUMBER": ends.HUMAN,
        "MAX_CALLS_PER_NUMBER_HOUR": "10",  # as it is by itself: nobody here calls twice
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }


async def soak(seconds: float, seed: int, folder: Path) -> list[tuple[str, str, bool]]:
    """Run it. Returns the table: what, how it was, whether it holds."""
    draw, phones, places = random.Random(seed), {}, dict[str, str]()
    metrics = free_port()
    async with (
        open_internet(places) as internet,
        httpx.AsyncClient(trust_env=False) as http,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ends.change_shifts, phones, draw)
        cloud = TwilioCloud(ends.ACCOUNT, ends.TOKEN, internet, phones=phones)
        async with open_rest(cloud, latency_s=0.2) as rest:
            rest_url = await nursery.start(serve_rest, rest)
            watch = partial(ends.lose, draw=draw)
            serve_model = partial(listen, lambda: ends.brain(draw), watch, options=ends.OPTIONS)
            model = await nursery.start(serve_model)
            own = settings(metrics, rest_url)
            async with running_relay(model, None, folder, own, may_end=True) as (process, local):
                places[ends.PUBLIC], port = local, urlsplit(local).port or 0
                relay = Relay(process, http, f"http://127.0.0.1:{metrics}/metrics")
                callers = ends.Callers(cloud, draw)
                try:
                    await _call(callers, WARM_S, port, rest)
                    before = await relay.settled()
                    samples = await _watched(callers, seconds, port, rest, relay)
                    after = await relay.settled()
                finally:
                    if died := died_of(process, folder / LOG):
                        raise SystemExit(f"the relay {died}")
                process.terminate()
                with trio.move_on_after(END_S):
                    await process.wait()
                status = process.returncode
        nursery.cancel_scope.cancel()
    return [
        ("calls", ", ".join(f"{n} {what}" for what, n in callers.did.items()), True),
        *_memory(samples),
        *_leaks(before, after),
        _outcomes(callers.placed, folder / "relay.db"),
        *_log(_logged(folder / LOG)),
        ("exit status", "none: it did not end" if status is None else str(status), status == 0),
    ]


def _logged(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def _call(callers: ends.Callers, seconds: float, port: int, rest: RestApi) -> None:
    """Fifty lines are busy for so long, then everybody is heard out."""
    async with trio.open_nursery() as trouble:
        trouble.start_soon(ends.knock, port, callers.draw)
        trouble.start_soon(_err, rest, callers.draw)
        until = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for _ in range(LINES):
                nursery.start_soon(callers.keep_calling, until)
        trouble.cancel_scope.cancel()


async def _err(rest: RestApi, draw: random.Random) -> None:
    """One REST request in a while goes wrong."""
    faults = [RestFault(status=429, code=20429), RestFault(status=500), RestFault(status=503)]
    while True:
        await trio.sleep(draw.uniform(1, 5))
        rest.fail(draw.choice(["calls.create", "calls.update"]), draw.choice(faults))
        rest.requests.clear()


async def _watched(
    callers: ends.Callers, seconds: float, port: int, rest: RestApi, relay: Relay
) -> list[Count]:
    samples: list[Count] = []

    async def watch() -> None:
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            await trio.sleep(1)
            samples.append(await relay.count())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await _call(callers, seconds, port, rest)
    return samples


# ---- the verdict ----------------------------------------------------------------------------


def _memory(samples: Sequence[Count]) -> list[tuple[str, str, bool]]:
    flat = samples[int(len(samples) * WARMED) :]
    part = max(1, len(flat) // 4)
    first = median(each.rss_kib for each in flat[:part]) / 1024
    last = median(each.rss_kib for each in flat[-part:]) / 1024
    grown = last / first - 1
    tenth = max(1, len(samples) // 10)
    course = [round(each.rss_kib / 1024) for each in samples[tenth - 1 :: tenth]]
    peak = max(each.sockets for each in samples)
    return [
        ("memory, warm → end", f"{first:.1f} → {last:.1f} MiB ({grown:+.1%})", grown <= MEMORY),
        ("memory on the way", " ".join(map(str, course)), True),
        ("sockets at the most", str(peak), True),
    ]


def _leaks(before: Count, after: Count) -> list[tuple[str, str, bool]]:
    rows = []
    for name in ("sockets", "files", "threads", "tasks"):
        had, has = getattr(before, name), getattr(after, name)
        rows.append((f"{name}, before → after", f"{had} → {has}", 0 <= has <= had))
    return rows


def _outcomes(placed: Sequence[str], database: Path) -> tuple[str, str, bool]:
    with sqlite3.connect(database) as connection:
        found = dict(connection.execute("SELECT call_sid, outcome FROM call_outcomes"))
        rows = connection.execute("SELECT count(*) FROM call_outcomes").fetchone()[0]
    connection.close()
    missing = [sid for sid in placed if not found.get(sid)]
    kinds = Counter(found[sid] for sid in placed if sid in found)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    text = f"{len(missing)} of {len(placed)} without; {shown}"
    return "outcomes", text, not missing and rows == len(found)


def _log(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    events = Counter(line["event"] for line in lines)
    failed = events["call failed"] + events["! connection failed"] + events["tool failed"]
    errors = [line for line in lines if line.get("level") in {"error", "critical"}]
    kinds = ", ".join(sorted({line["event"] for line in errors})) or "none"
    begun, over = events["call began"], events["call over"]
    return [
        ("streams, begun and over", f"{begun}, {over}", 0 < begun == over),
        ("calls, connections, tools that broke", str(failed), failed == 0),
        ("errors in the log", f"{len(errors)}: {kinds}", not errors),
    ]


def main() -> int:
    seconds = float(os.environ.get("SOAK_S", "600"))
    if seconds < LEAST_S:
        raise SystemExit(f"SOAK_S is {seconds:g}: below {LEAST_S:g} there is no course of memory")
    seed = int(os.environ.get("SOAK_SEED", str(random.randrange(10**6))))
    print(f"soaking for {seconds:.0f} s, {LINES} calls at a time; SOAK_SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        rows = run(soak, seconds, seed, Path(name))
    width = max(len(what) for what, _, _ in rows)
    for what, how, holds in rows:
        print(f"{'ok' if holds else 'NO':3} {what:{width}}  {how}")
    return 0 if all(holds for _, _, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
