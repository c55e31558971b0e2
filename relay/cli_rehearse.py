"""`relay rehearse`: simulated callers against the real model, before real ones call."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from relay.plainly import from_extra, told_plainly

EXIT_FAILED: Final = 1
CALLERS: Final = ("hours", "booking", "noise", "human", "silence")


@click.command("rehearse")
@click.option("--caller", "callers", multiple=True, type=click.Choice(CALLERS), help="Only these.")
@click.option("--simulated", is_flag=True, help="Against the simulated model: no key, no cost.")
@click.option(
    "--max-usd", default="1", type=click.FloatRange(0, 1000, min_open=True), help="Stop at so much."
)
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Recordings and words go here."
)
@click.option("--at-once", default=1, type=click.IntRange(1, 5), help="How many calls at once.")
@click.option("--json", "as_json", is_flag=True, help="The marks as JSON; the rest on stderr.")
@click.option("--yes", is_flag=True, help="Do not ask before it costs.")
def rehearse_command(
    callers: tuple[str, ...],
    max_usd: float,
    keep: Path | None,
    at_once: int,
    *,
    simulated: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Have simulated callers try the real model.

    What it does is marked, before people call. Settings come from the environment and .env. Ends
    with 1 when a call fails.
    """
    with told_plainly():
        run = from_extra("relay.rehearse.run")  # the callers' voices
        cap = Decimal(str(max_usd))
        planned = run.plan(callers, simulated=simulated, cap=cap, keep=keep, at_once=at_once)
        click.echo(planned.says(), err=as_json)
        if not (simulated or yes):
            click.confirm("Go on?", abort=True, err=as_json)
        passed, report = run.main(planned, as_json=as_json)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    if not passed:
        sys.exit(EXIT_FAILED)
