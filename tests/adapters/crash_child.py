"""A process to be killed: 200 calls that write through the journal, and wish for things.

    python crash_child.py URL SPOOL BUSINESS     then a line on stdin for each life:
    run SEED     fork a process that lives until it is killed; answers `pid NUMBER`
    drain        fork one that finishes what the others left, and ends; answers likewise
    reap         wait for it; answers `over EXITCODE`

What a life may rely on it writes to stdout when it may: `ack CALL COUNT` once the journal says
that the first COUNT lines of a call are safe, `told KEY` once a caller has been told of a booking.
The importing is done once, here; a life is a fork, and begins in a millisecond.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
import trio

from relay.adapters.store import SqlStore, open_store
from relay.core.commands import RunTool
from relay.core.events import ToolFinished
from relay.core.records import CallOpened, OwnerNotice, ToolCalled, TranscriptLine
from relay.errors import StoreError
from relay.ports import Entry
from relay.shell import intents as intents_module
from relay.shell.disk import Disk
from relay.shell.intents import Intents
from relay.shell.journal import Journal
from relay.shell.spool import open_spool
from relay.shell.tool_runner import UNAVAILABLE, attempt_again, run_tool
from relay.tools.tool import Arguments, ToolPorts, ToolResult, idempotency_key, tool

CALLS = 200
CALLER = "+15551230001"


class Wish(Arguments):
    """Wish for something."""

    what: str


class Flapping:
    """The store, which is away now and then."""

    def __init__(self, store: SqlStore, dice: random.Random) -> None:
        self._store = store
        self._dice = dice
        self._away = dice.random() < 0.5
        self._until = 0.0

    def _asked(self) -> None:
        now = time.monotonic()
        if now > self._until:
            self._until = now + self._dice.uniform(0.02, 0.4)
            self._away = not self._away
        if self._away:
            raise StoreError("away")

    def write(self, entries: Sequence[Entry]) -> None:
        self._asked()
        self._store.write(entries)

    def begin_write(self, entry: Entry) -> object:
        self._asked()
        return self._store.begin_write(entry)

    def unfinished_writes(self, begun_before: datetime) -> object:
        self._asked()
        return self._store.unfinished_writes(begun_before)


class TornDisk(Disk):
    """Dies in the middle of a write, now and then."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def write(self, fd: int, data: bytes) -> None:
        if self._dice.random() < 0.02:
            os.write(fd, data[: self._dice.randrange(len(data))])
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(fd, data)


class Business:
    """Another system, which acts once per key; it is not killed."""

    def __init__(self, path: str, dice: random.Random) -> None:
        self._path = path
        self._dice = dice

    async def now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    def act(self, key: str, what: str) -> None:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("INSERT OR IGNORE INTO acts VALUES (?, ?)", (key, what))
        connection.close()

    async def run(self, args: Wish, ports: ToolPorts) -> ToolResult:
        await trio.sleep(self._dice.uniform(0, 0.1))
        await trio.to_thread.run_sync(self.act, ports.key, args.what)
        await trio.sleep(self._dice.uniform(0, 0.1))
        return ToolResult({"booked": args.what}, "booked", f"booked {args.what}")


class Life:
    """One process's parts."""

    def __init__(self, url: str, spool: str, business: str, seed: int, *, calm: bool) -> None:
        dice = self.dice = random.Random(seed)
        self.seed = seed
        store = open_store(url)
        self.store = store if calm else Flapping(store, dice)
        self.spool = open_spool(Path(spool), Disk() if calm else TornDisk(dice))
        self.journal = Journal(self.store, self.spool)
        self.intents = Intents(self.store, self.journal, unavailable=UNAVAILABLE)
        self.business = Business(business, dice)
        self.tool = tool("wish", Wish, effect="write", run=self.business.run)
        self.again = partial(attempt_again, tools={"wish": self.tool}, business=self.business)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.journal.run)
            nursery.start_soon(self.intents.finish_others, self.again, self.business)
            for n in range(CALLS):
                nursery.start_soon(self.call, f"CA{self.seed}-{n}")

    def keep(self, sid: str, record: object) -> None:
        self.journal.keep(Entry(sid, datetime.now(UTC), record))

    async def call(self, sid: str) -> None:
        dice, count = self.dice, 0
        self.keep(sid, CallOpened(0.0, f"MZ{sid}", CALLER))
        async with trio.open_nursery() as nursery:
            while True:
                for _ in range(dice.randint(1, 3)):
                    text = f"{sid} says {count}"
                    self.keep(sid, TranscriptLine(0.0, f"i{count}", "caller", count, text, text))
                    count += 1
                if dice.random() < 0.02:
                    nursery.start_soon(self.wish, sid, count)
                await trio.sleep(dice.uniform(0.02, 0.3))
                if dice.random() < 0.3:
                    safe = count
                    await self.journal.flushed()
                    say(f"ack {sid} {safe}")

    async def wish(self, sid: str, number: int) -> None:
        arguments = f'{{"what":"{sid}/{number}"}}'
        key = idempotency_key(sid, "wish", arguments)
        for n in range(self.dice.choice([1, 1, 2])):  # a model that asks again
            call_id = f"call_{number}_{n}"
            self.keep(sid, ToolCalled(0.0, call_id, "wish", arguments, "running"))
            await run_tool(
                self.tool,
                RunTool(call_id, "wish", arguments),
                business=self.business,
                human=None,
                caller=CALLER,
                call_sid=sid,
                intents=self.intents,
                tell=partial(self.heard, sid, arguments, key),
            )

    def heard(self, sid: str, arguments: str, key: str, answer: ToolFinished) -> None:
        """What the core makes of an answer."""
        status = "ok" if answer.ok else "error"
        self.keep(sid, ToolCalled(1.0, answer.call_id, "wish", arguments, status, answer.output))
        if answer.notice:
            self.keep(sid, OwnerNotice(1.0, answer.call_id, answer.outcome, answer.notice))
        if answer.ok:
            say(f"told {key}")

    async def drain(self) -> None:
        """Finish everything that is left."""
        intents_module.ABANDONED_S = intents_module.LOOK_S = 0.05
        intents_module.LAST_WORD_S = 0.05
        with trio.fail_after(200):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.journal.run)
                nursery.start_soon(self.intents.finish_others, self.again, self.business)
                await self.journal.drained()
                await trio.sleep(0.2)
                ask = partial(self.store.unfinished_writes, datetime.now(UTC))
                while await trio.to_thread.run_sync(ask):
                    await trio.sleep(0.05)
                    await self.journal.drained()
                nursery.cancel_scope.cancel()


def say(line: str) -> None:
    """One write to the pipe: whole, or not at all."""
    os.write(1, f"{line}\n".encode())


def live(arguments: list[str], seed: int, *, calm: bool) -> None:
    life = Life(*arguments, seed, calm=calm)
    trio.run(life.drain if calm else life.run)


def main() -> None:
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    pid = 0
    for line in iter(sys.stdin.readline, ""):
        command, _, seed = line.strip().partition(" ")
        if command == "reap":
            say(f"over {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
            continue
        pid = os.fork()
        if pid == 0:
            try:
                live(sys.argv[1:], int(seed or 0), calm=command == "drain")
            finally:
                sys.stderr.flush()
                os._exit(1 if sys.exc_info()[0] else 0)
        say(f"pid {pid}")


if __name__ == "__main__":
    main()
