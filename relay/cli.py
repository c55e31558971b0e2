"""The command line: `relay serve`, `demo`, `calls`, `replay`, `clips`, `business` and more.

What cannot start says why in a few lines on stderr and ends with 2; a bug shows its traceback.
A command is imported when it is asked for: most need no server, and some no database either.
"""

from __future__ import annotations

import sys
from typing import Final

import click

from relay.plainly import brought, from_extra, told_plainly

# Where each command is that is not here.
ELSEWHERE: Final = {
    "business": "relay.cli_business:business_command",
    "calls": "relay.cli_calls:calls_command",
    "clips": "relay.cli_clips:clips_group",
    "costs": "relay.cli_calls:costs_command",
    "db": "relay.cli_db:db_group",
    "doctor": "relay.cli_doctor:doctor_command",
    "erase": "relay.cli_calls:erase_command",
    "export": "relay.cli_calls:export_command",
    "number": "relay.cli_doctor:number_command",
    "rehearse": "relay.cli_rehearse:rehearse_command",
    "replay": "relay.cli_replay:replay_command",
    "serve": "relay.cli_serve:serve_command",
}


class Commands(click.Group):
    """A group that imports what is ELSEWHERE."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(brought(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="relay", prog_name="relay")
def main() -> None:
    """A voice agent on a business's phone number: Twilio Media Streams to OpenAI Realtime."""


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
        status = from_extra("relay.demo.run").main(seed, voice)
    sys.exit(status)
