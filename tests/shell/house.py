"""A whole relay's inside, between two simulated ends, on one jumping clock.

    async with open_house() as house:
        call = house.ring(Scripted(reply(say("Nine to five.")), heard=["When?"]))
        await call.greeted()
        await call.ask()
        ...
        call.hang_up()

The phone's end is a StreamLeg with a caller at its ear, the model's end a Realtime session with
a scripted brain; between them runs the real `run_call` with the real journal, tools and embedded
business. When the house closes, every event that either end got is held against its protocol,
every log line of a broken call is a failure, nothing may still run, and each call's flight
recording, played to a new core, leads to the same commands.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np
import structlog
import trio

from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.adapters.elevenlabs import ElevenLabs
from relay.audio import ModelToPhone, loudest_db
from relay.core.events import CallResumed
from relay.core.policy import CLIP_NAMES, CallPolicy, Clip, Effect
from relay.core.records import CallEnded, DispositionChosen, ToolCalled, TranscriptLine
from relay.errors import DialError
from relay.ports import BusinessApi, Consented, PhoneControl, Socket
from relay.replay import first_difference
from relay.shell.humans import Humans
from relay.shell.intents import Intents
from relay.shell.journal import Journal
from relay.shell.kit import CallFacts, CallKit
from relay.shell.recorder import Recorder
from relay.shell.recording import parse
from relay.shell.recordings import Recordings
from relay.shell.session import run_call
from relay.shell.tool_runner import UNAVAILABLE
from relay.sim.brains import Brain, Scripted
from relay.sim.elevenlabs import Provider
from relay.sim.line import Line
from relay.sim.pair import MemorySocket, memory_pair
from relay.sim.person import Person
from relay.sim.realtime import Options, Session, serve_session
from relay.sim.room import QUIET, Room
from relay.sim.twilio_stream import NO_FAULTS, StreamFaults, StreamLeg
from relay.sim.ulaw import pcm16, tone
from relay.tools import Tool, registry
from relay.wire.realtime import SessionSettings
from tests.fakes import FakePhone, FakeStore, MemoryBookings, make_humans, memory_spool
from tests.sim.strictness import check_session
from tests.wire.strictness import client_event

T = TypeVar("T")

NEW: Final = Consented()
NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)  # ten in the morning at the business
# Tones are told from silence by level alone; every delay is written down, none is by chance.
PLAIN = Options(judge="level")
QUESTION = tone(700, 900)
NUMBER = "+15551230001"
STATUS_URL = "https://relay.example.com/twilio/recording"
FLIGHT_BYTES = 4_000_000
VOICE_URL = "wss://voice.example.com"
BRIEF_BYTES = 8000  # of a clip: one second
LIMIT_S = 1200.0  # of simulated time: whatever a test waits for has come by then


# ---- parts ----------------------------------------------------------------------------------


@cache
def packaged_clips() -> Mapping[str, Clip]:
    """The clips that every caller can be given, as they are shipped."""
    folder = resources.files("relay") / "clips"
    texts = tomllib.loads((folder / "clips.toml").read_text(encoding="utf-8"))
    audio = {name: (folder / f"{name}.ulaw").read_bytes() for name in CLIP_NAMES}
    return {n: Clip(n, texts[n], audio[n], loudest_db(audio[n])) for n in CLIP_NAMES}


@cache
def brief_clips() -> Mapping[str, Clip]:
    """The first second of each: a third of all calls was a greeting that no test was about."""
    return {
        name: replace(clip, mulaw=clip.mulaw[:BRIEF_BYTES])
        for name, clip in packaged_clips().items()
    }


@cache
def short_clips(ms: int = 600) -> Mapping[str, Clip]:
    """A tone for each clip, for tests that make many calls."""
    tones = {name: tone(1000 + 100 * n, ms) for n, name in enumerate(CLIP_NAMES)}
    return {n: Clip(n, f"The {n} clip.", audio, loudest_db(audio)) for n, audio in tones.items()}


async def inline(function: Callable[[], T]) -> T:
    """Blocking calls without threads, which a jumping clock does not wait for."""
    await trio.lowlevel.checkpoint()
    return function()


def clock() -> datetime:
    """UTC, as far from MONDAY as the simulated time has come."""
    return MONDAY + timedelta(seconds=trio.current_time())


def session_settings(call: CallFacts, tools: Mapping[str, Tool]) -> SessionSettings:
    return SessionSettings(
        instructions=f"You answer for a test. The caller is {call.caller}.",
        voice="marin",
        tools=tuple(
            {
                "type": "function",
                "name": each.name,
                "description": each.description,
                "parameters": each.parameters,
            }
            for each in tools.values()
        ),
        audio_format="pcm",
        transcription_model="gpt-transcribe",
        languages=("en",),
        vad_threshold=0.5,
        silence_ms=500,
        prefix_padding_ms=300,
        noise_reduction=None,
        reasoning_effort=None,
        max_output_tokens="inf",
    )


# ---- a call ---------------------------------------------------------------------------------


@dataclass
class Placed:
    """One call, seen from both of its ends.

    sessions: what the simulated model believes, one a dial
    chosen: what `choose` was told
    phone: the phone's own end of the socket; ours: the relay's
    """

    sid: str
    store: FakeStore
    leg: StreamLeg
    phone: MemorySocket
    ours: MemorySocket
    brain: Brain
    options: Options
    refuse: str = ""
    model_capacity: int = 1024
    delay: Callable[[], float] | None = None
    sessions: list[Session] = field(default_factory=list)
    model_ends: list[MemorySocket] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)
    began_at: float = 0.0
    over_at: float = 0.0
    strict_model: bool = True
    strict_phone: bool = True

    @property
    def line(self) -> Line:
        return self.leg.line

    @property
    def person(self) -> Person:
        return Person(self.line)

    @property
    def session(self) -> Session:
        """The session that is talked to: the only one, or the last successor."""
        return self.sessions[-1]

    # -- what the caller does

    async def greeted(self) -> None:
        """Hear the greeting out, until its last mark is back."""
        await self.until(lambda: self.leg.playout.received > 0, 1)
        await self.quiet()

    async def say(self, mulaw: bytes = QUESTION) -> float:
        """Say something to its end. Returns when it ended."""
        return await self.person.say(mulaw)

    async def quiet(self, quiet_s: float = 0.3) -> None:
        """Wait until nothing has been heard, nor waited to be, for a while."""
        with trio.fail_after(LIMIT_S):
            while True:
                rest = self.line.time(self.line.heard.end) + quiet_s
                if rest <= trio.current_time():
                    return
                await trio.sleep_until(rest)

    async def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> float:
        """Look every 20 ms whether something has come about. Returns when it was so."""
        with trio.fail_after(timeout_s):
            while True:
                if condition():
                    return trio.current_time()
                await trio.sleep(0.02)

    async def answered(self, answers: int = 1) -> None:
        """Wait until the model has made so many responses, and all was heard."""
        await self.until(lambda: self._responses_over() >= answers, 60)
        await self.quiet()

    def _responses_over(self) -> int:
        return sum(each is not self.session.active for each in self.session.responses)

    def hang_up(self) -> None:
        self.line.hung_up.set()

    async def ended(self, timeout_s: float = LIMIT_S) -> None:
        with trio.fail_after(timeout_s):
            await self.over.wait()

    # -- what was heard and written down

    def rows(self, kind: type[T]) -> list[T]:
        return [
            e.record
            for e in self.store.entries
            if e.call_sid == self.sid and isinstance(e.record, kind)
        ]

    def lines(self) -> list[TranscriptLine]:
        """The transcript as the store has it in the end, in its order."""
        latest = {line.item_id: line for line in self.rows(TranscriptLine)}
        return sorted(latest.values(), key=lambda line: line.position)

    def said(self) -> list[tuple[str, str]]:
        return [(line.speaker, line.heard_text) for line in self.lines()]

    def tools(self) -> list[tuple[str, str]]:
        """Each function call's last state: (name, status)."""
        latest = {row.call_id: row for row in self.rows(ToolCalled)}
        return [(row.name, row.status) for row in latest.values()]

    def outcome(self) -> CallEnded:
        (ended,) = self.rows(CallEnded)
        return ended

    def disposition(self) -> str:
        (row,) = self.rows(DispositionChosen)
        assert self.chosen == [row.disposition]
        return row.disposition

    def heard(self) -> bytes:
        """All that came out at the caller's ear, up to the last sound."""
        return bytes(self.line.heard.audio[: self.line.sample()])

    def converted(self, item_id: str) -> bytes:
        """What an item of the model's sounds like on a telephone, by the codec alone."""
        codec, out = ModelToPhone(), b""
        for delta in self.session.sent_of("response.output_audio.delta"):
            if delta["item_id"] == item_id:
                out += codec.delta(delta["delta"])[0]
        return out + codec.flush()

    def spoken_items(self) -> list[str]:
        """Items that the model spoke, in order."""
        deltas = self.session.sent_of("response.output_audio.delta")
        return list(dict.fromkeys(delta["item_id"] for delta in deltas))

    def played_ms(self, item_id: str) -> float:
        """How much of an item really came out at the caller's ear: the truth about a cut."""
        marks = [m for m in self.leg.playout.marks if m.name.split(":")[1] == item_id]
        start = marks[0].offset - int(marks[0].name.rpartition(":")[2]) * 8
        return self.leg.played_ms(start, marks[-1].offset)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Events of a kind that the model got."""
        return [event for event in self.session.received if event["type"] == kind]

    def check(self) -> None:
        """Both wires were spoken as they are."""
        for session in self.sessions:
            for event in session.received:
                if event["type"] != "input_audio_buffer.append":
                    client_event(json.dumps(event))
            assert session.violations == []
            if self.strict_model:
                check_session(session)
        if self.strict_phone:
            assert self.leg.complaints == []


def strongest_hz(mulaw: bytes) -> float:
    """The loudest frequency in a piece of telephone audio."""
    samples = np.frombuffer(pcm16(mulaw), "<i2").astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 8000 / len(samples))


# ---- the house ------------------------------------------------------------------------------


@dataclass
class House:
    """A process's shared parts, and the calls in it.

    phone: the humans' telephones
    logs: what structlog was told; flights: the calls' flight recordings
    """

    nursery: trio.Nursery
    store: FakeStore
    bookings: MemoryBookings
    journal: Journal
    phone: FakePhone
    kit: CallKit
    logs: list[Mapping[str, Any]]
    flights: dict[str, bytes] = field(default_factory=dict)
    provider: Provider | None = None
    calls: dict[str, Placed] = field(default_factory=dict)

    def ring(
        self,
        brain: Brain | None = None,
        *,
        options: Options = PLAIN,
        faults: StreamFaults = NO_FAULTS,
        delay: Callable[[], float] | None = None,
        room: Room = QUIET,
        capacity: int = 1024,
        model_capacity: int = 1024,
        refuse: str = "",
        kit: CallKit | None = None,
        run_leg: bool = True,
        before: tuple[tuple[str, str], ...] = (),
        owner_knows: tuple[str, ...] = (),
        caller: str = NUMBER,
        known: Consented = NEW,
        origin: Mapping[str, str] = NOWHERE,
    ) -> Placed:
        """Place a call. Both ends and the relay's inside start at once.

        refuse: why the model cannot be dialled; delay: of each message between phone and relay
        before: what was said in a stream before this one; known: what was answered in it
        owner_knows: what the owner has been told of it
        origin: country and state of the caller's number
        run_leg: False when the test itself plays the phone's end, on `phone`
        """
        phone, ours = memory_pair(capacity=capacity, delay=delay)
        sid = f"CA{len(self.calls) + 1:032}"
        leg = StreamLeg(
            phone,
            Line(room=room),
            call_sid=sid,
            stream_sid=f"MZ{len(self.calls) + 1:032}",
            parameters={"caller": caller, "called": "+15559990000", **origin},
            faults=faults,
        )
        call = Placed(
            sid, self.store, leg, phone, ours, brain or Scripted(), options, refuse, model_capacity
        )
        past = CallResumed(
            before,
            notices=owner_knows,
            consent=known.answer,
            recording=known.recording_sid,
        )
        call.began_at = trio.current_time()
        self.calls[sid] = call
        self.nursery.start_soon(self._carry, call, kit or self.kit, past)
        if run_leg:
            self.nursery.start_soon(leg.run)
        return call

    async def _carry(self, call: Placed, kit: CallKit, past: CallResumed) -> None:
        choose = call.chosen.append
        await run_call(call.ours, call_sid=call.sid, kit=kit, choose=choose, past=past)
        call.over_at = trio.current_time()
        call.over.set()

    @asynccontextmanager
    async def dial(self, facts: CallFacts) -> AsyncIterator[Socket]:
        """The model's end: a session of its own for each dial."""
        call = self.calls[facts.call_sid]
        await trio.lowlevel.checkpoint()
        if call.refuse:
            raise DialError(call.refuse)
        ours, theirs = memory_pair(capacity=call.model_capacity, delay=call.delay)
        session = Session(call.options)
        call.sessions.append(session)
        call.model_ends.append(theirs)
        self.nursery.start_soon(partial(serve_session, theirs, call.brain, session=session))
        closed = False
        try:
            yield ours
            await ours.aclose()
            closed = True
        finally:
            if not closed:
                ours.drop()

    @asynccontextmanager
    async def dial_voice(self, url: str, headers: Any) -> AsyncIterator[Socket]:
        """The second voice's end."""
        await trio.lowlevel.checkpoint()
        assert self.provider is not None
        if self.provider.refuse is not None:
            raise DialError(f"HTTP {self.provider.refuse}")
        ours, theirs = memory_pair()
        path, key = url.removeprefix(VOICE_URL), dict(headers)["xi-api-key"]
        self.nursery.start_soon(partial(self.provider.serve, theirs, path, key=key))
        try:
            yield ours
            await ours.aclose()
        finally:
            ours.drop()

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self.logs if line["event"] == event]

    def misbehaved(self) -> list[str]:
        """Kinds of broken messages that were logged where an operator sees them."""
        return [
            line["pii.detail"]
            for line in self.logged("note")
            if line["log_level"] == "warning" and line["kind"].endswith("_misbehaved")
        ]


def assert_nothing_personal(logs: Iterable[Mapping[str, Any]], store: FakeStore) -> None:
    """No line of the log holds a caller's number, or words of the call, but where it is masked."""
    lines = [e.record for e in store.entries if isinstance(e.record, TranscriptLine)]
    words = {text for line in lines for text in (line.generated_text, line.heard_text)}
    personal = {NUMBER} | {text for text in words if len(text) > 5}
    for line in logs:
        shown = [str(value) for key, value in line.items() if not key.startswith("pii.")]
        assert not [each for each in personal if any(each in value for value in shown)], line


@asynccontextmanager
async def open_house(
    *,
    clips: Mapping[str, Clip] | None = None,
    business: Callable[[BusinessApi], BusinessApi] | None = None,
    humans: Callable[[FakeStore], Humans] | None = None,
    control: PhoneControl | None = None,
    tools: Mapping[str, Tool] | None = None,
    crashes: int | None = 0,
    tool_crashes: int | None = 0,
    provider: Provider | None = None,
    **policy: Any,
) -> AsyncIterator[House]:
    """A house for one test. At its end all calls have ended, and everything is checked.

    clips: what callers hear of them; the beginnings of the packaged ones unless given
    business: wraps the embedded one
    humans: who can be rung; those of house.phone unless given
    control: what records calls; house.phone unless given
    crashes, tool_crashes: how many calls and functions are expected to break, None: any number
    provider: of the second voice; None: calls have none
    policy: values of CallPolicy to replace
    """
    policy = {"second_voice": provider is not None, **policy}
    store, bookings = FakeStore(), MemoryBookings()
    journal = Journal(store, memory_spool(), run_sync=inline)
    tools = tools or registry()
    embedded: BusinessApi = LocalBusiness(
        load_business(), bookings, clock=lambda: MONDAY, run_sync=inline
    )
    effects = {each.name: Effect(each.effect) for each in tools.values()}
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            phone = FakePhone()
            rung = humans(store) if humans else make_humans(phone, store)
            recordings = Recordings(
                control or phone, journal.keep, status_url=STATUS_URL, wall_clock=clock
            )
            house = House(nursery, store, bookings, journal, phone, None, logs)  # type: ignore[arg-type]
            house.provider = provider
            voice = ElevenLabs(VOICE_URL, "xi", "eleven_flash_v2_5", "rachel", house.dial_voice)
            house.kit = CallKit(
                policy=replace(CallPolicy(effects=effects), **policy),
                clips=clips or brief_clips(),
                dial=house.dial,
                settings=lambda call: session_settings(call, tools),
                tools=tools,
                business=business(embedded) if business else embedded,
                journal=journal,
                humans=rung,
                recordings=recordings,
                phone_control=phone,
                intents=Intents(
                    store, journal, unavailable=UNAVAILABLE, wall_clock=clock, run_sync=inline
                ),
                wall_clock=clock,
                voice=voice if provider else None,
                recorder=Recorder(house.flights.__setitem__, FLIGHT_BYTES, run_sync=inline),
            )
            nursery.start_soon(journal.run)
            nursery.start_soon(rung.run)
            nursery.start_soon(recordings.run)
            yield house
            for call in house.calls.values():
                await call.ended()
            with trio.fail_after(60):
                await journal.flushed()
            nursery.cancel_scope.cancel()
    for call in house.calls.values():
        call.check()
    if crashes == 0:
        for data in house.flights.values():
            difference = first_difference(parse(data))
            assert difference == "", difference
    if provider is not None:
        assert provider.violations == []
        assert provider.live == 0
    assert_nothing_personal(logs, store)
    assert crashes is None or len(house.logged("call failed")) == crashes
    assert tool_crashes is None or len(house.logged("tool failed")) == tool_crashes
