"""Several relays on one port, one process a core: `relay serve --workers N`.

    parent ─┬─ worker 1 ─┐
            ├─ worker 2 ─┼─ the same HOST and PORT (SO_REUSEPORT): the kernel deals connections out
            └─ worker N ─┘

Workers know nothing of each other but what is in the database, so it has to be PostgreSQL: a call's
webhooks and its streams come to whichever worker the kernel chooses. The parent serves nobody. It
starts a worker again that has ended by itself (its calls go on in the others, relay/returns.py),
each time after a longer pause, and passes signals on. It ends when all of them have, and they end
when it dies: their stdin is a pipe that nobody else holds.

What a process has for itself, a worker has too: its spool, SPOOL_DIR/worker-K, and its metrics on
METRICS_PORT + K - 1. MAX_CALLS and the caps on a number's calls are each worker's own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from relay.config import Settings
from relay.errors import ConfigError
from relay.stop import Stop, end_process_after, end_s, obeyed

PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_S: Final = 60.0  # who has lived this long begins with the first pause again
KILL_S: Final = 3.0  # beyond the time that a worker gives itself
EXIT_CONFIG: Final = 2

_log = structlog.get_logger("relay.workers")


def check(settings: Settings) -> None:
    """Make ready for several processes. Raises ConfigError when these settings are not for them."""
    if settings.database_url.get_secret_value().startswith("sqlite"):
        raise ConfigError("--workers needs a PostgreSQL: several processes cannot share SQLite")
    if settings.port == 0:
        raise ConfigError("--workers needs a PORT that is named: all of them listen there")
    try:  # a worker makes its own folder in here, and no more than that
        settings.spool_folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"SPOOL_DIR {settings.spool_folder} cannot be used: {why}") from None


def of_worker(settings: Settings, number: int) -> Settings:
    """The settings of one worker, counted from 1: those of all, but for what is its own."""
    port = settings.metrics_port
    own = {
        "spool_dir": settings.spool_folder / f"worker-{number}",
        "metrics_port": port + number - 1 if port else port,
    }
    return settings.model_copy(update=own)


class Crew:
    """The workers of one parent."""

    def __init__(self, command: Sequence[str], drain_s: float) -> None:
        """command: starts a worker, once its number is behind it."""
        self._command = command
        self._drain_s = drain_s
        self._running: dict[int, trio.Process] = {}
        self._ending = trio.Event()
        self._told = signal.SIGTERM  # the last signal that was passed on, once we are ending
        self._status = 0

    async def run(self, count: int) -> int:
        """Keep so many workers running until they are told to end. Returns the exit status."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_signals, nursery)
            async with trio.open_nursery() as workers:
                for number in range(1, count + 1):
                    workers.start_soon(self._keep, number)
            nursery.cancel_scope.cancel()
        return self._status

    async def _keep(self, number: int) -> None:
        """Start a worker, and again whenever it ends by itself."""
        failures = 0
        while not self._ending.is_set():
            began = trio.current_time()
            status = await self._live(number)
            if self._ending.is_set() or status == EXIT_CONFIG:
                self._status = self._status or _exit_status(status)
                if not self._ending.is_set():  # told twice, a worker waits for no call
                    self._tell_all(signal.SIGTERM)
                return
            lived_s = trio.current_time() - began
            failures = 0 if lived_s >= STEADY_S else failures
            pause_s = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            _log.error("! worker ended", worker=number, status=status, again_in_s=pause_s)
            with trio.move_on_after(pause_s):
                await self._ending.wait()

    async def _live(self, number: int) -> int:
        """One worker's life. Its stdin ends with us; a terminal's Ctrl-C is ours to pass on."""
        process = await trio.lowlevel.open_process(
            [*self._command, str(number)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._running[number] = process
        if self._ending.is_set():  # it was being started when the others were told
            process.send_signal(self._told)
        _log.info("= worker", worker=number, pid=process.pid)
        try:
            return await process.wait()
        finally:
            del self._running[number]
            if process.stdin is not None:
                await process.stdin.aclose()

    async def _pass_signals(self, nursery: trio.Nursery) -> None:
        with trio.open_signal_receiver(*obeyed()) as received:
            async for number in received:
                _log.info("< signal", signal=signal.Signals(number).name)
                if number != signal.SIGUSR1 and not nursery.cancel_scope.cancel_called:
                    nursery.start_soon(self._kill_late)
                self._tell_all(signal.Signals(number))

    def _tell_all(self, told: signal.Signals) -> None:
        """Pass a signal on; nobody is started again."""
        self._told = told
        self._ending.set()
        for process in self._running.values():
            process.send_signal(told)

    async def _kill_late(self) -> None:
        await trio.sleep(end_s(self._drain_s) + KILL_S)
        for process in self._running.values():
            process.kill()


def _exit_status(status: int) -> int:
    """What a worker's end is to the shell; one that we told before it could listen ended well."""
    if -status in obeyed():
        return 0
    return status if status >= 0 else 128 - status


def command() -> list[str]:
    """What starts a worker."""
    return [sys.executable, "-m", "relay", "serve", "--worker"]


async def end_with_parent(stop: Stop, drain_s: float) -> None:
    """Ask a worker to stop when the parent is gone: the pipe that is its stdin ends then. As with a
    signal, it does end: nobody is left who would kill it."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as pipe:
        async for _ in pipe:
            pass
    _log.warning("! parent is gone")
    end_process_after(end_s(drain_s))
    stop.ask()
