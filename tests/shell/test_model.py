"""The model's end, well-behaved and not: order that nobody promises, garbage, and being late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from relay.audio import ModelToPhone
from relay.core import events as on
from relay.shell.model import NO_PONG, PING_AFTER_S, PING_SELDOM_S, PONG_S, SignsOfLife, run_model
from relay.shell.outbox import Outbox
from relay.sim.brains import Reply, Scripted, reply, say
from relay.sim.pair import MemorySocket, memory_pair
from relay.sim.ulaw import tone
from tests.shell.house import PLAIN, QUESTION, open_house, packaged_clips

GREETING = packaged_clips()["greeting"]


def answering(**how: float) -> Scripted:
    return Scripted(reply(say("From nine to five.", ms=2000, **how)), heard=["When?"])


async def test_odd_lengths_new_fields_and_another_order_change_nothing(autojump_clock):
    """Deltas that split a sample, events and fields of next year, pairs the other way round."""
    options = replace(PLAIN, noisy=True, swapped=True, delta_ms=(1, 7, 333, 2))
    async with open_house() as house:
        placed = house.ring(answering(), options=options)
        placed.strict_model = False  # those fields are in nobody's types
        await placed.greeted()
        await placed.say()
        await placed.answered()
        placed.hang_up()
    (item,) = placed.spoken_items()
    assert placed.heard().endswith(placed.converted(item))
    assert len(placed.converted(item)) == 2000 * 8
    assert placed.said()[1:] == [("caller", "When?"), ("agent", "From nine to five.")]


GARBAGE = {
    "bad_json": '{"type":"response.done"',
    "binary": b"\x00",
    "bad_shape": '{"type":"response.created","response":{}}',
    "bad_base64": (
        '{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i",'
        '"output_index":0,"content_index":0,"delta":"!!!!"}'
    ),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_counted_logged_once_and_survived(autojump_clock, kind):
    async with open_house() as house:
        placed = house.ring(answering())
        await placed.greeted()
        for _ in range(3):
            await placed.model_ends[0].send(GARBAGE[kind])
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert house.misbehaved() == [kind]
    assert placed.heard().endswith(placed.converted(placed.spoken_items()[0]))
    assert placed.outcome().outcome == "resolved"


async def test_what_is_said_before_the_model_is_there_reaches_it(autojump_clock):
    """Two seconds of dialling, in which the caller says a whole sentence over the greeting."""
    brain = answering()
    async with open_house(clips=packaged_clips()) as house:
        placed = house.ring(brain, options=replace(PLAIN, created_s=2.0))
        await trio.sleep(0.3)
        await placed.say(tone(700, 1500))
        await placed.answered()
        placed.hang_up()
        seconds = trio.current_time() - placed.began_at
    (turn,) = brain.turns
    assert turn.ms == pytest.approx(300 + 1500 + 500, abs=60), "padding, words, silence"
    assert placed.session.appended_ms == pytest.approx(seconds * 1000, abs=45)
    heard = placed.heard()
    assert heard.startswith(GREETING.mulaw), "the greeting is not cut"
    answer = placed.converted(placed.spoken_items()[0])
    assert heard.index(answer) / 8 - len(GREETING.mulaw) / 8 < 300, "and is followed at once"
    assert ("caller", "When?") not in placed.said(), "nothing from before the notice is kept"


async def test_a_hello_over_the_greeting_needs_no_answer(autojump_clock):
    brain = answering()
    async with open_house() as house:
        placed = house.ring(brain)
        await trio.sleep(0.5)
        await placed.say(tone(700, 400))
        await placed.greeted()
        await trio.sleep(3)
        assert brain.requests == []
        await placed.say(QUESTION)
        await placed.answered()
        placed.hang_up()
    assert len(brain.turns) == 2
    assert placed.leg.playout.clears == []


async def test_an_answer_that_was_too_long_for_its_tokens_goes_on(autojump_clock):
    brain = Scripted(
        Reply((say("Once upon a time", ms=1500),), status="incomplete", reason="max_output_tokens"),
        reply(say("there was an end.", ms=800, hz=900)),
        heard=["Tell me a story."],
    )
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.answered(2)
        placed.hang_up()
    first, second = (placed.converted(item) for item in placed.spoken_items())
    assert first in placed.heard()
    assert placed.heard().endswith(second)


async def test_transcripts_that_overtake_each_other_stand_in_the_order_of_speech(autojump_clock):
    brain = Scripted(
        reply(say("One.", ms=500)),
        reply(say("Two.", ms=500)),
        heard=["First question?", "Second question?"],
    )
    async with open_house() as house:
        placed = house.ring(brain, options=replace(PLAIN, transcript_s=(6.0, 0.0)))
        await placed.greeted()
        for n in (1, 2):
            await placed.say()
            await placed.answered(n)
        await trio.sleep(5)
        placed.hang_up()
    assert [text for _, text in placed.said()[1:]] == [
        "First question?",
        "One.",
        "Second question?",
        "Two.",
    ]


# ---- is it still there? ---------------------------------------------------------------------


async def ends_of(
    serve: Callable[[MemorySocket], Awaitable[None]], until_s: float, *, doubted: bool = True
) -> list[tuple[float, str]]:
    """When, and why, a session with this peer was over within a time.

    doubted: somebody waits for it, all the while
    """
    ours, theirs = memory_pair()
    ends: list[tuple[float, str]] = []

    def feed(event: on.Event) -> None:
        if isinstance(event, on.ModelClosed):
            ends.append((trio.current_time() - began, event.reason))

    @asynccontextmanager
    async def dialling() -> AsyncIterator[MemorySocket]:
        yield ours

    signs, began = SignsOfLife(), trio.current_time()

    async def doubt() -> None:
        while True:
            signs.doubt(trio.current_time())
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, theirs)
        if doubted:
            nursery.start_soon(doubt)
        with trio.move_on_after(until_s):
            await run_model(dialling(), Outbox(8), ModelToPhone(), feed, signs)
        nursery.cancel_scope.cancel()
    return ends


async def reads_for(socket: MemorySocket, seconds: float) -> None:
    with trio.move_on_after(seconds):
        while True:
            await socket.receive()


async def test_one_that_says_nothing_and_is_there_is_left_alone(autojump_clock):
    async def quiet(socket: MemorySocket) -> None:
        await reads_for(socket, 1000)

    assert await ends_of(quiet, 600.0) == []


@pytest.mark.parametrize("lives_s", [0.5, 3.1, 5.9, 60.2])
async def test_one_that_is_not_there_any_more_is_over(autojump_clock, lives_s):
    async def dies(socket: MemorySocket) -> None:
        await reads_for(socket, lives_s)

    ((at_s, why),) = await ends_of(dies, 600.0)
    assert why == NO_PONG
    assert lives_s + PONG_S <= at_s <= lives_s + PING_AFTER_S + PONG_S + 0.021


async def test_one_of_which_nobody_expects_to_hear_is_asked_seldom(autojump_clock):
    async def dies(socket: MemorySocket) -> None:
        await reads_for(socket, 3.0)

    ((at_s, why),) = await ends_of(dies, 600.0, doubted=False)
    assert why == NO_PONG
    assert at_s == pytest.approx(PING_SELDOM_S + PONG_S)


async def test_who_stood_still_itself_asks_again(autojump_clock):
    """An answer may lie unread by then: nothing is known of the peer."""

    async def is_there(socket: MemorySocket) -> None:
        await reads_for(socket, 5.0)
        await trio.sleep(1.0)  # a ping waits for its answer now
        autojump_clock.jump(PONG_S + 5.0)
        await reads_for(socket, 1000)

    assert await ends_of(is_there, 600.0) == []


async def test_one_that_closes_says_why_though_it_was_to_be_asked(autojump_clock):
    async def closes(socket: MemorySocket) -> None:
        await reads_for(socket, PING_AFTER_S)
        await socket.aclose(3000, "invalid_api_key")

    assert [why for _, why in await ends_of(closes, 600.0)] == ["invalid_api_key"]


async def test_one_that_speaks_needs_no_pong_and_one_that_never_gave_any_neither(autojump_clock):
    async def speaks(socket: MemorySocket) -> None:
        await reads_for(socket, 1.0)
        while True:
            await trio.sleep(2.9)
            await socket.send('{"type":"rate_limits.updated","event_id":"e","rate_limits":[]}')

    async def never_reads(_socket: MemorySocket) -> None:
        await trio.sleep_forever()

    assert await ends_of(speaks, 600.0) == []
    assert await ends_of(never_reads, 600.0) == []
