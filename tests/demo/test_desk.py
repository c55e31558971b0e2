"""Whoever is rung takes the call, waits for the caller and answers; or nobody does."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing

from relay.demo.caller import Spoken
from relay.demo.desk import ANSWERS_S, NOBODY_S, Desk, joined, room_of, until_opened
from relay.sim.person import Person
from relay.sim.ulaw import tone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, Relay, Twilio, open_twilio

VOICES = {
    name: Spoken(name, tone(hz, 1000), 0, 8000) for name, hz in (("hello", 440), ("has_it", 660))
}
ROOM = '<Dial><Conference beep="false" waitUrl="" endConferenceOnExit="true">r</Conference></Dial>'
PAGES = {
    "/screen": '<Gather numDigits="1" action="/key"><Say>To take it, press 1.</Say></Gather>',
    "/key": ROOM,
    "/voice": ROOM,
}
LATE_S = 15.0  # the caller is no sooner there


def open_desk() -> tuple[Desk, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    desk = Desk(HUMAN, VOICES, lambda who, what: told.append((who, what)))
    desk.nobody()  # until the test says who
    return desk, told


async def bring_together(twilio: Twilio, desk: Desk, says: bytes) -> tuple[Person, Person]:
    """Ring the human, and have a caller come to the room who says something after a while."""
    desk.answers(partial(until_opened, twilio.cloud), "has_it")
    leg = await twilio.ring()
    await trio.sleep(LATE_S)
    call = twilio.cloud.place(NUMBER, CALLER)

    async def script(person: Person) -> None:
        await trio.sleep(3)
        await person.say(says)
        await trio.sleep(30)
        person.hang_up()

    await twilio.cloud.run(call, script)
    await leg.ended.wait()
    room = room_of(twilio.cloud, call)
    assert room is not None
    assert joined(room) == [leg.sid, call.sid]
    return Person(call.line), Person(leg.line)


async def test_who_answers_waits_for_the_caller_and_then_for_their_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk, told = open_desk()
    async with open_twilio(Relay(PAGES), phones=desk.phones) as twilio:
        caller, human = await bring_together(twilio, desk, tone(300, 1000))
    assert told == [("human", "hello"), ("human", "has_it")]
    (hello, has_it) = human.line.said.spans
    assert human.line.time(hello[0]) >= caller.line.origin, "nobody is greeted too early"
    for voice in VOICES.values():
        assert voice.mulaw in bytes(caller.line.heard.audio)
    assert has_it[0] - hello[1] > 8 * 1000


async def test_who_hears_nothing_hangs_up(autojump_clock: trio.testing.MockClock) -> None:
    desk, told = open_desk()
    async with open_twilio(Relay(PAGES), phones=desk.phones) as twilio:
        _, human = await bring_together(twilio, desk, b"")
    assert human.line.hung_up.is_set()
    assert [who for who, _ in told] == ["human", "problem"]


async def test_nobody_lets_it_ring_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    desk, told = open_desk()
    async with open_twilio(Relay(PAGES), phones=desk.phones) as twilio:
        leg = await twilio.ring()
        assert room_of(twilio.cloud, leg) is None
        await leg.ended.wait()
    assert leg.status == "no-answer"
    rung = desk.phones[HUMAN].calls[0]
    assert rung.ended_at is not None
    assert ANSWERS_S < rung.ended_at - rung.rang_at == NOBODY_S
    assert told == []
