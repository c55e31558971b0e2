"""Is the process alive, and may it be sent calls?

`/healthz` says only that the loop turns. `/readyz` says 503 while the process drains, or when
records have nowhere to go: the platform then sends new calls elsewhere, and running ones go on. A
database that is away is told and is no reason: records wait on disk, and the other processes,
which share it, could do no better.

    {"status":"ready", "calls":3, "database":"ok", "records":"stored", "on_disk":0, "lost":0}

status    ready | draining | refusing
database  ok | away
records   stored | spooling (to the disk) | refusing (the disk is out of order as well)
on_disk   records that wait there; lost: those that were refused for want of room
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from quart import Blueprint, Response, jsonify

from relay.errors import StoreError
from relay.shell.journal import Journal
from relay.switchboard import Asker, Switchboard

PROBE_S: Final = 1.0
PROBE_KEPT_S: Final = 2.0  # anyone may ask; the database is asked this seldom


class Probe:
    """Whether records find their way: the database asked seldom and never for long."""

    def __init__(self, write: Callable[[], None], journal: Journal) -> None:
        """write: a blocking write that leaves nothing behind; raises StoreError."""
        self.journal = journal
        self._write = write
        self._ask = Asker()
        self._lock = trio.Lock()
        self._database = "ok"
        self._fresh_until = float("-inf")

    async def database(self) -> str:
        """ok, or away."""
        async with self._lock:
            if trio.current_time() >= self._fresh_until:
                self._database = await self._look()
                self._fresh_until = trio.current_time() + PROBE_KEPT_S
            return self._database

    async def _look(self) -> str:
        try:
            await self._ask(self._write, PROBE_S)
        except StoreError:
            return "away"
        return "ok"


def blueprint(board: Switchboard, probe: Probe) -> Blueprint:
    """GET /healthz and /readyz."""
    pages = Blueprint("health", __name__)

    @pages.get("/healthz")
    async def healthz() -> Response:
        return jsonify(status="ok")

    @pages.get("/readyz")
    async def readyz() -> Response:
        database, journal = await probe.database(), probe.journal
        records = journal.state()
        status = "refusing" if records == "refusing" else "ready"
        status = "draining" if board.draining else status
        answer = jsonify(
            status=status,
            calls=board.live(),
            database=database,
            records=records,
            on_disk=journal.spooled(),
            lost=journal.refused,
        )
        answer.status_code = 200 if status == "ready" else 503
        return answer

    return pages
