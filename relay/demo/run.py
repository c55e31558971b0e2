"""One run: a relay, a model and a telephone network on this machine, two calls, and the verdict.

Three processes. This one holds the relay (the real one: `wiring.serve`, SQLite, its own port) and
the Twilio cloud with the callers. The model has a process of its own, because hearing and
speaking hold the GIL; so has each ear that hears the calls again afterwards.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import trio

from relay import config, server, wiring
from relay.demo.callers import Caller, Spoken, Timing, lines, pronounce
from relay.demo.checks import Evidence, judge, outcome_of, read_rows
from relay.demo.ears import listen
from relay.demo.model import Model, open_model
from relay.demo.scenario import BOOK, business_toml, draw, early_zone, starts_at
from relay.demo.show import Stage
from relay.logs import set_up_logs
from relay.sim import phrases
from relay.sim.line import FRAME, PER_MS, RATE, Timeline, stereo_wav
from relay.sim.person import AUDIBLE_DB, Person
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_net import open_internet
from relay.sim.twilio_playout import Chunk
from relay.sim.twilio_stream import StreamLeg
from relay.sim.ulaw import loudness_db

PUBLIC_URL = "https://relay.demo"
RELAY_NUMBER, HUMAN_NUMBER = "+15125550100", "+15125550199"
CALLERS = ("+14155550123", "+12125550177")
HUMAN_PITCH = 0.9
HUMAN_RINGS_S = 3.0  # in the pause between two rings: what is heard first is the human
ACCOUNT_SID = "AC" + secrets.token_hex(16)
AUTH_TOKEN = secrets.token_hex(16)
CALL_LIMIT_S = 120.0
START_S, STOP_S = 30.0, 20.0
LOOK_S = 0.01
ASIDE_NICE = 10  # of what runs beside a call
EXIT_FAILED = 1

Script = Callable[[Caller], Awaitable[None]]


@dataclass(slots=True)
class Ended:
    """One call that is over. heard: the sentences at its caller's ear, once they are known."""

    call: PhoneCall
    timing: Timing
    heard: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Lag:
    """How late this process's event loop was at worst, in ms."""

    worst_ms: float = 0.0

    async def watch(self) -> None:
        while True:
            due = trio.current_time() + LOOK_S
            await trio.sleep_until(due)
            self.worst_ms = max(self.worst_ms, 1000 * (trio.current_time() - due))


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the agent's speech. at_s: since the call's beginning, as in its recording."""

    ms: float
    at_s: float


async def run(seed: int, stage: Stage, folder: Path) -> bool:
    """Run the demo. folder: where the recordings go. Returns whether every check is good."""
    scenario = draw(seed)
    stage.scenario(scenario)
    voices = {name: pronounce(text) for name, text in lines(scenario).items()}
    greeting = pronounce(phrases.HUMAN, pitch=HUMAN_PITCH).mulaw
    desk = HumanPhone(HUMAN_RINGS_S, says=greeting)
    zone = early_zone(datetime.now(UTC))
    today = datetime.now(ZoneInfo(zone)).date()
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as name:
        scratch = Path(name)
        (scratch / "business.toml").write_text(business_toml(scenario, zone), encoding="utf-8")
        house = _House(scratch, stage, voices, desk)
        ended, at_desk, lag, complaints = await house.two_calls()
        rows = read_rows(scratch / "relay.db")
    complaints += [each.text for one in ended for each in one.call.complaints]
    evidence = Evidence(
        ears=(ended[0].heard, ended[1].heard),
        desk=at_desk,
        rang=len(desk.calls),
        rows=rows,
        call_sids=(ended[0].call.sid, ended[1].call.sid),
        caller=CALLERS[0],
        starts_at=starts_at(scenario.booking, today),
        barge_in_ms=ended[0].timing.barge_in,
        gaps=[gap.ms for each in ended for leg in each.call.streams for gap in gaps(leg)],
        complaints=complaints,
    )
    files = [_record(folder / f"demo-call-{n}.wav", each) for n, each in enumerate(ended, 1)]
    outcomes = [outcome_of(rows, each.call.sid) for each in ended]
    stage.rows(rows)
    for number, each in enumerate(ended, 1):
        stage.heard(number, each.heard)
    stage.calls([each.timing for each in ended], outcomes, files)
    stage.tell("loop", f"the relay's event loop was {lag.worst_ms:.0f} ms late at worst")
    stage.tell("gaps", f"{len(evidence.gaps)} in the agent's speech")
    for number, each in enumerate(ended, 1):
        for gap in (gap for leg in each.call.streams for gap in gaps(leg)):
            stage.tell("problem", f"call {number}: {gap.ms:.0f} ms of nothing at {gap.at_s:.2f} s")
    for complaint in evidence.complaints:
        stage.tell("problem", complaint)
    verdicts = judge(scenario, evidence)
    stage.verdicts(verdicts)
    return all(verdict.good for verdict in verdicts)


def _record(file: Path, ended: Ended) -> str:
    line = ended.call.line
    file.write_bytes(stereo_wav(bytes(line.said.audio), bytes(line.heard.audio)))
    return file.name


def gaps(leg: StreamLeg) -> Iterator[Gap]:
    """Holes in the middle of one item of speech: the buffer ran dry while it was spoken. The
    relay's marks, `<epoch>:<item>:<ms>`, say which item a chunk belongs to."""
    items = {mark.offset: mark.name.rpartition(":")[0] for mark in leg.playout.marks}

    def item(chunk: Chunk) -> str | None:
        return items.get(chunk.offset + chunk.size)

    for one, following in pairwise(leg.playout.chunks):
        end, start = one.start + one.size, following.start
        if start > end and one.cut is None and item(one) == item(following):
            around = leg.line.heard.read(end - FRAME, start + FRAME)
            if loudness_db(around) > AUDIBLE_DB:  # else it made a silence a little longer
                yield Gap((start - end) / PER_MS, start / RATE)


def sounds(heard: Timeline) -> list[bytes]:
    """The stretches of sound on a line, apart from each other where there was nothing to hear."""
    return [heard.read(start, end) for start, end in heard.spans]


@dataclass(frozen=True, slots=True)
class _House:
    """Everything that runs during the calls."""

    scratch: Path
    stage: Stage
    voices: Mapping[str, Spoken]
    desk: HumanPhone

    async def two_calls(self) -> tuple[tuple[Ended, Ended], list[str], Lag, list[str]]:
        lag, stop = Lag(), server.Stop()
        async with open_model(self.stage.tell) as model, trio.open_nursery() as ears:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(START_S):
                    serve = partial(wiring.serve, self._settings(model), stop=stop)
                    served: server.Served = await nursery.start(serve)
                self.stage.tell("relay", f"on port {served.port}, the model on {model.port}")
                async with trio.open_nursery() as watch:
                    watch.start_soon(lag.watch)
                    first = await self._call(1, Caller.book, served.port)
                    ears.start_soon(self._hear_again, first, ASIDE_NICE)
                    second = await self._call(2, Caller.want_human, served.port)
                    ears.start_soon(self._hear_again, second, 0)
                    watch.cancel_scope.cancel()
                stop.ask()
                nursery.cancel_scope.deadline = trio.current_time() + STOP_S
            at_desk = await self._hear_desk()
        return (first, second), at_desk, lag, model.complaints

    def _settings(self, model: Model) -> config.Settings:
        """The relay's own settings, none of them from the environment."""
        return config.load(
            {
                "OPENAI_API_KEY": "sk-none-is-needed",
                "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{model.port}/v1/realtime",
                "CLIPS": "packaged",
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "TWILIO_PHONE_NUMBER": RELAY_NUMBER,
                "HUMAN_TRANSFER_NUMBER": HUMAN_NUMBER,
                "PUBLIC_URL": PUBLIC_URL,
                "HOST": "127.0.0.1",
                "PORT": "0",
                "DRAIN_S": "10",
                "DATABASE_URL": f"sqlite:///{self.scratch / 'relay.db'}",
                "BUSINESS_FILE": str(self.scratch / "business.toml"),
                "PROMPTS_DIR": str(_prompts(self.scratch)),
            }
        )

    async def _call(self, number: int, script: Script, port: int) -> Ended:
        """Place one call and carry it to its end."""
        self.stage.heading(f"Call {number}")
        base = f"{PUBLIC_URL}/twilio"
        dialled = Number(RELAY_NUMBER, f"{base}/incoming", f"{base}/fallback", f"{base}/status")
        timing = Timing()
        async with open_internet({PUBLIC_URL: f"http://127.0.0.1:{port}"}) as internet:
            cloud = TwilioCloud(ACCOUNT_SID, AUTH_TOKEN, internet, phones={HUMAN_NUMBER: self.desk})
            call = cloud.place(dialled, CALLERS[number - 1])

            async def perform(person: Person) -> None:
                caller = Caller(person, call, self.voices, self.stage.tell, timing)
                await caller.perform(script)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._narrate, call)
                await cloud.run(call, perform, time_limit_s=CALL_LIMIT_S)
        return Ended(call, timing)

    async def _narrate(self, call: PhoneCall) -> None:
        """Show what the telephone network does."""
        async for event in call.log.follow():
            match event.kind:
                case "ringing" | "answered" | "dialling" | "hang-up" | "say" | "ended":
                    self.stage.tell("phone", f"{event.kind} {event.detail}".rstrip())
                case "bridged":
                    self.stage.tell("phone", f"bridged {event.detail}")
                    self.stage.tell("human", phrases.HUMAN)
                case "complaint":
                    self.stage.tell("problem", event.detail)

    async def _hear_again(self, ended: Ended, nice: int) -> None:
        clips = (clip.text for clip in wiring.load_clips().values())
        grammar = phrases.agent_grammar(BOOK, *clips)
        ended.heard += await listen(sounds(ended.call.line.heard), grammar, nice=nice)

    async def _hear_desk(self) -> list[str]:
        """What was said to the human."""
        line = self.desk.calls[-1].line if self.desk.calls else None
        if line is None:
            return []
        return await listen(sounds(line.heard), phrases.caller_grammar(BOOK))


def main(seed: int | None = None) -> int:
    """Run the demo, and leave its recordings in the current folder. Returns the exit status."""
    set_up_logs("WARNING", sys.stderr)
    server.prepare_process()
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    good = trio.run(run, drawn, Stage(), Path.cwd())
    return 0 if good else EXIT_FAILED


def _prompts(scratch: Path) -> Path:
    """The project's prompts, or a stand-in where the package was installed without them: the
    simulated model does not read them."""
    here = Path("prompts")
    if (here / "system.md").exists():
        return here
    (scratch / "system.md").write_text("You answer for {business_name}.\n", encoding="utf-8")
    return scratch
