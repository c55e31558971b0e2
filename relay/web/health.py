"""Is the process alive, and may it be sent calls?

`/healthz` says only that the loop turns. `/readyz` says 503 while the process drains, or when the
database cannot be written: the platform then sends new calls elsewhere, and running ones go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from quart import Blueprint, Response, jsonify

from relay.errors import StoreError
from relay.switchboard import Asker, Switchboard

PROBE_S: Final = 1.0
PROBE_KEPT_S: Final = 2.0  # anyone may ask; the database is asked this seldom


class Probe:
    """Whether the database can be written, asked seldom and never for long."""

    def __init__(self, write: Callable[[], None]) -> None:
        """write: a blocking write that leaves nothing behind; raises StoreError."""
        self._write = write
        self._ask = Asker()
        self._lock = trio.Lock()
        self._fault = ""
        self._fresh_until = float("-inf")

    async def fault(self) -> str:
        """What is wrong, "" when nothing is."""
        async with self._lock:
            if trio.current_time() >= self._fresh_until:
                self._fault = await self._look()
                self._fresh_until = trio.current_time() + PROBE_KEPT_S
            return self._fault

    async def _look(self) -> str:
        try:
            await self._ask(self._write, PROBE_S)
        except StoreError:
            return "database"
        return ""


def blueprint(board: Switchboard, probe: Probe) -> Blueprint:
    """GET /healthz and /readyz."""
    pages = Blueprint("health", __name__)

    @pages.get("/healthz")
    async def healthz() -> Response:
        return jsonify(status="ok")

    @pages.get("/readyz")
    async def readyz() -> Response:
        fault = "draining" if board.draining else await probe.fault()
        answer = jsonify(status=fault or "ready", calls=board.live())
        answer.status_code = 503 if fault else 200
        return answer

    return pages
