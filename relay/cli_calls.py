"""`relay calls`, `costs`, `export`, `erase`: what the calls have left behind, for people.

calls              the latest calls; of one: the conversation as it was heard
costs              what the latest days have cost
export             everything that is kept of one call, as JSON
erase              a person, by telephone number
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import click
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay import config
from relay.adapters.store import SqlStore, open_store, upgrade
from relay.adapters.store_engine import parse_url
from relay.errors import PhoneControlError
from relay.logs import set_up_logs
from relay.plainly import told_plainly
from relay.ports import CallSummary, DayCosts, Entry
from relay.shell.entry_json import UnknownEntry, decode
from relay.shell.spool import waiting_in
from relay.wiring_humans import open_phone_control

EXIT_UNKNOWN: Final = 1
EXIT_LEFT: Final = 1
#: Where nobody looks at the width (a pipe, a file), a line is as long as it must be.
WIDE: Final = 200
SCRUBS: Final = 20
MICRO: Final = 1_000_000

#: A moment or a day, of the clock that this machine shows.
SINCE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])


@click.command("calls")
@click.argument("which", nargs=-1, metavar="[[show] CALL_SID]")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), help="How many calls.")
@click.option("--since", type=SINCE, help="Only calls from this local time on.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def calls_command(
    which: tuple[str, ...], limit: int, since: datetime | None, as_json: bool
) -> None:
    """List the latest calls, or show one. Needs no setting but DATABASE_URL.

    One call is shown as it was heard, by the clock, with what was done meanwhile. Ends with 1
    when there is no such call.
    """
    match which:
        case ():
            _list(limit, since.astimezone(UTC) if since else None, as_json=as_json)
        case (call_sid,) | ("show", call_sid):
            _show(call_sid, as_json=as_json)
        case _:
            raise click.UsageError("name one call, as in: relay calls show CA…")


@click.command("costs")
@click.option("--limit", default=30, type=click.IntRange(1, 10_000), help="How many days.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def costs_command(limit: int, as_json: bool) -> None:
    """Show what the latest days have cost.

    A day is from midnight to midnight in UTC.
    """
    with told_plainly(), _store() as store:
        days = store.costs(limit)
    if as_json:
        _print_json([dataclasses.asdict(day) for day in days])
    elif days:
        _console().print(_days(days))
    else:
        click.echo(f"There are no calls yet in {_where()}.")


@click.command("export")
@click.argument("call_sid")
def export_command(call_sid: str) -> None:
    """Write all that is kept of a call as JSON.

    Ends with 1 when there is no such call.
    """
    _print_json(_everything(call_sid))


@click.command("erase")
@click.option("--phone", required=True, help="The person's number, as in +14155550123.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase_command(phone: str, yes: bool) -> None:
    """Remove a person and what they said.

    The calls from this number go, with their words, bookings and messages; recordings and
    voicemails are deleted at Twilio. What the calls have cost stays, as amounts. What is on its
    way into the database, or waits on this machine's disk (SPOOL_DIR), is kept out. Ends with 1
    when a recording could not be deleted.
    """
    if not config.is_phone_number(phone):
        raise click.BadParameter("write it as in +14155550123", param_hint="--phone")
    if not yes:
        click.confirm(f"Erase all that is kept of {phone}? It cannot be undone.", abort=True)
    with told_plainly(), _store() as store:
        recordings = store.recordings_of(phone)
        left = trio.run(_delete_recordings, recordings) if recordings else {}
        for sid in recordings:
            if sid not in left:
                store.recording_gone(sid)
        folder = config.load(kind=config.BusinessSettings).spool_folder
        waiting = _entries_in(folder)
        theirs = {e.call_sid for e in waiting if getattr(e.record, "caller", "") == phone}
        erased = store.erase(phone, datetime.now(UTC), theirs)
        clean = _scrubbed(store)
    if recordings:
        click.echo(f"{'recordings':16} {len(recordings) - len(left):6} removed")
    for name, count in sorted(erased.rows.items()):
        click.echo(f"{name:16} {count:6} removed")
    count = len(erased.call_sids)
    click.echo(f"{count} {'call' if count == 1 else 'calls'} of {phone} erased.")
    left_waiting = sum(entry.call_sid in erased.call_sids for entry in waiting)
    click.echo(_of_the_disk(left_waiting, folder))
    if not clean:
        click.echo("The database file is in use: its log keeps traces until it is idle.", err=True)
    for sid, why in left.items():
        click.echo(f"relay: delete {sid} in Twilio's console, {why}", err=True)
    if left:
        sys.exit(EXIT_LEFT)


def _entries_in(folder: Path) -> list[Entry]:
    """What waits on disk, as far as this version can read it."""
    found = []
    for payload in waiting_in(folder):
        with suppress(UnknownEntry):  # of another version, which knows what to do with it
            found.append(decode(payload))
    return found


def _of_the_disk(records: int, folder: Path) -> str:
    others = (
        "What waits on another machine's disk is not known here: erase again once it is stored."
    )
    if not records:
        return f"Nothing of theirs waits in {folder}. {others}"
    return (
        f"{records} {'record' if records == 1 else 'records'} of theirs still in {folder}: a"
        f" running relay drops them when it comes to them. {others}"
    )


async def _delete_recordings(sids: list[str]) -> dict[str, str]:
    """Have Twilio delete them. Returns those that are left, and why."""
    left: dict[str, str] = {}
    async with aclosing(open_phone_control(config.load())) as phone:
        for sid in sids:
            try:
                await phone.delete_recording(sid)
            except PhoneControlError as error:
                left[sid] = str(error)
    return left


def _scrubbed(store: SqlStore) -> bool:
    """Whether nothing can be read in the file any more."""
    for _ in range(SCRUBS):
        if store.scrub():
            return True
        time.sleep(0.1)
    return False


# ---- one call -------------------------------------------------------------------------------


def _show(call_sid: str, *, as_json: bool) -> None:
    found = _everything(call_sid)
    if as_json:
        _print_json(found)
        return
    console = _console()
    (call,), (outcome,) = found["calls"], found.get("call_outcomes", [{}])
    spend = found.get("spend", [])
    console.print(f"[bold]{call_sid}[/]  {_local(call['started_at'])}  {call['caller']}")
    if outcome:
        lasted = _length(outcome["duration_ms"])
        console.print(f"{outcome['outcome']}  {outcome['reason']}  {lasted}", highlight=False)
    total = sum(row["micro_usd"] for row in spend)
    guessed = sum(row["note"] != "" for row in spend)
    console.print(f"{_usd(total)}" + (f" ({guessed} amounts are estimates)" if guessed else ""))
    console.print()
    for line in _told(found):
        console.print(line)


def _told(found: dict[str, list[dict[str, Any]]]) -> Iterator[Text]:
    """The conversation by the clock: what was heard, and what was done meanwhile."""
    began = found["calls"][0]["started_at"]
    lines: list[tuple[int, datetime, Text]] = []
    for row in found.get("transcripts", []):
        text = Text(f"{row['heard_text'] or '(not heard)'}")
        if row["interrupted"]:
            text.append(" —", style="yellow")
        who, style = ("caller", "cyan") if row["speaker"] == "caller" else ("agent", "green")
        lines.append((row["position"], row["started_at"], Text(f"{who:7}", style=style) + text))
    told = iter(lines)
    upcoming = next(told, None)
    for tool in found.get("tool_calls", []):
        while upcoming is not None and upcoming[1] <= tool["at"]:
            yield _at(upcoming[1], began) + upcoming[2]
            upcoming = next(told, None)
        took = "" if tool["duration_ms"] is None else f" {tool['duration_ms']} ms"
        what = f"{tool['name']}({tool['arguments']}) {tool['status']}{took}: {tool['output']}"
        yield _at(tool["at"], began) + Text("does   ", style="magenta") + Text(what, style="dim")
    while upcoming is not None:
        yield _at(upcoming[1], began) + upcoming[2]
        upcoming = next(told, None)


def _at(moment: datetime, began: datetime) -> Text:
    return Text(f"{_length(max(0, round((moment - began).total_seconds() * 1000))):>6}  ")


# ---- the lists ------------------------------------------------------------------------------


def _list(limit: int, since: datetime | None, *, as_json: bool) -> None:
    with told_plainly(), _store() as store:
        calls = store.overview(limit, since)
    if as_json:
        _print_json([dataclasses.asdict(call) for call in calls])
    elif calls:
        _console().print(_calls(calls))
    else:
        when = f"since {_local(since)}" if since else "yet"
        click.echo(f"There are no calls {when} in {_where()}.")


def _calls(calls: list[CallSummary]) -> Table:
    table = Table("when", "caller", "outcome", box=None, pad_edge=False)
    for name in ("length", "cost", "greeting"):
        table.add_column(name, justify="right")
    table.add_column("what", overflow="ellipsis", no_wrap=True)
    table.add_column("call", no_wrap=True)
    for call in calls:
        table.add_row(
            _local(call.started_at),
            call.caller or "withheld",
            call.outcome or "under way",
            _length(call.duration_ms),
            _usd(call.micro_usd),
            "" if call.greeting_ms is None else f"{call.greeting_ms} ms",
            Text(call.summary or call.reason or ""),
            call.call_sid,
        )
    return table


def _days(days: list[DayCosts]) -> Table:
    table = Table("day (UTC)", box=None, pad_edge=False)
    for name in ("calls", "model", "words", "voice", "phone", "total"):
        table.add_column(name, justify="right")
    for day in days:
        parts = (day.model, day.words, day.voice, day.phone)
        table.add_row(f"{day.day}", f"{day.calls}", *(_usd(each) for each in (*parts, sum(parts))))
    return table


# ---- parts ----------------------------------------------------------------------------------


@contextmanager
def _store() -> Iterator[SqlStore]:
    """The store of the settings, brought to this version."""
    set_up_logs("ERROR", sys.stderr)  # what there is to say is said in words of our own
    url = _database_url()
    upgrade(url)
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def _database_url() -> str:
    """All that reading takes: who looks at calls need not have the keys."""
    return config.load(kind=config.BusinessSettings).database_url.get_secret_value()


def _where() -> str:
    """The database, for whoever looked into the wrong one."""
    return parse_url(_database_url()).render_as_string(hide_password=True)


def _everything(call_sid: str) -> dict[str, list[dict[str, Any]]]:
    with told_plainly(), _store() as store:
        found = store.everything(call_sid)
    if not found:
        click.echo(f"relay: there is no call {call_sid}", err=True)
        sys.exit(EXIT_UNKNOWN)
    return found


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _length(ms: int | None) -> str:
    if ms is None:
        return ""
    return f"{ms // 60_000}:{ms // 1000 % 60:02}"


def _usd(micro: int) -> str:
    return f"${micro / MICRO:.4f}"
