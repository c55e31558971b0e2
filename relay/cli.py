"""The command line: `relay serve`, `demo`, `calls`, `replay`, `clips`, `business` and more.

What cannot start says why in a few lines on stderr and ends with 2; a bug shows its traceback.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
import trio

from relay import config
from relay.adapters.store import upgrade
from relay.cli_business import business_command
from relay.cli_calls import calls_command, costs_command, erase_command, export_command
from relay.cli_clips import clips_group
from relay.cli_doctor import doctor_command, number_command
from relay.cli_rehearse import rehearse_command
from relay.config import Settings
from relay.log_pipe import LogPipe
from relay.logs import set_up_logs
from relay.plainly import from_extra, told_plainly
from relay.pulse import watch_over
from relay.replay import replay
from relay.seeing import Process
from relay.server import Stop, obey_signals, prepare_process
from relay.shell import sockets
from relay.shell.recording import read
from relay.timeline import heading, timeline
from relay.wiring import serve
from relay.workers import Crew, check, command, end_with_parent, of_worker

EXIT_DIFFERS: Final = 1
COLOURS: Final = {"<": "cyan", ">": "green", "=": "yellow"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("relay"), prog_name="relay")
def main() -> None:
    """A voice agent on a business's phone number: Twilio Media Streams to OpenAI Realtime."""


@main.command("serve")
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


@main.command("demo")
@click.option("--seed", type=int, default=None, help="Repeat the run that drew this number.")
@click.option(
    "--voice",
    type=click.Choice(["openai", "elevenlabs"]),
    default="openai",
    show_default=True,
    help="Who speaks for the agent; simulated, either of them.",
)
def demo_command(seed: int | None, voice: str) -> None:
    """Place four simulated calls on this machine: no keys, no network."""
    with told_plainly():
        demo = from_extra("relay.demo.run")
    sys.exit(demo.main(seed, voice))


@main.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--every", is_flag=True, help="Show each frame, chunk and mark by itself.")
@click.option("--check", is_flag=True, help="Show nothing but the first difference.")
def replay_command(file: Path, every: bool, check: bool) -> None:
    """Step a recorded call through this version.

    It shows whether the core does the same again. Ends with 1 at the first difference, with 2
    when FILE is no recording.
    """
    with told_plainly():
        recording = read(file)
    if not check:
        click.echo(heading(recording.head))
    for line in timeline(recording, replay(recording), every=every):
        if line.sign == "!":
            click.secho(line, fg="red")
            sys.exit(EXIT_DIFFERS)
        if not check:
            click.secho(line, fg=COLOURS.get(line.sign))


for each in (clips_group, business_command, calls_command, costs_command, export_command):
    main.add_command(each)
for each in (erase_command, doctor_command, number_command, rehearse_command):
    main.add_command(each)


@main.group("db")
def db_group() -> None:
    """Look after the database."""


@db_group.command("upgrade")
def upgrade_command() -> None:
    """Bring the tables of DATABASE_URL to this version."""
    with told_plainly():
        settings = config.load(kind=config.BusinessSettings)
        upgrade(settings.database_url.get_secret_value())
    click.echo("The database is up to date.")


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
