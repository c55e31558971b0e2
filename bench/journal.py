"""What it takes to write calls down, and what callers notice of a database that is away.

    python bench/journal.py                      two minutes; needs a PostgreSQL server
    python bench/journal.py --out bench/results  also writes journal.json

A row's way: a call keeps a record (memory) ─▶ a batch of up to 100, or of 50 ms ─▶ one transaction
in a thread. With the database away, after a second: one append and one fsync of the spool ─▶ when
it is back, batches of up to 500 from there.

    keep        what one record costs the loop that carries the audio
    stored      records a second from memory into the database, synchronously committed
    spooled     records a second from memory to the disk, fsynced, with the database away
    replayed    records a second from the disk into the database
    safe        one lone record, from `keep` to where no kill takes it: stored, or spooled

Then the whole relay on PostgreSQL, behind the sockets of bench/latency.py, three times: with the
database up, stopped, and up again. The two times that it is up say what noise is, the first with
what a process does only once. At the end every call's row must be there, those of the calls that
ran without a database among them, and every record of the rates: else it ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
import trio

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _latency_machine as machine  # noqa: E402
from bench._latency_stage import Stage, faults, figures, stage  # noqa: E402
from bench._latency_stats import quantile  # noqa: E402
from bench._program import need_postgres, one_core, run  # noqa: E402
from bench._relay_process import START_S, running_relay  # noqa: E402
from relay.adapters.store import SqlStore, open_store, upgrade  # noqa: E402
from relay.core.records import TranscriptLine  # noqa: E402
from relay.errors import StoreError  # noqa: E402
from relay.ports import Entry  # noqa: E402
from relay.shell.journal import Journal  # noqa: E402
from relay.shell.spool import open_spool  # noqa: E402
from tests.adapters import postgres  # noqa: E402
from tests.databases import rows  # noqa: E402

RECORDS: Final = 10_000
LONE: Final = 30
CALLS, TURNS, KNOCKS = 6, 2, 2
# Its own promises kept: nothing is switched off.
FAITHFUL: Final = ["--listen_addresses=", "--max_connections=60"]
AUDIO: Final = ("greeting", "inbound", "outbound", "turn", "answer, ours", "barge-in, ours")
SAID: Final = "I would like to come in on Tuesday morning, if that is possible. At nine, say."


def entry(number: int) -> Entry:
    line = TranscriptLine(1.0, f"item_{number}", "caller", number, SAID, SAID)
    return Entry(f"CA{number % 50:032}", datetime.now(UTC), line)


@dataclass
class Switch:
    """A store that can be away."""

    store: SqlStore
    away: bool = False

    def write(self, entries: Sequence[Entry]) -> None:
        if self.away:
            raise StoreError("switched off")
        self.store.write(entries)


@dataclass
class Bench:
    """A journal on a database, and a clock around its work."""

    journal: Journal
    switch: Switch
    figures: dict[str, float] = field(default_factory=dict)

    async def rates(self) -> None:
        await self._rate("stored", self.journal.drained)
        self.switch.away = True
        await self._lone("safe, spooled")
        await self._rate("spooled", self.journal.flushed)
        self.switch.away = False
        begun, waiting = time.monotonic(), self.journal.spooled()
        await self.journal.drained()
        self.figures["replayed"] = waiting / (time.monotonic() - begun)
        await self._lone("safe, stored")

    async def _rate(self, name: str, done: Callable[[], Awaitable[None]]) -> None:
        entries = [entry(number) for number in range(RECORDS)]
        begun = time.monotonic()
        for each in entries:
            self.journal.keep(each)
        kept = time.monotonic()
        await done()
        self.figures[name] = RECORDS / (time.monotonic() - begun)
        self.figures["keep"] = 1e6 * (kept - begun) / RECORDS

    async def _lone(self, name: str) -> None:
        took = []
        for number in range(LONE + 1):
            begun = time.monotonic()
            self.journal.keep(entry(RECORDS + number))
            await self.journal.flushed()
            took.append(1000 * (time.monotonic() - begun))
        took = sorted(took[1:])  # the first one makes the file, or connects
        self.figures[f"{name} p50"] = quantile(took, 0.5)
        self.figures[f"{name} p99"] = quantile(took, 0.99)


async def measured(url: str, folder: Path) -> dict[str, float]:
    """The rates of one database. Raises SystemExit when a record is not in it in the end."""
    await trio.to_thread.run_sync(upgrade, url)
    store, spool = open_store(url), open_spool(folder / "spool")
    switch = Switch(store)
    bench = Bench(Journal(switch, spool), switch)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.journal.run)
        await bench.rates()
        nursery.cancel_scope.cancel()
    store.close()
    spool.close()
    there, kept = len(rows(url, "transcripts")), RECORDS + LONE + 1
    if there != kept:
        raise SystemExit(f"{there} of {kept} records are in {url.partition(':')[0]}")
    return bench.figures


# ---- the audio path -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """p99 of what callers notice, in ms, with the database up, stopped, and up again."""

    stages: dict[str, dict[str, float]]
    faults: list[str]
    rows: int
    calls: int


async def listened(cores: machine.Cores) -> Heard:
    with postgres.server(FAITHFUL) as server, tempfile.TemporaryDirectory() as name:
        folder, url = Path(name), postgres.url(server.home, "postgres")
        process = await machine.begin([str(HERE / "_latency_model.py")], cores.others)
        try:
            model = machine.Lines(process, "the simulated model")
            port = (await model.next(START_S))["port"]
            relay_at = running_relay(port, cores.relay, folder, settings={"DATABASE_URL": url})
            async with relay_at as (relay, local):

                async def talked() -> Stage:
                    return await stage(
                        CALLS,
                        TURNS,
                        knocks=KNOCKS,
                        local=local,
                        relay=relay,
                        model=model,
                        cores=cores,
                        echoes=[],
                    )

                up = await talked()
                await trio.to_thread.run_sync(server.stop)
                stopped = await talked()
                await trio.to_thread.run_sync(server.start)
                again = await talked()
        finally:
            await machine.end(process)
        stages = {"up": up, "stopped": stopped, "up again": again}
        return Heard(
            {label: _p99(each) for label, each in stages.items()},
            [f"{label}: {text}" for label, each in stages.items() for text in faults(each)],
            len(rows(url, "call_outcomes")),
            3 * (CALLS + KNOCKS),
        )


def _p99(each: Stage) -> dict[str, float]:
    found = figures(each, each)
    return {name: found[name].points["p99"] for name in AUDIO if name in found}


# ---- the report -----------------------------------------------------------------------------


@contextmanager
def databases() -> Iterator[dict[str, tuple[str, Path]]]:
    with (
        tempfile.TemporaryDirectory() as first,
        tempfile.TemporaryDirectory() as second,
        postgres.server(FAITHFUL) as server,
    ):
        yield {
            "sqlite": (f"sqlite:///{first}/relay.db", Path(first)),
            "postgresql": (postgres.url(server.home, "postgres"), Path(second)),
        }


def show(rates: dict[str, dict[str, float]], heard: Heard) -> None:
    units = {"stored": "records/s", "spooled": "records/s", "replayed": "records/s", "keep": "µs"}
    for name in rates["sqlite"]:
        line = "  ".join(f"{database} {each[name]:10.1f}" for database, each in rates.items())
        print(f"{name:20} {line}  {units.get(name, 'ms')}")
    print(f"\np99 at {CALLS} calls, ms".ljust(24), *(f"{label:>9}" for label in heard.stages))
    for name in AUDIO:
        points = (f"{each.get(name, float('nan')):9.2f}" for each in heard.stages.values())
        print(f"{name:23}", *points)
    print(f"\n{heard.rows} of {heard.calls} calls have their outcome in the database")
    for fault in heard.faults:
        print(f"FAULT    {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the journal on both databases.")
    parser.add_argument("--out", type=Path, help="folder for journal.json")
    out = parser.parse_args().out
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    need_postgres()
    one_core()
    with databases() as all_of_them:
        rates = {name: run(measured, *where) for name, where in all_of_them.items()}
    cores = machine.share_out()
    allowed = os.sched_getaffinity(0)
    if cores.others is not None:
        os.sched_setaffinity(0, {cores.others})
    heard = run(listened, cores)
    os.sched_setaffinity(0, allowed)
    show(rates, heard)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        whole: dict[str, Any] = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "records": RECORDS,
            "rates": rates,
            "calls": CALLS,
            "p99_ms": heard.stages,
            "rows": heard.rows,
            "calls_in_all": heard.calls,
            "faults": heard.faults,
        }
        text = json.dumps(whole, indent=2, ensure_ascii=False)
        (out / "journal.json").write_text(f"{text}\n", encoding="utf-8")
        print(f"written: {out / 'journal.json'}")
    return 1 if heard.faults or heard.rows != heard.calls else 0


if __name__ == "__main__":
    sys.exit(main())
