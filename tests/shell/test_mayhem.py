"""Any caller, any model, any fault, in any order: every call ends well, and ends once.

A plan is drawn: what the caller does and when, what the model answers, how its session behaves,
and what becomes of its messages on their way (lost, twice, late). Whatever it is, both sockets
close, one outcome is written down, no task is left, Twilio has nothing to complain of, and no row
says more was heard than was played.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest
import trio
import trio.testing
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from relay.core.records import CallEnded, DispositionChosen, OwnerNotice
from relay.errors import SocketClosed
from relay.ports import Socket
from relay.shell.kit import CallFacts
from relay.sim.brains import Call, Reply, Scripted, call, failed, rate_limited, reply, say
from relay.sim.realtime import Options
from relay.sim.twilio_stream import StreamFaults
from relay.sim.ulaw import tone
from tests.core.driver import TIMES
from tests.shell.house import PLAIN, House, Placed, open_house, short_clips

BOOKING = '{"service":"cleaning","day":"tuesday","time":"09:00","name":"Ann"}'
VOICE = tone(700, 1500)


@dataclass(frozen=True)
class Act:
    """Something that the caller's side does, after a while."""

    after_s: float
    what: str
    ms: int = 0


REPLIES = st.sampled_from(
    [
        reply(say("Hm.", ms=300)),
        reply(say("A long story.", ms=7000)),
        reply(say("One.", ms=800), say("Two.", ms=900)),
        reply(say("Let me look.", ms=900), call("lookup_hours", day="friday")),
        reply(call("lookup_hours", day="friday"), call("lookup_hours", day="no day")),
        reply(say("I book it.", ms=1500), Call("book_appointment", BOOKING)),
        reply(Call("book_appointment", BOOKING)),
        reply(Call("no_such_thing", "{")),
        reply(say("Bye.", ms=700), call("end_call")),
        reply(call("end_call"), call("transfer_to_human", reason="both")),
        reply(call("transfer_to_human", reason="asked")),
        reply(say("I ring them.", ms=600), call("transfer_to_human", reason="asked")),
        reply(call("cancel_transfer")),
        reply(),
        reply(say("Thinking.", ms=500), think_s=5.0),
        failed(),
        rate_limited(1.0),
        rate_limited(60.0),
        Reply((say("Cut", ms=400),), status="incomplete", reason="max_output_tokens"),
        Reply((say("Bad", ms=400),), status="incomplete", reason="content_filter"),
        Reply((say("Stuck", ms=400),), stuck=True),
        Reply(stuck=True),
    ]
)

ACTS = st.builds(
    Act,
    after_s=st.sampled_from([0.0, 0.05, 0.4, 1.0, 3.0, 8.0]),
    what=st.sampled_from(
        ["say"] * 6 + ["key 0", "key 7", "garbage", "hang up", "drop", "close", "stale mark"]
    ),
    ms=st.sampled_from([40, 250, 600, 1500]),
)


@dataclass(frozen=True)
class Fate:
    """What becomes of messages on their way, by chance: the model's, and (jitter_s) all."""

    seed: int
    lost: float
    twice: float
    late: float
    jitter_s: float
    close_after: int | None
    close_code: int


FATES = st.builds(
    Fate,
    seed=st.integers(0, 2**32),
    lost=st.sampled_from([0.0, 0.0, 0.05, 0.4]),
    twice=st.sampled_from([0.0, 0.0, 0.2]),
    late=st.sampled_from([0.0, 0.0, 0.2]),
    jitter_s=st.sampled_from([0.0, 0.08]),
    close_after=st.sampled_from([None, None, None, 2, 6, 15, 25, 40, 60]),
    close_code=st.sampled_from([1000, 1001, 1006, 1011, 3000, 4000]),
)

SESSIONS = st.builds(
    lambda **changes: replace(PLAIN, **changes),
    created_s=st.sampled_from([0.0, 0.0, 0.5, 1.0, 6.0]),
    update_s=st.sampled_from([0.0, 0.5]),
    hang=st.sampled_from([False] * 9 + [True]),
    pace=st.sampled_from([1.1, 8.0, 50.0]),
    cancel_s=st.sampled_from([0.0, 0.02, 1.0]),
    transcript_s=st.sampled_from([(0.3,), (2.5, 0.0), (9.0,)]),
    noisy=st.booleans(),
    swapped=st.booleans(),
    session_s=st.sampled_from([3600.0, 3600.0, 12.0]),
)

PHONES = st.builds(
    StreamFaults,
    lose_frame=st.sampled_from([None, None, lambda n: n % 7 == 0]),
    lose_mark=st.sampled_from([None, None, lambda name: name.endswith("0")]),
)


#: Tasks of the process, whatever becomes of its calls.
FOR_EVER = ("relay.shell.journal", "relay.shell.humans", "relay.shell.recordings")


class Mangled:
    """The relay's end of a session on a road where messages get lost, doubled and delayed.

    The audio is never doubled: then the agent would have said more than the model knows.
    """

    def __init__(self, inner: Socket, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate
        self._dice = random.Random(fate.seed)
        self._ready: deque[str | bytes] = deque()
        self._held: list[str | bytes] = []
        self._count = 0

    async def receive(self) -> str | bytes:
        while not self._ready:
            self._take(await self._inner.receive())
        self._count += 1
        if self._fate.close_after == self._count:
            await self._inner.aclose(1000)
            raise SocketClosed(self._fate.close_code, "enough")
        return self._ready.popleft()

    def _take(self, message: str | bytes) -> None:
        roll = self._dice.random
        if roll() < self._fate.lost:
            return
        if roll() < self._fate.late:
            self._held.append(message)
            return
        self._ready.append(message)
        if roll() < self._fate.twice and '"response.output_audio.delta"' not in str(message):
            self._ready.append(message)
        if self._held and roll() < 0.5:
            self._ready.append(self._held.pop(0))

    async def send(self, text: str) -> None:
        await self._inner.send(text)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.aclose(code, reason)


async def act(placed: Placed, acts: list[Act]) -> None:
    for each in acts:
        await trio.sleep(each.after_s)
        with suppress(SocketClosed):
            match each.what:
                case "say":
                    placed.person.begin_to_say(VOICE[: each.ms * 8])
                case "key 0" | "key 7":
                    placed.person.press(each.what[-1])
                case "hang up":
                    placed.hang_up()
                case "drop":
                    placed.leg.drop()
                case "close":
                    await placed.phone.aclose(1001)
                case "garbage":
                    await placed.phone.send('{"event":')
                case "stale mark":
                    sid = placed.leg.stream_sid
                    mark = '{"event":"mark","streamSid":"%s","mark":{"name":"0:x:20"}}'
                    await placed.phone.send(mark % sid)


async def answer_telephones(house: House, dice: random.Random, over: trio.Event) -> None:
    """Humans as they are: some take a call, some decline, some are out."""
    humans, seen = house.kit.humans, 0
    while not over.is_set():
        await trio.sleep(0.1)
        if len(house.phone.legs) == seen:
            continue
        seen = len(house.phone.legs)
        attempt, sid = house.phone.attempt, f"CAleg{seen}"
        await trio.sleep(dice.uniform(0, 6))
        match dice.choice(["take", "take", "take and hang up", "decline", "busy", "no-answer"]):
            case "take":
                await humans.screen(attempt)
                await humans.pressed(attempt, "1")
            case "take and hang up":
                await humans.screen(attempt)
                await humans.pressed(attempt, "1")
                await trio.sleep(dice.uniform(0, 2))
                await humans.leg_status(attempt, "completed", sid)
            case "decline":
                await humans.screen(attempt)
                await humans.pressed(attempt, "2")
            case status:
                await humans.leg_status(attempt, status, sid)


async def live_through(
    acts: list[Act], replies: list[Reply], options: Options, phone: StreamFaults, fate: Fate
) -> Placed:
    heard = [f"Words {n}." if n % 3 else "" for n in range(100)]
    async with open_house(clips=short_clips(), max_call_s=45.0) as house:

        @asynccontextmanager
        async def dial(facts: CallFacts) -> AsyncIterator[Socket]:
            async with house.dial(facts) as socket:
                yield Mangled(socket, fate)

        kit = replace(house.kit, dial=dial)
        brain = Scripted(*replies, heard=heard)
        dice = random.Random(fate.seed)
        placed = house.ring(
            brain,
            options=options,
            faults=phone,
            kit=kit,
            delay=lambda: dice.uniform(0, fate.jitter_s),
        )
        house.nursery.start_soon(answer_telephones, house, dice, placed.over)
        placed.strict_model = not options.noisy  # those fields are in nobody's types
        await act(placed, acts)
        await placed.ended(120)
        await check_all_is_over(house, placed)
    check_rows(placed)
    check_nobody_waits(house, placed)
    return placed


def check_nobody_waits(house: House, placed: Placed) -> None:
    """Every human who was rung is with the caller, was let go, or had let go."""
    for row in house.store.attempts.values():
        left = row.state in {"lost", "over"} or row.leg_sid in house.phone.ended
        on_the_way = row.state == "accepted" and placed.chosen == ["join"]
        assert left or on_the_way, row


async def check_all_is_over(house: House, placed: Placed) -> None:
    """Nobody is left but who serves all calls; both of the relay's sockets are closed."""
    with trio.move_on_after(20):
        while len(house.nursery.child_tasks) > len(FOR_EVER):  # noqa: ASYNC110 - other people's tasks
            await trio.sleep(0.1)
    assert [t.name for t in house.nursery.child_tasks if not t.name.startswith(FOR_EVER)] == []
    assert placed.leg.ended is not None
    for socket in (placed.ours, *placed.model_ends):
        with pytest.raises(SocketClosed):
            await read_out(socket)


async def read_out(socket: Socket) -> None:
    """Read until it is closed; a socket that is not would keep us here."""
    with trio.fail_after(5):
        while True:
            await socket.receive()


def check_rows(placed: Placed) -> None:
    (ended,) = placed.rows(CallEnded)
    chosen = [row.disposition for row in placed.rows(DispositionChosen)]
    assert placed.chosen == chosen
    failures = [row.ref for row in placed.rows(OwnerNotice) if row.kind == "failed"]
    assert failures == (["failed"] if ended.outcome == "failed" else [])
    assert chosen in ([], ["hang_up"], ["join"], ["fallback"], ["voicemail"])
    assert (ended.outcome == "failed") == (chosen in (["fallback"], ["voicemail"]))
    assert (ended.outcome == "transferred") == (chosen == ["join"])
    if not ended.notice_heard:
        assert placed.lines() == []
    for line in placed.lines():
        marked = any(m.name.split(":")[1] == line.item_id for m in placed.leg.playout.marks)
        if line.heard_ms:
            assert marked
            assert line.heard_ms <= placed.played_ms(line.item_id) + 1, line
    assert {status for _, status in placed.tools()} <= {"ok", "error", "cancelled", "late"}


@given(
    # Most callers say something once they were greeted; what then comes of it is the test.
    acts=st.lists(ACTS, max_size=8).map(lambda acts: [Act(1.0, "say", 700), *acts]),
    replies=st.lists(REPLIES, max_size=6),
    options=SESSIONS,
    phone=PHONES,
    fate=FATES,
)
@settings(
    max_examples=10 * TIMES,  # `make fuzz` makes many more
    # Not shrunk: a plan that fails is small enough to read, and a run of it is long.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
def test_every_call_ends_well_and_once(acts, replies, options, phone, fate):
    clock = trio.testing.MockClock(autojump_threshold=0)
    placed = trio.run(live_through, acts, replies, options, phone, fate, clock=clock)
    event(placed.outcome().reason or "no reason")  # --hypothesis-show-statistics: is it all met?
