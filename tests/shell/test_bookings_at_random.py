"""Two callers, two agents, one calendar and a shaky line to it, at random: no booking that was not
announced to its end, none twice, none lost.

The suite makes six runs; `make bookings` makes a thousand (RUNS=…).
"""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import trio
import trio.testing

from relay.core.records import OwnerNotice, ToolCalled
from relay.errors import BusinessError, SocketClosed
from relay.ports import Booked, BookingRequest, BusinessApi, NotBooked
from relay.sim.brains import Call, Reply, Request, Scripted, reply, say
from relay.sim.ulaw import tone
from tests.shell.house import House, Placed, open_house, short_clips

RUNS = int(os.environ.get("RUNS", "6"))
CHUNKS = 10  # side by side
TIMES = ("09:00", "09:30", "10:00")
NAMES = ("Ann Lee", "Bob Ray")
VOICE = tone(650, 2000)


@dataclass
class Shaky:
    """A business that is slow, whose answers get lost, and that does not always hear."""

    inner: BusinessApi
    dice: random.Random

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        await trio.sleep(self.dice.choice([0.0, 0.05, 0.4, 1.0, 3.5]))
        fate = self.dice.random()
        if fate < 0.1:
            raise BusinessError("not heard")
        answer = await self.inner.book(request, key)
        if fate < 0.25:
            raise BusinessError("the answer got lost")
        return answer


@dataclass
class Agent:
    """A model that books what it is asked for, more or less well.

    announced: what it said it would do, by the number in what it said
    """

    dice: random.Random
    label: str
    announced: dict[str, dict[str, str]] = field(default_factory=dict)
    made: int = 0

    def __call__(self, request: Request) -> Reply:
        if self.made > 12 or self.dice.random() < 0.25:
            return reply(say("Anything else?", ms=self.dice.choice([300, 900])))
        self.made += 1
        wish = {
            "service": "cleaning",
            "day": "tuesday",
            "time": self.dice.choice(TIMES),
            "name": self.dice.choice(NAMES),
        }
        number = f"{self.label}{self.made}"
        self.announced[number] = wish
        words = say(f"I book number {number} now.", ms=self.dice.choice([200, 800, 2500]))
        calls = [self._call(wish) for _ in range(self.dice.choice([1, 1, 1, 2]))]
        return reply(words, *calls, think_s=self.dice.choice([0.0, 0.3]))

    def _call(self, wish: dict[str, str]) -> Call:
        """The same wish, each time spelt a little otherwise."""
        items = list(wish.items())
        self.dice.shuffle(items)
        return Call("book_appointment", json.dumps(dict(items), indent=self.dice.choice([None, 1])))


async def behave(placed: Placed, dice: random.Random) -> None:
    """A caller who asks, waits or does not, breaks in, and leaves."""
    with suppress(SocketClosed):
        await placed.until(lambda: placed.leg.playout.received)
        await trio.sleep(dice.uniform(0.5, 1.5))
        for _ in range(dice.randint(1, 5)):
            placed.person.begin_to_say(VOICE[: dice.choice([500, 900, 1500]) * 8])
            await trio.sleep(dice.choice([1.0, 1.8, 2.5, 4.0, 7.0]))
        placed.hang_up()


async def one_run(seed: int) -> None:
    dice = random.Random(seed)
    agents: list[Agent] = []
    async with open_house(
        clips=short_clips(300),
        business=lambda inner: Shaky(inner, random.Random(seed + 1)),
        max_call_s=60.0,
    ) as house:
        for label in "AB":
            agent = Agent(random.Random(f"{seed}{label}"), label)
            agents.append(agent)
            brain = Scripted(*[agent] * 40, heard=["Book it, please."] * 40)
            placed = house.ring(brain)
            house.nursery.start_soon(behave, placed, random.Random(f"{seed}{label}!"))
            await trio.sleep(dice.uniform(0, 2))
    check(house, agents)


def check(house: House, agents: list[Agent]) -> None:
    booked = list(house.bookings.requests.values())
    slots = [request.starts_at for request in booked]
    assert len(slots) == len(set(slots)), "two appointments in one slot"
    for request in booked:
        assert heard_out(house, agents, request), f"nobody was told of {request}"
    for placed in house.calls.values():
        told = [json.loads(row.output) for row in finals(placed) if row.status == "ok"]
        for output in told:
            if output.get("booked"):
                at = datetime.fromisoformat(f"{output['date']}T{output['time']}")
                assert at in slots, "told of a booking that there is none of"
        names = [row.kind for row in placed.rows(OwnerNotice) if row.kind == "booked"]
        known = {row.arguments for row in finals(placed) if '"booked":true' in row.output}
        assert len(names) <= len({canonical(text) for text in known}), "told twice"


def heard_out(house: House, agents: list[Agent], request: BookingRequest) -> bool:
    """Whether the announcement of a booking was heard to its end, by anybody who could book it."""
    for placed, agent in zip(house.calls.values(), agents, strict=True):
        whole = {line.generated_text for line in placed.lines() if not line.interrupted}
        for number, wish in agent.announced.items():
            same = (wish["name"], wish["time"]) == (request.name, f"{request.starts_at:%H:%M}")
            if same and f"I book number {number} now." in whole:
                return True
    return False


def finals(placed: Placed) -> list[ToolCalled]:
    latest = {row.call_id: row for row in placed.rows(ToolCalled)}
    return list(latest.values())


def canonical(arguments: str) -> str:
    value: Any = json.loads(arguments)
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("chunk", range(min(RUNS, CHUNKS)))
def test_no_booking_is_wrong_double_or_lost(chunk: int) -> None:
    for seed in range(chunk, RUNS, CHUNKS):
        clock = trio.testing.MockClock(autojump_threshold=0)
        try:
            trio.run(one_run, seed, clock=clock)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
