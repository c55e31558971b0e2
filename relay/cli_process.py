"""One process that answers calls: all of `relay serve`, or one worker of several."""

from __future__ import annotations

import sys

import structlog
import trio

from relay import config
from relay.config import Settings
from relay.log_pipe import LogPipe
from relay.logs import set_up_logs
from relay.pulse import watch_over
from relay.seeing import Process
from relay.server import prepare_process
from relay.shell import sockets
from relay.stop import Stop, obey_signals
from relay.wiring import serve
from relay.workers import end_with_parent

_log = structlog.get_logger("relay.config")


def answer_calls(settings: Settings, worker: int | None) -> None:
    """Serve until told to stop. worker: the process's number among several; None: it is alone.

    Raises ConfigError or StoreError when it cannot start.
    """
    pipe = LogPipe(sys.stdout.fileno())
    set_up_logs(settings.log_level, pipe, settings.log_format, pii=settings.log_pii == "on")
    if worker in (None, 1):
        for name, likely in config.strange().items():
            _log.warning("! this is no setting, and does nothing", name=name, likely=likely)
    prepare_process()
    sockets.NATIVE = settings.websockets == "native"
    process = Process(lines_dropped=lambda: pipe.dropped, worker=worker)
    watch_over(process.pulse, pipe.close)
    try:
        trio.run(_serve, settings, process)
    finally:
        pipe.close()


async def _serve(settings: Settings, process: Process) -> None:
    stop = Stop()
    async with trio.open_nursery() as nursery:
        if process.worker is not None:
            nursery.start_soon(end_with_parent, stop, settings.drain_s)
        nursery.start_soon(obey_signals, stop, settings.drain_s)
        await serve(settings, stop=stop, process=process)
        nursery.cancel_scope.cancel()
