"""The golden calls: each a script for both ends, and what its recording must show.

A scene is played in the shell's harness, on a clock that jumps. What comes out depends on the core
alone (and on what the simulated ends do), so a golden file changes when a decision does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import trio

from relay.shell.kit import CallKit
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.ulaw import tone
from tests.shell.house import PLAIN, House, Placed

DELTA = "response.output_audio.delta"
OVER = tone(600, 800)  # another voice than the question's


@dataclass(frozen=True, slots=True)
class Scene:
    """play: makes one call in a house, with this kit, to its end.

    shows: commands, by name and leading fields, that come in this order
    phases: the call's way
    """

    play: Callable[[House, CallKit], Awaitable[None]]
    shows: tuple[tuple[object, ...], ...]
    phases: str


async def greeting_and_turn(house: House, kit: CallKit) -> None:
    brain = Scripted(reply(say("We are open from nine to five.")), heard=["When are you open?"])
    placed = house.ring(brain, kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.answered()
    await hang_up(placed)


async def barge_in(house: House, kit: CallKit) -> None:
    brain = Scripted(
        reply(say("We are open on Monday, Tuesday and Friday, but never on Sunday.", ms=6000)),
        reply(say("I see.", ms=900, hz=1300)),
        heard=["When are you open?", "Stop it."],
    )
    placed = house.ring(brain, kit=kit)
    await placed.greeted()
    asked = await placed.say()
    await placed.person.hear_voice(placed.line.sample(asked), timeout_s=60)
    await trio.sleep(2.5)
    await placed.say(OVER)
    await placed.answered(2)
    await hang_up(placed)


async def booking_waits(house: House, kit: CallKit) -> None:
    booking = call(
        "book_appointment", service="cleaning", day="tuesday", time="09:00", name="Ann Lee"
    )
    brain = Scripted(
        reply(say("I book you in for Tuesday at nine.", ms=3000), booking),
        reply(say("Done.", ms=600, hz=900)),
        heard=["Yes, please."],
    )
    placed = house.ring(brain, kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.answered(2)
    await hang_up(placed)


async def session_replaced(house: House, kit: CallKit) -> None:
    brain = Scripted(
        reply(say("We open at nine and close at five, every day.", ms=4000)),
        reply(say("As I said, at nine.", ms=1500, hz=900)),
        heard=["When do you open?"] * 2,  # the successor hears it again
    )
    options = replace(PLAIN, close_on=Lost(times=1))
    placed = house.ring(brain, options=options, kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.until(lambda: len(placed.sessions) == 2)
    await placed.answered()
    await hang_up(placed)


async def model_lost(house: House, kit: CallKit) -> None:
    long = reply(say("Well, " * 20, ms=4000))
    brain = Scripted(*[long] * 5, heard=["When?"] * 5)
    placed = house.ring(brain, options=replace(PLAIN, close_on=Lost(times=99)), kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.ended(120)


async def transfer(house: House, kit: CallKit) -> None:
    brain = Scripted(
        reply(say("I get somebody.", ms=1500), call("transfer_to_human", reason="asked")),
        reply(say("It rings. What is it about?", ms=4000)),
        heard=["A human, please."],
        privately=[reply(say("They have a question."))],
    )
    placed = house.ring(brain, kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.until(lambda: len(placed.spoken_items()) == 2)
    await trio.sleep(1)
    await house.kit.humans.screen(house.phone.attempt)
    await house.kit.humans.pressed(house.phone.attempt, "1")
    await placed.ended(120)


async def goodbye_taken_back(house: House, kit: CallKit) -> None:
    brain = Scripted(
        reply(say("Bye!", ms=1000), call("end_call")),
        reply(say("Yes?", ms=800, hz=900)),
        heard=["That is all.", "Oh, one more thing!"],
    )
    placed = house.ring(brain, kit=kit)
    await placed.greeted()
    await placed.say()
    await placed.answered()
    await trio.sleep(0.4)
    await placed.say(OVER)
    await placed.answered(2)
    await hang_up(placed)


async def hang_up(placed: Placed) -> None:
    placed.hang_up()
    await placed.ended()


@dataclass
class Lost:
    """The model's socket dies behind the fourth delta of an answer, so many times."""

    times: int
    deltas: int = 0

    def __call__(self, event: dict[str, object]) -> int | None:
        self.deltas += event["type"] == DELTA
        if self.deltas < 4 or not self.times:
            return None
        self.deltas, self.times = 0, self.times - 1
        return 1006


TALK = "IDLE GREETING TALKING ENDED"
LEFT = "IDLE GREETING TALKING LEAVING HANDED_OVER ENDED"

SCENES = {
    "greeting_and_turn": Scene(
        greeting_and_turn,
        (
            ("SendAudio", 320),
            ("DialModel",),
            ("ConfigureModel",),
            ("CreateResponse", "turn"),
            ("EndCall",),
        ),
        TALK,
    ),
    "barge_in": Scene(
        barge_in,
        (
            ("CreateResponse", "turn"),
            ("ClearPhone",),
            ("TruncateItem",),
            ("CreateResponse", "turn"),
        ),
        TALK,
    ),
    "booking_waits": Scene(
        booking_waits,
        (
            ("CreateResponse", "turn"),
            ("RunTool",),
            ("PostToolOutput",),
            ("CreateResponse", "tool"),
        ),
        TALK,
    ),
    "session_replaced": Scene(
        session_replaced,
        (("DialModel",), ("CloseModel",), ("DialModel",), ("CreateResponse",), ("EndCall",)),
        TALK,
    ),
    "model_lost": Scene(
        model_lost, (("CreateResponse", "turn"), ("ClosePhone", "fallback"), ("EndCall",)), LEFT
    ),
    "transfer": Scene(
        transfer,
        (
            ("RunTool",),
            ("AskPrivately", "summary"),
            ("PostToolOutput",),
            ("BriefHuman",),
            ("ClearPhone",),
            ("ClosePhone", "join"),
        ),
        LEFT,
    ),
    "goodbye_taken_back": Scene(
        goodbye_taken_back,
        (
            ("PostToolOutput",),
            ("AddText", "system"),
            ("CreateResponse", "turn"),
            ("EndCall",),
        ),
        "IDLE GREETING TALKING LEAVING TALKING ENDED",
    ),
}
