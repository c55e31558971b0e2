"""`relay doctor` and `relay number`: is everything as it must be, and make the number so."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import click
import trio
from rich.console import Console
from rich.markup import escape

from relay import config
from relay.config import Settings
from relay.doctor import Finding, Level, look_here, skip, works
from relay.doctor_far import look_far, open_account, wanted_routes
from relay.errors import ConfigError, PhoneControlError
from relay.logs import set_up_logs
from relay.plainly import told_plainly
from relay.ports import Number, NumberRoutes, PhoneAccount

EXIT_WRONG: Final = 1
SIGNS: Final = {
    Level.OK: "[green]✓[/]",
    Level.WARN: "[yellow]![/]",
    Level.FAIL: "[red]✗[/]",
    Level.SKIP: "[dim]·[/]",
}


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Look at this machine alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, a line each.")
def doctor_command(offline: bool, as_json: bool) -> None:
    """Say what is wrong, and how to mend it.

    Looks at the settings, at this machine and at everybody whom the relay needs; changes nothing.
    Ends with 1 when something keeps it from working.
    """
    set_up_logs("ERROR", sys.stderr)
    faults, settings = config.examine()
    findings = list(look_here(faults, settings, config.strange()))
    if not offline:
        if faults or settings is None:
            findings.append(skip("the others", "are asked once the settings are mended"))
        else:
            findings += trio.run(look_far, settings)
    _show(findings, as_json=as_json)
    if not works(findings):
        sys.exit(EXIT_WRONG)


def _show(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        for finding in findings:
            line = {
                "check": finding.check,
                "level": finding.level.value,
                "says": finding.says,
                "mend": finding.mend,
            }
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(f"{SIGNS[finding.level]} {finding.check:10} {escape(finding.says)}")
        if finding.mend:
            console.print(f"  {'':10} [dim]→ {escape(finding.mend)}[/]")
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    wrong, doubtful = counts[Level.FAIL], counts[Level.WARN]
    console.print(f"\n{wrong} wrong, {doubtful} doubtful, {counts[Level.OK]} in order")


@click.command("number")
@click.option(
    "--fallback",
    default="",
    help="What Twilio asks when this server is down: the address of a TwiML Bin.",
)
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be done.")
def number_command(fallback: str, yes: bool) -> None:
    """Let TWILIO_PHONE_NUMBER ring here.

    Sets the number's webhooks at Twilio to those of PUBLIC_URL. Ends with 1 when Twilio does not
    let us.
    """
    with told_plainly():
        settings = config.load()
        if fallback and not fallback.startswith("https://"):
            raise ConfigError("--fallback must begin with https://")
    set_up_logs("ERROR", sys.stderr)
    try:
        trio.run(_number, settings, wanted_routes(settings, fallback), yes)
    except PhoneControlError as error:
        click.echo(f"relay: Twilio: {error} (`relay doctor` says more)", err=True)
        sys.exit(EXIT_WRONG)


async def _number(settings: Settings, wanted: NumberRoutes, yes: bool) -> None:
    async with aclosing(open_account(settings)) as account:
        for line in await set_number(account, settings.twilio_phone_number, wanted, yes=yes):
            click.echo(line)


async def set_number(
    account: PhoneAccount, ours: str, wanted: NumberRoutes, *, yes: bool
) -> list[str]:
    """Give our number its webhooks. Returns what is to be told. Raises PhoneControlError."""
    number = await account.number(ours)
    if number is None:
        raise PhoneControlError("the account does not have TWILIO_PHONE_NUMBER")
    told = differences(number, wanted)
    if not told:
        told.append("The number rings here already.")
    elif yes:
        await account.route(number.sid, wanted)
        told.append("Done.")
    else:
        told.append("Nothing was changed. Say --yes to do it.")
    if not (wanted.fallback_url or number.routes.fallback_url):
        told.append(
            "It has no fallback: with this server down, callers are cut off"
            " (docs/deploy.md, step 3; --fallback URL)."
        )
    return told


def differences(number: Number, wanted: NumberRoutes) -> list[str]:
    """What would change, one line each."""
    routes = number.routes
    lines = [
        f"{what}: {is_ or 'nobody'} -> {must}"
        for what, is_, must in (
            ("a call comes in", routes.voice_url, wanted.voice_url),
            ("primary handler fails", routes.fallback_url, wanted.fallback_url),
            ("call status changes", routes.status_url, wanted.status_url),
        )
        if must and is_ != must
    ]
    if number.methods and not lines:
        lines.append(f"asked by {', '.join(number.methods)} -> POST")
    return lines
