"""Phone a running relay: `python -m relay.sim.call URL --say "What are your hours on Monday?"`.

Plays Twilio and a caller against any relay that can be reached over the network. The caller lets
the agent finish, says the next thing, measures how long the answer took, and hangs up when all is
said. Everything is printed as it happens; exit status 0 means that the greeting was heard.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import trio

from relay.errors import Misuse
from relay.sim import voice
from relay.sim.line import FRAME, RATE, stereo_wav
from relay.sim.person import AUDIBLE_DB, Person
from relay.sim.room import Room
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.twilio_net import open_internet
from relay.sim.twilio_rest import open_rest
from relay.sim.twilio_rest_server import serve_rest
from relay.sim.ulaw import loudness_db

GREETING_S = 10.0  # after this a caller has given up hoping for one
ANSWER_S = 20.0
HUMAN_SAYS = "Hello. This is the front desk. How can I help you?"


@dataclass(slots=True)
class Timing:
    """What the caller measured, in ms; None: never heard.

    greeting: from the answer to the first sound; answers: from the end of each thing said to the
    first sound after it
    """

    greeting: float | None = None
    answers: list[float | None] = field(default_factory=list)


async def converse(
    person: Person, call: PhoneCall, clips: Sequence[bytes], timing: Timing, quiet_ms: int
) -> None:
    """Be the caller: let the agent finish, say the next clip; hang up after the last answer."""
    begin = await _voice_after(person, 0, GREETING_S)
    if begin is None:
        call.log.add("no-greeting", f"nothing heard in {GREETING_S:.0f} s")
        person.hang_up()
        return
    timing.greeting = 1000 * (person.line.time(begin) - (call.answered_at or 0.0))
    call.log.add("greeting-heard", f"{timing.greeting:.0f} ms after the answer")
    await _until_quiet(person, begin, quiet_ms)
    for clip in clips:
        call.log.add("caller-speaks", f"{len(clip) / RATE:.1f} s")
        await person.say(clip)
        end = person.line.said.end - _silent_tail(clip)
        begin = await _voice_after(person, end, ANSWER_S)
        took = None if begin is None else 1000 * (begin - end) / RATE
        timing.answers.append(took)
        call.log.add("answer-heard", "never" if took is None else f"{took:.0f} ms after the caller")
        if begin is not None:
            await _until_quiet(person, begin, quiet_ms)
    person.hang_up()


async def _voice_after(person: Person, since: int, timeout_s: float) -> int | None:
    try:
        return await person.hear_voice(since, timeout_s=timeout_s)
    except trio.TooSlowError:
        return None


async def _until_quiet(person: Person, since: int, quiet_ms: int) -> None:
    """Wait for the agent to finish, or a minute."""
    with suppress(trio.TooSlowError):
        await person.hear_silence(quiet_ms, since, timeout_s=60)


def _silent_tail(clip: bytes) -> int:
    """How many samples of silence a clip ends with, in whole frames."""
    tail = 0
    while tail < len(clip):
        end = len(clip) - tail
        if loudness_db(clip[max(0, end - FRAME) : end]) > AUDIBLE_DB:
            break
        tail += FRAME
    return min(tail, len(clip))


async def phone(
    cloud: TwilioCloud,
    call: PhoneCall,
    clips: Sequence[bytes],
    *,
    quiet_ms: int,
    time_limit_s: float,
    show: Callable[[str], None],
) -> Timing:
    """Run one call and show its events as they happen, in seconds since it began."""
    timing = Timing()

    async def script(person: Person) -> None:
        await converse(person, call, clips, timing, quiet_ms)

    async def narrate() -> None:
        async for event in call.log.follow():
            show(f"{event.at - call.line.origin:8.3f}  {event.kind:<18} {event.detail}".rstrip())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(narrate)
        await cloud.run(call, script, time_limit_s=time_limit_s)
    return timing


def greeted(call: PhoneCall, timing: Timing) -> bool:
    """Whether the caller heard the relay itself, not Twilio's apology for it."""
    spoke = any(leg.first_media_at is not None for leg in call.streams)
    return spoke and timing.greeting is not None


# ---- sounds ---------------------------------------------------------------------------------


def read_wav(path: Path) -> bytes:
    """The first channel of a 16-bit WAV file as mu-law. Raises click.BadParameter."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise click.BadParameter(f"{path}: 16-bit samples are wanted")
            rate, channels = file.getframerate(), file.getnchannels()
            frames = memoryview(file.readframes(file.getnframes())).cast("h")
    except (OSError, EOFError, wave.Error) as fault:
        raise click.BadParameter(f"{path}: {fault or 'empty'}") from None
    first = frames.tolist()[::channels]
    pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in first)
    return voice.to_mulaw(voice.resample(pcm, rate, RATE))


def _speak(text: str) -> bytes:
    try:
        return voice.speak(text)
    except Misuse as fault:
        raise click.BadParameter(str(fault)) from None


def _origins(pairs: Sequence[str]) -> dict[str, str]:
    origins = {}
    for pair in pairs:
        public, equals, local = pair.partition("=")
        if not equals or not public.startswith("http") or not local.startswith("http"):
            raise click.BadParameter(f"{pair!r}: PUBLIC=LOCAL is wanted, two http(s) origins")
        origins[public] = local
    return origins


# ---- command --------------------------------------------------------------------------------


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.option("--auth-token", envvar="TWILIO_AUTH_TOKEN", required=True, help="Signs everything.")
@click.option("--account-sid", envvar="TWILIO_ACCOUNT_SID", default="AC" + "0" * 32)
@click.option("--from", "caller", default="+14155550123", show_default=True)
@click.option(
    "--to", "called", envvar="TWILIO_PHONE_NUMBER", default="+15125550100", show_default=True
)
@click.option(
    "--origin",
    multiple=True,
    metavar="PUBLIC=LOCAL",
    help="Where a public origin really listens: "
    "https://relay.example.com=http://127.0.0.1:8080. The public one is what is signed.",
)
@click.option("--fallback-url", default="", help="The number's fallback URL.")
@click.option("--status-url", default="", help="The number's status callback.")
@click.option("--say", multiple=True, metavar="TEXT", help="Said when the agent falls silent.")
@click.option(
    "--wav",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="16-bit WAV, played after what --say says.",
)
@click.option(
    "--human",
    multiple=True,
    metavar="NUMBER",
    help="Answers when rung, says hello, and presses 1 after the first announcement.",
)
@click.option(
    "--api-port",
    type=click.IntRange(1, 65_535),
    help="Serve Twilio's REST API on this port; TWILIO_API_URL=http://127.0.0.1:PORT leads there.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Stereo WAV: the caller left, what the caller hears right.",
)
@click.option("--quiet-ms", default=900, show_default=True, help="Silence that ends a turn.")
@click.option("--echo-loss-db", type=float, help="The agent's voice comes back, this much weaker.")
@click.option("--noise-db", type=float, help="Steady noise at this level, dBFS: -45, say.")
@click.option("--time-limit", default=300.0, show_default=True, help="Seconds.")
def main(
    url: str,
    *,
    auth_token: str,
    account_sid: str,
    caller: str,
    called: str,
    origin: tuple[str, ...],
    fallback_url: str,
    status_url: str,
    say: tuple[str, ...],
    wav: tuple[Path, ...],
    human: tuple[str, ...],
    api_port: int | None,
    record: Path | None,
    quiet_ms: int,
    echo_loss_db: float | None,
    noise_db: float | None,
    time_limit: float,
) -> None:
    """Place one simulated call to the relay whose voice webhook is URL (its public address)."""
    origins = _origins(origin)
    if record is not None and not record.absolute().parent.is_dir():  # known before the call
        raise click.BadParameter(f"there is no folder {record.parent}", param_hint="--record")
    clips = [*map(_speak, say), *map(read_wav, wav)]
    number = Number(called, url, fallback_url, status_url)
    room = Room(echo_loss_db=echo_loss_db, noise_db=noise_db)

    async def run() -> tuple[PhoneCall, Timing]:
        async with open_internet(origins) as internet:
            cloud = TwilioCloud(
                account_sid, auth_token, internet, phones=_humans(human), speak=_speak
            )
            call = cloud.place(number, caller, room=room)
            cloud.own(number)
            async with open_rest(cloud) as rest:
                if api_port is not None:
                    await rest.nursery.start(serve_rest, rest, api_port)
                timing = await phone(
                    cloud, call, clips, quiet_ms=quiet_ms, time_limit_s=time_limit, show=click.echo
                )
            return call, timing

    call, timing = trio.run(run)
    if record is not None:
        record.write_bytes(stereo_wav(bytes(call.line.said.audio), bytes(call.line.heard.audio)))
    _sum_up(call, timing)
    sys.exit(0 if greeted(call, timing) else 1)


def _humans(numbers: Sequence[str]) -> Mapping[str, HumanPhone]:
    press = Act(press="1", prompt="", after_s=0.5)
    return {n: HumanPhone(says=_speak(HUMAN_SAYS), acts=[press]) for n in numbers}


def _sum_up(call: PhoneCall, timing: Timing) -> None:
    answers = ", ".join("never" if ms is None else f"{ms:.0f} ms" for ms in timing.answers)
    greeting = "not heard" if timing.greeting is None else f"{timing.greeting:.0f} ms"
    gaps = call.line.heard.gaps()
    click.echo(
        f"greeting {greeting}; answers {answers or 'none'}; gaps in speech {len(gaps)}; "
        f"complaints {len(call.complaints)}; {call.status}, ended by {call.ended_by}"
    )


if __name__ == "__main__":
    main()
