"""What the caller who books replies, to agents that are not the one it was written for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
import trio
import trio.testing

from relay.adapters.business_file import load_business
from relay.cli_rehearse import CALLERS
from relay.demo.caller import Caller, Spoken, Timing
from relay.rehearse.scripts import (
    BURST_DB,
    MAX_TURNS,
    ROLES,
    WAIT,
    Script,
    book,
    burst,
    make_noise,
    reply,
    say_nothing,
    want_human,
)
from relay.rehearse.want import choose, lines
from relay.sim.line import PER_MS, Line
from relay.sim.person import Person
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.ulaw import loudness_db, tone

WANT = choose(load_business(), datetime.fromisoformat("2026-11-25"))  # Friday at nine; no, at ten


@pytest.mark.parametrize(
    ("said", "agent", "line"),
    [
        (["book"], "A cleaning for Friday at nine in the name of Peter. Is that right?", "wrong"),
        (["book"], "So that's Friday, November 27th at 9 AM for Peter, correct?", "wrong"),
        (["book"], "Which service would you like?", "book"),
        (["book"], "May I have your name?", "name"),
        (["book", "name"], "Friday at 9:00 for Peter?", "wrong"),
        (["book"], "Let me check that for you.", WAIT),
        (["book"], "Let me check. What is your name?", "name"),
        (["book", "wrong"], "Oh, sorry! What should I change?", "instead"),
        (["book", "wrong"], "Is it nine o'clock?", "instead"),
        (["book", "wrong", "instead"], "Friday at ten for Peter. Is that right?", "yes"),
        (["book", "wrong", "instead"], "Friday at nine for Peter. Is that right?", "instead"),
        (["book", "wrong", "instead"], "In whose name?", "name"),
        (["book", "wrong", "instead", "yes"], "One moment please.", WAIT),
        (["book"], "", "book"),
    ],
)
def test_it_replies_to_what_was_said(said: Sequence[str], agent: str, line: str) -> None:
    assert reply(WANT, said, agent) == line
    assert line in {WAIT, *lines(WANT)}


def test_it_never_agrees_to_the_slip() -> None:
    for said in (["book"], ["book", "wrong"], ["book", "wrong", "instead"]):
        assert reply(WANT, said, "Friday at nine o'clock for Peter, yes?") != "yes"


def test_the_street_is_a_noise_of_its_level() -> None:
    assert loudness_db(burst(random.Random(3), 500)) == pytest.approx(BURST_DB, abs=1)


def test_every_caller_has_a_number_of_their_own_and_can_be_named() -> None:
    assert {role.name for role in ROLES} == set(CALLERS)
    assert len({role.number for role in ROLES}) == len(ROLES)


# ---- whole calls ----------------------------------------------------------------------------


@dataclass(slots=True)
class Agent:
    """An agent of tones, whose words are known: one line of the script for each of the caller's.

    books_at: after how many of them an appointment is made
    """

    script: Sequence[str]
    books_at: int = 99
    line: Line = field(default_factory=Line)
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)

    def agent_said(self, _: str) -> list[str]:
        return self.said

    def used(self, _: str, name: str) -> bool:
        return name in self.functions

    def take(self, who: str, what: str) -> None:
        """Hear the caller say something, and begin to answer when they are done."""
        if who == "caller" and not what.startswith("("):
            self.heard.append(what)

    async def answer(self) -> None:
        self.line.heard.play(tone(440, 1500), self.line.sample())
        for n, text in enumerate(self.script):
            while len(self.heard) <= n:  # noqa: ASYNC110 - a line rings no bell
                await trio.sleep(0.02)
            await trio.sleep_until(self.line.time(self.line.said.end) + 0.8)
            self.said.append(text)
            if n + 1 == self.books_at:
                self.functions.add("book_appointment")
            self.line.heard.play(tone(440, 1000), self.line.sample())

    async def call(self, script: Script) -> PhoneCall:
        """Be called. Returns the call once the caller has hung up."""
        number = Number("+15125550100", "https://relay.demo/in")
        call = PhoneCall(number, "+14155550174", "AC1", line=self.line)
        said = {name: Spoken(name, tone(300, 600), 0, 600 * PER_MS) for name in lines(WANT)}
        caller = Caller(Person(self.line), call, None, said, self.take, Timing())
        call.answer()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answer)
            await caller.perform(lambda caller: script(caller, self, WANT))
            nursery.cancel_scope.cancel()
        return call


async def test_a_booking_is_corrected_and_agreed_to(autojump_clock: trio.testing.MockClock) -> None:
    agent = Agent(
        [
            "In whose name?",
            "Friday at nine for Peter, is that right?",
            "What should I change?",
            "Friday at ten for Peter, is that right?",
            "It is booked.",
            "Goodbye.",
        ],
        books_at=5,
    )
    await agent.call(book)
    assert agent.heard == ["book", "name", "wrong", "instead", "yes", "bye"]


async def test_an_agent_that_never_understands_is_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    agent = Agent(["Sorry, what would you like?"] * (MAX_TURNS + 1))
    await agent.call(book)
    assert agent.heard == ["book"] * MAX_TURNS + ["bye"]


async def test_who_asks_for_a_human_says_what_about_if_nobody_is_rung(
    autojump_clock: trio.testing.MockClock,
) -> None:
    agent = Agent(["What is it about?", "Let me see."])
    await agent.call(want_human)
    assert agent.heard == ["human", "about"]
    rings = Agent(["I will try."], functions={"transfer_to_human"})
    await rings.call(want_human)
    assert rings.heard == ["human"]


async def test_noise_and_silence_have_no_words(autojump_clock: trio.testing.MockClock) -> None:
    for script, loud in ((make_noise, True), (say_nothing, False)):
        agent = Agent([])
        call = await agent.call(script)
        assert agent.heard == []
        assert call.line.hung_up.is_set()
        assert bool(call.line.said.spans) is loud
