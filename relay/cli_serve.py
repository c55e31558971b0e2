"""`relay serve`: answer calls, in one process or in several.

What answers them is imported only where it runs (cli_process.py): a parent of several never does.
"""

from __future__ import annotations

import sys

import click
import trio

from relay import config
from relay.config import Settings
from relay.logs import set_up_logs
from relay.plainly import brought, told_plainly
from relay.workers import Crew, check, command, of_worker


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
        brought("relay.cli_process").answer_calls(settings, worker)


def _serve_by_several(settings: Settings, count: int) -> int:
    """Look after so many workers to their end. Returns the exit status."""
    check(settings)
    set_up_logs(settings.log_level, sys.stderr, settings.log_format)
    return trio.run(Crew(command(), settings.drain_s).run, count)
