"""Killed, cut off and brought back: what was promised is there, and it is there once.

CRASH_KILLS, OUTAGE_S and OUTAGE_CALLS make these longer: `make crash`.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

from relay.adapters.store import open_store, upgrade
from relay.core.records import CallEnded, CallOpened, TranscriptLine
from relay.ports import Entry
from relay.shell.journal import Journal
from relay.shell.spool import open_spool
from tests.databases import rows

OUTAGE_S = float(os.environ.get("OUTAGE_S", "2"))
KILLS = int(os.environ.get("CRASH_KILLS", "5"))
PROMISED = 40
START_S = 60  # ends a hang
CHILD = Path(__file__).with_name("crash_child.py")
ROOT = Path(__file__).parents[2]


class Lives:
    """The process that has the lives, and what they have promised."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.acked: dict[str, int] = {}
        self.told: set[str] = set()
        self.killed = 0
        self._buffer = b""

    def ask(self, command: str) -> None:
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def until(self, word: str, timeout_s: float) -> int:
        """Take note of promises until a line begins so. Returns its number."""
        deadline = time.monotonic() + timeout_s
        while True:
            kind, first = self._note(self._line(deadline))
            if kind == word:
                return int(first)

    def _note(self, line: str) -> tuple[str, str]:
        kind, first, *rest = line.split()
        match kind:
            case "ack":
                self.acked[first] = max(self.acked.get(first, 0), int(rest[0]))
            case "told":
                self.told.add(first)
        return kind, first

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            assert ready, "the process says nothing"
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            assert more, "the process is gone"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def live(self, seed: int, told: int, seconds: float) -> None:
        """Let one live until it has told so many callers, and so long; then kill it.

        All so far have promised PROMISED records each by then, unless it has died by itself in a
        write.
        """
        self.ask(f"run {seed}")
        pid = self.until("pid", START_S)
        enough, deadline = len(self.told) + told, time.monotonic() + START_S
        promised = PROMISED * (self.killed + 1)
        while not _dead(pid) and (len(self.told) < enough or sum(self.acked.values()) <= promised):
            assert time.monotonic() < deadline, "it gets nothing done"
            if select.select([self.process.stdout], [], [], 0.05)[0] or b"\n" in self._buffer:
                self._note(self._line(deadline))
        if _dead(pid):
            seconds = 0.0
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        self.ask("reap")
        assert self.until("over", START_S) == -signal.SIGKILL
        self.killed += 1


def _dead(pid: int) -> bool:
    """Not there any more, but for whoever reaps it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@contextmanager
def lives(url: str, folder: Path) -> Iterator[Lives]:
    business = folder / "business.db"
    connection = sqlite3.connect(business)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE acts (key TEXT PRIMARY KEY, what TEXT)")
    connection.close()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, CHILD, url, folder / "spool", business],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process, log:
        yield Lives(process)
        process.stdin.close()


def test_nothing_that_was_promised_is_lost_by_kills_and_nothing_is_there_twice(
    database_url: str, tmp_path: Path
) -> None:
    dice = random.Random(KILLS)
    with lives(database_url, tmp_path) as crowd:
        for seed in range(KILLS):
            crowd.live(seed, dice.randint(1, 5), dice.uniform(0, 0.4))
        crowd.ask("drain")
        crowd.ask("reap")
        assert crowd.until("over", 4 * START_S) == 0, (tmp_path / "log").read_text()[-2000:]
    assert crowd.killed == KILLS
    assert list((tmp_path / "spool").glob("*.spool")) == []
    _check_lines(database_url, crowd)
    _check_writes(database_url, tmp_path, crowd)
    sys.stdout.write(
        f"{KILLS} kills: {sum(crowd.acked.values())} acknowledged records of"
        f" {len(rows(database_url, 'transcripts'))} stored, {len(crowd.told)} bookings told of"
        f" {len(rows(database_url, 'intents'))} made\n"
    )


def _check_lines(url: str, crowd: Lives) -> None:
    stored: dict[str, set[int]] = {}
    lines = rows(url, "transcripts")
    for line in lines:
        number = line["position"]
        assert line["item_id"] == f"i{number}"
        assert line["heard_text"] == f"{line['call_sid']} says {number}", "whole, and its own"
        stored.setdefault(line["call_sid"], set()).add(number)
    assert sum(map(len, stored.values())) == len(lines), "none twice"
    assert sum(crowd.acked.values()) > PROMISED * KILLS / 2, "a test of next to nothing"
    for sid, count in crowd.acked.items():
        assert set(range(count)) <= stored.get(sid, set()), sid
    calls = {row["call_sid"] for row in rows(url, "calls")}
    assert set(crowd.acked) <= calls


def _check_writes(url: str, folder: Path, crowd: Lives) -> None:
    connection = sqlite3.connect(folder / "business.db")
    acted = dict(connection.execute("SELECT key, what FROM acts"))
    connection.close()
    intents = {row["key"]: row for row in rows(url, "intents")}
    assert len(crowd.told) > KILLS
    assert crowd.told <= set(acted), "what a caller was told has happened"
    assert set(acted) == set(intents), "what was done, or begun, was finished and written down"
    assert {row["status"] for row in intents.values()} == {"done"}
    for key, row in intents.items():
        assert row["output"] == f'{{"booked":"{acted[key]}"}}'
    told = Counter(row["text"] for row in rows(url, "notices"))
    assert set(told) == {f"booked {what}" for what in acted.values()}
    finals = {row["arguments"] for row in rows(url, "tool_calls") if row["status"] == "ok"}
    assert finals == {row["arguments"] for row in intents.values()}
    assert {row["outcome"] for row in intents.values()} == {"booked"}
    assert max(told.values()) == 1, "the owner hears of each once"


# ---- PostgreSQL goes away under many calls --------------------------------------------------

CALLS = int(os.environ.get("OUTAGE_CALLS", "20"))
FRAME_S = 0.02
BEFORE_S = 1.5


class Aside:
    """Passes on what a store or a spool is asked, and notes who asks: never the loop's thread."""

    def __init__(self, what: Any, asked_in: set[int]) -> None:
        self._what = what
        self._asked_in = asked_in

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._what, name)
        if not callable(found):
            return found

        def ask(*arguments: Any) -> Any:
            self._asked_in.add(threading.get_ident())
            return found(*arguments)

        return ask


class Load:
    """CALLS calls on one loop: frames, and a record now and then."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.kept = 0
        self.frames = 0
        self.states: set[str] = set()
        self.hung_up = trio.Event()

    async def call(self, n: int) -> None:
        sid = f"CA{n}"
        self.keep(sid, CallOpened(0.0, f"MZ{n}", "+15551230001"))
        due, count = trio.current_time() + n * FRAME_S / CALLS, 0
        while not self.hung_up.is_set():
            due += FRAME_S
            await trio.sleep_until(due)
            self.frames += 1
            count += 1
            if count % 25 == 0:
                text = f"{sid} says {count}"
                self.keep(sid, TranscriptLine(0.0, f"i{count}", "caller", count, text, text))
                self.states.add(self.journal.state())
        self.keep(sid, CallEnded(0.0, "resolved", "goodbye", count * 20, 5, True))

    def keep(self, sid: str, record: object) -> None:
        self.journal.keep(Entry(sid, datetime.now(UTC), record))
        self.kept += 1


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_no_call_notices_that_the_database_is_away_and_all_rows_arrive(
    tmp_path: Path, postgres: ModuleType, how: str
) -> None:
    """Stopped: connections break. Frozen: they are open, and nobody answers.

    The loop asks neither database nor disk itself, so that its frames go on whatever they do.
    """
    with postgres.server(postgres.KEEPING) as server:
        url = postgres.url(server.home, "postgres")
        await trio.to_thread.run_sync(upgrade, url)
        store, spool = open_store(url), open_spool(tmp_path)
        asked_in: set[int] = set()
        load = Load(Journal(Aside(store, asked_in), Aside(spool, asked_in)))
        async with trio.open_nursery() as tasks:
            tasks.start_soon(load.journal.run)
            async with trio.open_nursery() as calls:
                for n in range(CALLS):
                    calls.start_soon(load.call, n)
                await trio.sleep(BEFORE_S)
                before = load.frames
                await trio.to_thread.run_sync(server.stop if how == "stopped" else server.freeze)
                await trio.sleep(OUTAGE_S)
                away = load.frames - before
                assert load.states >= {"stored", "spooling"}
                assert spool.waiting > CALLS
                await trio.to_thread.run_sync(server.start if how == "stopped" else server.thaw)
                await trio.sleep(BEFORE_S / 2)
                load.hung_up.set()
            with trio.fail_after(60):
                await load.journal.drained()
            tasks.cancel_scope.cancel()
        store.close()
        spool.close()
        assert len(rows(url, "calls")) == CALLS
        assert len(rows(url, "call_outcomes")) == CALLS
        assert len(rows(url, "transcripts")) == load.kept - 2 * CALLS
    assert load.journal.refused == 0
    assert "refusing" not in load.states
    assert away > 0.5 * CALLS * OUTAGE_S / FRAME_S
    assert asked_in
    assert threading.get_ident() not in asked_in
