"""The five callers. What the agent will say is not known beforehand: they go by what it said last.

hours    asks for a day's hours, and says goodbye
booking  asks for an appointment, corrects its time when it is read back, says yes, and goodbye
noise    lets the agent hear nothing but a noisy street, and hangs up
human    asks for a human, is put through, and takes leave of them
silence  says nothing, until the agent hangs up
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import trio

from relay.demo.caller import ANSWER_S, TURNS_MS, Caller
from relay.rehearse.want import Want
from relay.rehearse.words import asks, says_time
from relay.sim.ulaw import encode

Name = Literal["hours", "booking", "noise", "human", "silence"]

MAX_TURNS: Final = 8
WAIT: Final = ""
STREET_S: Final = 15.0
SILENT_S: Final = 60.0  # longer than the agent's own patience
BURST_DB: Final = -28.0
_STALLING: Final = ("moment", "let me", "one second", "i'll check", "i will check")


class Written(Protocol):
    """What a caller may look up: what a real one would have understood of the agent's words."""

    def agent_said(self, sid: str) -> list[str]:
        """What the agent has said on a call so far."""

    def used(self, sid: str, name: str) -> bool:
        """Whether a function was called on a call."""


Script = Callable[[Caller, Written, Want], Awaitable[None]]


async def ask_hours(caller: Caller, _: Written, __: Want) -> None:
    await caller.greeted()
    await caller.ask("hours", TURNS_MS)
    await _part(caller)


async def book(caller: Caller, written: Written, want: Want) -> None:
    await caller.greeted()
    said: list[str] = []
    line = "book"
    while line and len(said) < MAX_TURNS:
        before = len(written.agent_said(caller.call.sid))
        await caller.ask(line, TURNS_MS)
        said.append(line)
        line = await _next(caller, written, want, said, before)
    await _part(caller)


async def _next(
    caller: Caller, written: Written, want: Want, said: Sequence[str], before: int
) -> str:
    """What to say next; "" once the appointment is made. Waits while the agent is looking."""
    sid = caller.call.sid
    while not written.used(sid, "book_appointment"):
        agent = " ".join(written.agent_said(sid)[before:])
        line = reply(want, said, agent)
        if line != WAIT:
            return line
        begin = await caller.person.hear_voice(timeout_s=ANSWER_S)
        await caller.end_of_turn(begin, TURNS_MS)
    return ""


def reply(want: Want, said: Sequence[str], agent: str) -> str:
    """What the caller who books says to what the agent said; WAIT to let it go on.

    said: their own lines so far, by name
    """
    lowered = agent.lower()
    if agent and not asks(agent) and any(word in lowered for word in _STALLING):
        return WAIT
    if said[-1] == "wrong":
        return "instead"
    if "name" in lowered and want.name not in lowered:
        return "name"
    if "wrong" not in said:
        return "wrong" if says_time(agent, want.first.time()) else "book"
    return "yes" if says_time(agent, want.at.time()) else "instead"


async def make_noise(caller: Caller, _: Written, __: Want) -> None:
    await caller.greeted()
    caller.tell("caller", "(a noisy street)")
    draw = random.Random(1)  # noqa: S311 - the same street every time
    with trio.move_on_after(STREET_S):
        while True:
            await caller.person.say(burst(draw, draw.randint(120, 900)))
            await trio.sleep(draw.uniform(0.4, 2.0))
    caller.person.stop_saying()
    caller.person.hang_up()


def burst(draw: random.Random, ms: int) -> bytes:
    """A noise without a voice in it: mu-law."""
    level = 32768 * 10 ** (BURST_DB / 20)
    return encode(round(draw.gauss(0, level)) for _ in range(8 * ms))


async def want_human(caller: Caller, written: Written, _: Want) -> None:
    await caller.greeted()
    await caller.ask("human", TURNS_MS)
    if not written.used(caller.call.sid, "transfer_to_human"):
        await caller.first_sound(await caller.say("about"))
    await caller.put_through()
    await caller.take_leave()


async def say_nothing(caller: Caller, _: Written, __: Want) -> None:
    await caller.greeted()
    caller.tell("caller", "(says nothing)")
    await trio.sleep(SILENT_S)
    caller.person.hang_up()


async def _part(caller: Caller) -> None:
    """Say goodbye, and let the agent hang up."""
    await caller.first_sound(await caller.say("bye"))
    await caller.until_hung_up()


@dataclass(frozen=True, slots=True)
class Role:
    """One caller. responses: of the model's, at most, for what it may cost"""

    name: Name
    number: str
    script: Script
    responses: int


#: In the order in which they call: the cheapest that can fail first.
ROLES: Final = (
    Role("silence", "+14155550170", say_nothing, 0),
    Role("hours", "+14155550171", ask_hours, 4),
    Role("noise", "+14155550172", make_noise, 6),
    Role("human", "+14155550173", want_human, 5),
    Role("booking", "+14155550174", book, 16),
)
