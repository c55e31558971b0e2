"""`relay clips`: see, hear and record the sentences that callers hear without waiting.

list      every clip: in whose voice, how long, what it says
play      one as a WAV file
render    record what is missing, or with --force what is named
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

import click
import trio

from relay import config
from relay.audio import decode_ulaw
from relay.audio.frames import mulaw_ms
from relay.cabinet import NAMES, Shelf
from relay.config import Settings
from relay.logs import set_up_logs
from relay.plainly import told_plainly
from relay.shell.clip_studio import Recorded
from relay.wiring_clips import clip_voice, open_cabinet

EXIT_NOT_RECORDED: Final = 1
PHONE_HZ: Final = 8000


@click.group("clips")
def clips_group() -> None:
    """The recordings that callers hear, the greeting first of all."""


@clips_group.command("list")
def list_command() -> None:
    """Show every clip: in whose voice it is, how long, and what it says."""
    with told_plainly():
        settings = _settings()
        shelves = trio.run(_shelves, settings)
    for name, shelf in shelves.items():
        click.echo(_line(name, shelf, clip_voice(settings).voice))


@clips_group.command("play")
@click.argument("name", type=click.Choice(NAMES))
@click.option("-o", "out", type=click.Path(dir_okay=False), help="Where to; - is stdout.")
def play_command(name: str, out: str | None) -> None:
    """Write a clip as a WAV file, NAME.wav unless told otherwise."""
    with told_plainly():
        shelf = trio.run(_shelves, _settings()).get(name)
    if shelf is None:
        raise click.ClickException(f"there is no clip {name}")
    sound = to_wav(shelf.clip.mulaw)
    if out == "-":
        sys.stdout.buffer.write(sound)
        return
    file = Path(out or f"{name}.wav")
    try:
        file.write_bytes(sound)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{file}: {shelf.clip.text}")


@clips_group.command("render")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--force", is_flag=True, help="Record again what has been recorded.")
def render_command(names: tuple[str, ...], force: bool) -> None:
    """Have the model say NAMES, or all clips: those that it has not said yet.

    Ends with 1 when one could not be recorded.
    """
    with told_plainly():
        settings = _settings()
        recorded = trio.run(_render, settings, names or NAMES, force)
    if recorded is None:
        click.echo("All clips are recorded.")
        return
    for text in recorded.clips:
        click.echo(f"recorded  {text}")
    for text, said in recorded.refused.items():
        click.secho(f"not said  {text}\n          the model said: {said}", fg="red", err=True)
    if recorded.broken:
        click.secho(f"relay: the model could not be recorded: {recorded.broken}", err=True)
    if recorded.refused or recorded.broken:
        sys.exit(EXIT_NOT_RECORDED)


def to_wav(mulaw: bytes) -> bytes:
    """Mu-law as a WAV file of 16-bit samples, which everything plays."""
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(PHONE_HZ)
        out.writeframes(decode_ulaw(mulaw))
    return file.getvalue()


def _settings() -> Settings:
    settings = config.load()
    set_up_logs("ERROR", sys.stderr)  # what there is to say is said in words of our own
    return settings


def _line(name: str, shelf: Shelf, voice: str) -> str:
    seconds = mulaw_ms(len(shelf.clip.mulaw)) / 1000
    whose = "packaged" if shelf.rendered_at is None else f"{voice} {shelf.rendered_at:%Y-%m-%d}"
    return f"{name:12}  {whose:20}  {seconds:5.1f} s  {shelf.clip.text}"


async def _shelves(settings: Settings) -> dict[str, Shelf]:
    async with open_cabinet(settings) as cabinet:
        return dict(cabinet.shelves())


async def _render(settings: Settings, names: Iterable[str], force: bool) -> Recorded | None:
    """None: there was nothing to record."""
    async with open_cabinet(settings) as cabinet:
        texts = cabinet.wanted(names) if force else cabinet.missing(names)
        return await cabinet.render(texts) if texts else None
