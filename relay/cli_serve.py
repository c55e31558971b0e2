"""`relay serve`: answer calls, in one process or in several."""

from __future__ import annotations

import sys

import click
import trio

from relay import config
from relay.config import Settings
from relay.log_pipe import LogPipe
from relay.logs import set_up_logs
from relay.plainly import told_plainly
from relay.pulse import watch_over
from relay.seeing import Process
from relay.server import Stop, obey_signals, prepare_process
from relay.shell import sockets
from relay.wiring import serve
from relay.workers import Crew, check, command, end_with_parent, of_worker


@click.command("serve")
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes, one a core.")
@click.option("--worker", type=click.IntRange(1, 64), default=None, hidden=True)
def serve_command(workers: int, worker: int | None) -> None:
    """Answer calls, until SIGTERM. Settings come from the environment and .env."""
    with told_plainly():
        settings = config.load()
        if workers > 1:
            sys.exit(_serve_by_several(settings, workers))
        if worker is not None:
            settings = of_worker(settings, worker)
        pipe = LogPipe(sys.stdout.fileno())
        set_up_logs(settings.log_level, pipe, settings.log_format, pii=settings.log_pii == "on")
        prepare_process()
        sockets.NATIVE = settings.websockets == "native"
        process = Process(lines_dropped=lambda: pipe.dropped, worker=worker)
        watch_over(process.pulse, pipe.close)
        try:
            trio.run(_serve, settings, process)
        finally:
            pipe.close()


def _serve_by_several(settings: Settings, count: int) -> int:
    """Look after so many workers to their end. Returns the exit status."""
    check(settings)
    set_up_logs(settings.log_level, sys.stderr, settings.log_format)
    return trio.run(Crew(command(), settings.drain_s).run, count)


async def _serve(settings: Settings, process: Process) -> None:
    stop = Stop()
    async with trio.open_nursery() as nursery:
        if process.worker is not None:
            nursery.start_soon(end_with_parent, stop)
        nursery.start_soon(obey_signals, stop, settings.drain_s)
        await serve(settings, stop=stop, process=process)
        nursery.cancel_scope.cancel()
