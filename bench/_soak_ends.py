"""Both ends of a soak: callers, humans, a model and strangers, who all behave badly now and then.

Everything is drawn from one seed, so that a run can be made again as far as clocks allow.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.sim.brains import Brain, Call, Reply, Scripted, call, failed, rate_limited, reply, say
from relay.sim.person import Person
from relay.sim.realtime import Options, Session
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.twilio_stream import StreamFaults
from relay.sim.ulaw import tone

ACCOUNT: Final = "AC" + "7" * 32
TOKEN: Final = "soak-token"  # noqa: S105 - of a simulated account
OURS, HUMAN = "+15125550100", "+15125550199"
PUBLIC: Final = "https://relay.example.com"
#: Level instead of WebRTC's detector: there are fifty of them on one core.
OPTIONS: Final = Options(judge="level", noisy=True, transcript_s=(0.1, 0.4))
QUESTION: Final = tone(700, 700)
CALL_S: Final = 60.0  # nobody stays longer
HUSH_MS: Final = 1600  # longer than an agent takes between two words
LOST_SESSIONS: Final = 0.12
BOOKING: Final = '{"service":"cleaning","day":"tuesday","time":"%02d:00","name":"Ann Lee"}'


def brain(draw: random.Random) -> Brain:
    """A model that answers, uses functions, and fails in all ways that a model has."""
    answers: list[tuple[int, Callable[[], Reply]]] = [
        (8, lambda: reply(say("We are open from nine to five.", ms=1500), think_s=0.2)),
        (3, lambda: reply(say("A long story.", ms=6000))),
        (3, lambda: reply(say("Let me look.", ms=600), call("lookup_hours", day="friday"))),
        (2, lambda: reply(say("Yes.", ms=500), _booking(draw))),
        (2, lambda: reply(say("Goodbye.", ms=500), call("end_call"))),
        (1, lambda: reply(say("I ring them.", ms=500), call("transfer_to_human", reason="asked"))),
        (1, lambda: reply(call("take_message", name="Ann", text="Please call back."))),
        (1, lambda: reply(Call("no_such_thing", "{"), Call("lookup_hours", "[]"))),
        (1, failed),
        (1, lambda: rate_limited(1.0)),
        (1, lambda: Reply((say("Cut", ms=400),), status="incomplete", reason="content_filter")),
        (1, lambda: Reply((say("Stuck", ms=400),), stuck=True)),
    ]
    weights, makers = zip(*answers, strict=True)
    drawn = [make() for make in draw.choices(makers, weights, k=30)]
    return Scripted(*drawn, heard=[f"Words {n}." if n % 4 else "" for n in range(200)])


def _booking(draw: random.Random) -> Call:
    return Call("book_appointment", BOOKING % draw.randrange(9, 17))


async def lose(session: Session, draw: random.Random) -> None:
    """Some sessions do not last."""
    if draw.random() < LOST_SESSIONS:
        await trio.sleep(draw.uniform(0.5, 12))
        session.close(draw.choice([1000, 1001, 1006, 1011]))


# ---- callers --------------------------------------------------------------------------------

Behaviour = Callable[[Person, PhoneCall, random.Random], object]


async def hear_out(person: Person) -> None:
    """Listen until the other side has nothing more to say, or says nothing at all."""
    with suppress(trio.TooSlowError):
        await person.hear_until_silence(HUSH_MS, timeout_s=15)


async def talks(person: Person, _call: PhoneCall, draw: random.Random) -> None:
    await hear_out(person)
    for _ in range(draw.randrange(1, 4)):
        await person.say(QUESTION)
        await hear_out(person)


async def interrupts(person: Person, _call: PhoneCall, draw: random.Random) -> None:
    await person.hear_voice(timeout_s=20)
    for _ in range(6):
        await person.say(QUESTION)
        await trio.sleep(draw.uniform(0.2, 2.5))


async def leaves_at_once(_person: Person, _call: PhoneCall, draw: random.Random) -> None:
    await trio.sleep(draw.uniform(0, 1.5))


async def is_cut_off(_person: Person, placed: PhoneCall, draw: random.Random) -> None:
    """The stream's connection dies; the caller is still there, and is put through."""
    await trio.sleep(draw.uniform(0.5, 6))
    if placed.streams:
        placed.streams[-1].drop()
    await trio.sleep(draw.uniform(1, 6))


async def speaks_nonsense(_person: Person, placed: PhoneCall, draw: random.Random) -> None:
    await trio.sleep(draw.uniform(0.5, 3))
    for _ in range(draw.randrange(3, 30)):
        if placed.streams:
            with suppress(Exception):
                await placed.streams[-1].socket.send(draw.choice(NONSENSE))
        await trio.sleep(0.03)
    await trio.sleep(2)


async def presses_keys(person: Person, _call: PhoneCall, draw: random.Random) -> None:
    await trio.sleep(draw.uniform(1, 5))
    person.press(draw.choice(["0", "1234", "*#" * 20]))
    await trio.sleep(draw.uniform(6, 20))


async def stays(_person: Person, _call: PhoneCall, _draw: random.Random) -> None:
    """Says nothing, until the agent has had enough."""
    await trio.sleep(CALL_S)


NONSENSE: Final = (
    '{"event":',
    '{"event":"media","streamSid":"MZother","media":{"track":"inbound","payload":"!"}}',
    '{"event":"start","start":{}}',
    "[" * 5000,
    '{"event":"weather"}',
    "\ud7ff" * 100,
)
BEHAVIOURS: Final[tuple[tuple[int, Behaviour], ...]] = (
    (8, talks),
    (3, interrupts),
    (2, leaves_at_once),
    (2, is_cut_off),
    (2, speaks_nonsense),
    (2, presses_keys),
    (1, stays),
)


@dataclass
class Callers:
    """Everybody who phones. placed: the CallSids; did: what they did, counted"""

    cloud: TwilioCloud
    draw: random.Random
    placed: list[str] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)

    async def keep_calling(self, until: float) -> None:
        """One telephone after another, on one line."""
        await trio.sleep(self.draw.uniform(0, 3))
        while trio.current_time() < until:
            await self._one()
            await trio.sleep(self.draw.uniform(0, 0.5))

    async def _one(self) -> None:
        weights, behaviours = zip(*BEHAVIOURS, strict=True)
        behave = self.draw.choices(behaviours, weights)[0]
        base = f"{PUBLIC}/twilio"
        number = Number(OURS, f"{base}/incoming", f"{base}/fallback", f"{base}/status")
        caller = f"+1415{len(self.placed):07d}"
        placed = self.cloud.place(number, caller, faults=self._line())
        self.placed.append(placed.sid)
        self.did[behave.__name__] += 1

        async def script(person: Person) -> None:
            with trio.move_on_after(CALL_S), suppress(trio.TooSlowError):
                await behave(person, placed, self.draw)  # type: ignore[misc]
            person.hang_up()

        await self.cloud.run(placed, script, time_limit_s=2 * CALL_S)
        for sid in [sid for sid, each in self.cloud.calls.items() if each.ended_at is not None]:
            del self.cloud.calls[sid]  # what was said and heard is no more needed

    def _line(self) -> StreamFaults:
        jitter, lost = self.draw.choice([0.0, 0.0, 0.06]), self.draw.choice([0, 0, 11])
        return StreamFaults(
            jitter=(lambda: self.draw.uniform(0, jitter)) if jitter else None,
            lose_frame=(lambda n: n % lost == 0) if lost else None,
            lose_mark=(lambda name: name.endswith("00")) if self.draw.random() < 0.2 else None,
        )


async def change_shifts(phones: dict[str, HumanPhone], draw: random.Random) -> None:
    """Whoever is there to be rung: takes the call, declines it, is out, is busy; for ever."""
    while True:
        key = Act(press=draw.choice("112"), after_s=draw.uniform(1, 5))
        gone = Act(hang_up=True, after_s=draw.uniform(5, 20))
        outcome = draw.choice(["answer", "answer", "answer", "busy", "no-answer"])
        phones[HUMAN] = HumanPhone(draw.uniform(0.5, 4), outcome, acts=(key, gone))
        await trio.sleep(3)


# ---- strangers ------------------------------------------------------------------------------

UPGRADE: Final = (
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
KNOCKS: Final = (
    b"",
    b"GET /healthz HTTP/1.1\r\nHost",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    b"GET /twilio/stream/forged HTTP/1.1\r\n" + UPGRADE + b"\r\n\x00",
    b"GET / HTTP/1.1\r\n" + UPGRADE + b"Sec-WebSocket-Extensions: a; b=\xff\r\n\r\n",
    b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: \r\nContent-Length: 9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000,
)


async def knock(port: int, draw: random.Random) -> None:
    """Strangers at the door, one after another, for ever."""
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(_knock, port, draw.choice(KNOCKS))
            await trio.sleep(draw.uniform(0, 0.3))


async def _knock(port: int, wire: bytes) -> None:
    with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(10):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(wire)
            while await stream.receive_some():
                pass
