"""`relay replay`: a recorded call once more, as it looks and whether it goes the same way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from relay.plainly import told_plainly
from relay.replay import replay
from relay.shell.recording import read
from relay.timeline import heading, timeline

EXIT_DIFFERS: Final = 1
COLOURS: Final = {"<": "cyan", ">": "green", "=": "yellow"}


@click.command("replay")
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
