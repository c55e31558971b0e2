"""The callers of bench/latency.py, a process of its own: a simulated Twilio with N calls at once.

    python bench/_latency_phones.py PUBLIC LOCAL CALLS TURNS KNOCKS

All calls are placed within a second and hear the greeting; meanwhile KNOCKS more come one after
another and hang up at the first sound, so that there are greetings enough to speak of. Then
everybody speaks, is answered, interrupts the answer, is answered … TURNS times, hears the last
answer out and hangs up. What passed every phone's socket, and when, goes to stdout as one JSON
object; times are the machine's monotonic clock, in seconds.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._latency_model import decoded_size
from bench._latency_wire import Wire
from bench._latency_wire import call as call_up
from relay.sim.line import FRAME
from relay.sim.person import Person
from relay.sim.room import Room
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import Answer, Form, Internet, NetworkError, open_internet
from relay.sim.twilio_stream import PhoneSocket
from relay.sim.ulaw import SILENCE, tone

ACCOUNT_SID: Final = "AC" + "5" * 32
AUTH_TOKEN: Final = "benchmark-token"  # noqa: S105
OWN_NUMBER: Final = "+15125550100"
# A low tone, well over the agent's own level: to the relay's ear it is one long vowel.
VOICE: Final = tone(200.0, 600, -12.0)
LISTEN_S: Final = (0.5, 0.9)  # of an answer, before it is interrupted
ANSWER_S: Final = 8.0
HUSH: Final = SILENCE * FRAME

T = TypeVar("T")


@dataclass(slots=True)
class Tap:
    """What one phone saw: `start` sent, frames sent, voiced frames; media (when, bytes), clears.

    voiced: numbers of the frames that carried the caller's voice, counted from 0
    missing: what the caller waited for in vain
    """

    started: float = 0.0
    frames: list[float] = field(default_factory=list)
    voiced: list[int] = field(default_factory=list)
    media: list[tuple[float, int]] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ruler:
    """A room without sound of its own, that knows which sample goes out, and whether in silence."""

    position: int = 0
    hush: bool = True
    echo_delay_ms: int = 0

    def mix(self, voice: bytes, _: bytes, start: int) -> bytes:
        self.position, self.hush = start, voice == HUSH
        return voice


@dataclass(frozen=True, slots=True)
class Tapped:
    """A phone's socket that notes what passes."""

    socket: Wire
    tap: Tap
    ruler: Ruler

    async def receive(self) -> str | bytes:
        message = await self.socket.receive()
        at, text = time.monotonic(), str(message)
        if '"payload"' in text:
            start = text.index('"', text.index('"payload"') + 9) + 1
            self.tap.media.append((at, decoded_size(text[start : text.index('"', start)])))
        elif '"clear"' in text:
            self.tap.clears.append(at)
        return message

    async def send(self, text: str) -> None:
        if text.startswith('{"event":"media"'):
            if not self.ruler.hush:
                self.tap.voiced.append(len(self.tap.frames))
            self.tap.frames.append(time.monotonic())
        elif text.startswith('{"event":"start"'):
            self.tap.started = time.monotonic()
        await self.socket.send(text)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.aclose(code, reason)

    def drop(self) -> None:
        self.socket.drop()


@dataclass(frozen=True, slots=True)
class Tapping:
    """The network between one call and the relay, with a tap on its stream.

    local: where the relay really is, as http://127.0.0.1:8080
    """

    internet: Internet
    local: str
    tap: Tap
    ruler: Ruler

    async def request(
        self, method: str, url: str, form: Form, headers: Mapping[str, str]
    ) -> Answer:
        return await self.internet.request(method, url, form, headers)

    async def stream(
        self, url: str, headers: Mapping[str, str], use: Callable[[PhoneSocket], Awaitable[T]]
    ) -> T:
        try:
            wire = await call_up(self.local + urlsplit(url).path, headers)
        except (OSError, trio.TooSlowError) as fault:
            raise NetworkError(31920, f"{url}: {fault}") from None
        try:
            return await use(Tapped(wire, self.tap, self.ruler))
        finally:
            wire.drop()


# ---- one call -------------------------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """All callers of a run. They begin to speak together; window: in which all of them talk."""

    calls: int
    turns: int
    greeted: int = 0
    knocked: bool = False
    all_greeted: trio.Event = field(default_factory=trio.Event)
    window: list[float] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def begin(self) -> None:
        """Begin when everybody is ready for it."""
        if self.greeted == self.calls and self.knocked and not self.all_greeted.is_set():
            self.window.append(time.monotonic())
            self.all_greeted.set()


async def until_quiet(person: Person) -> None:
    """Wait until everything that was sent has been heard, and a little longer."""
    line = person.line
    while line.heard.end + FRAME * 10 > line.sample():  # noqa: ASYNC110 - each sleep is exact
        await trio.sleep_until(line.time(line.heard.end + FRAME * 11))


async def next_media(tap: Tap, seen: int, what: str) -> None:
    """Wait for the first sound after so many media messages; note it when there is none."""
    with trio.move_on_after(ANSWER_S) as scope:
        while len(tap.media) <= seen:  # noqa: ASYNC110 - a wake a message would cost more
            await trio.sleep(0.02)
    if scope.cancelled_caught:
        tap.missing.append(f"no {what} within {ANSWER_S:.0f} s")


async def talk(person: Person, stage: Stage, tap: Tap, ruler: Ruler, draw: random.Random) -> None:
    await next_media(tap, 0, "greeting")
    await until_quiet(person)
    stage.greeted += 1
    stage.begin()
    await stage.all_greeted.wait()
    await trio.sleep(draw.uniform(0, 1.5))
    for _ in range(stage.turns):
        # Whole frames: the first one that has voice is full of it.
        said = person.line.said.play(VOICE, ruler.position + 2 * FRAME) + len(VOICE)
        await trio.sleep_until(person.line.time(said))
        await next_media(tap, len(tap.media), "answer")
        await trio.sleep(draw.uniform(*LISTEN_S))
    if len(stage.window) == 1:
        stage.window.append(time.monotonic())
    await until_quiet(person)
    person.hang_up()


async def knock(person: Person, tap: Tap) -> None:
    await next_media(tap, 0, "greeting")
    person.hang_up()


def number_of(index: int) -> str:
    return f"+1415555{index:04d}"


def report(call: PhoneCall, tap: Tap, *, knocks: bool) -> dict[str, Any]:
    webhook = next(e for e in call.exchanges if e.url.endswith("/twilio/incoming"))
    return {
        "caller": call.caller,
        "knocks": knocks,
        "webhook": webhook.took_s,
        "gaps": [(end - start) / 8 for start, end in call.line.heard.gaps()],
        "complaints": [f"{c.code} {c.text}" for c in call.complaints],
        **{name: getattr(tap, name) for name in Tap.__slots__},
    }


async def main(public: str, local: str, calls: int, turns: int, knocks: int) -> None:
    stage, number = Stage(calls, turns), Number(OWN_NUMBER, f"{public}/twilio/incoming")

    async def place(index: int, internet: Internet, *, knocks: bool = False) -> None:
        tap, ruler, draw = Tap(), Ruler(), random.Random(index)
        cloud = TwilioCloud(ACCOUNT_SID, AUTH_TOKEN, Tapping(internet, local, tap, ruler))
        call = cloud.place(number, number_of(index), room=cast("Room", ruler))

        async def script(person: Person) -> None:
            if knocks:
                await knock(person, tap)
            else:
                await talk(person, stage, tap, ruler, draw)

        await cloud.run(call, script, time_limit_s=120.0)
        stage.reports.append(report(call, tap, knocks=knocks))

    async with open_internet({public: local}) as internet, trio.open_nursery() as nursery:
        for index in range(calls):
            nursery.start_soon(place, index, internet)
            await trio.sleep(1 / calls + 0.0013)  # so that their frames don't fall together
        for index in range(knocks):
            await place_knock(place, calls + index, internet)
        stage.knocked = True
        stage.begin()
    print(json.dumps({"window": stage.window, "calls": stage.reports}), flush=True)


async def place_knock(place: Callable[..., Awaitable[None]], index: int, on: Internet) -> None:
    await place(index, on, knocks=True)
    await trio.sleep(0.05)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began it, and ends it
    gc.freeze()
    gc.disable()  # a collection here would be taken for the relay's
    where, counts = sys.argv[1:3], [int(word) for word in sys.argv[3:6]]
    trio.run(main, where[0], where[1], counts[0], counts[1], counts[2])
