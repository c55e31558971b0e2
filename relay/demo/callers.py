"""The four callers' scripts, and what they say.

Call 1 asks for a day's hours, changes its mind while the agent answers and asks for another day's
(that is the barge-in), books, says yes to the read-back, and goodbye; then the agent hangs up.
Call 2 presses 0 while it is greeted, is put through to a human, and takes leave of them.
Call 3 asks for a human, says what about, is put through, and speaks with them.
Call 4 asks for a human, too, and for a day's hours while nobody answers; then it leaves a message.
"""

from __future__ import annotations

import trio

from relay.demo.caller import ANSWER_S, TALKING_MS, TURNS_MS, WORK_MS, Caller
from relay.demo.scenario import Scenario
from relay.sim import phrases
from relay.sim.line import PER_MS


def lines(scenario: Scenario) -> dict[str, str]:
    """What the callers say, by the place in their scripts."""
    want = scenario.booking
    return {
        "other_day": phrases.ask_hours(scenario.interrupted),
        "day": phrases.ask_hours(scenario.asked),
        "book": phrases.ask_booking(want.service, want.day, want.time, want.name),
        "yes": phrases.YES,
        "bye": phrases.BYE,
        "about": phrases.ask_human(scenario.topic),
        "umbrella": phrases.UMBRELLA,
        "human": phrases.HUMAN_PLEASE,
        "meanwhile": phrases.ask_hours(scenario.meanwhile),
        "message": phrases.ask_call_back(scenario.message.name, scenario.message.topic),
    }


async def book(caller: Caller) -> None:
    """Be the caller of call 1."""
    await caller.greeted()
    await caller.interrupt("other_day", "day")
    await caller.ask("book")
    await caller.ask("yes", WORK_MS)
    await caller.first_sound(await caller.say("bye"))
    await caller.until_hung_up()


async def press_zero(caller: Caller) -> None:
    """Be the caller of call 2."""
    begin = await caller.greeting()
    await trio.sleep_until(caller.person.line.time(begin + TALKING_MS * PER_MS))
    caller.tell("caller", "(presses 0)")
    caller.person.press("0")
    await caller.put_through()
    await caller.take_leave()


async def want_human(caller: Caller) -> None:
    """Be the caller of call 3."""
    await caller.greeted()
    await caller.first_sound(await caller.say("about"))
    await caller.put_through()
    end = await caller.say("umbrella")
    await caller.end_of_turn(await caller.person.hear_voice(end, timeout_s=ANSWER_S))
    await caller.take_leave()


async def leave_message(caller: Caller) -> None:
    """Be the caller of call 4."""
    await caller.greeted()
    await caller.ask("human", WORK_MS)
    await caller.first_sound(await caller.say("meanwhile"))
    nobody = await caller.until_nobody_came()
    await caller.end_of_turn(await caller.person.hear_voice(nobody, timeout_s=ANSWER_S), TURNS_MS)
    await caller.ask("message", WORK_MS)
    await caller.take_leave()
