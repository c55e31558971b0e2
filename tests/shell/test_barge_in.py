"""Barge-in: what the model believes it said is what the caller heard."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, replace

import trio

from relay.sim.brains import Reply, Request, Scripted, Turn, reply, say
from relay.sim.room import Room
from relay.sim.ulaw import SILENCE, tone
from tests.shell.house import PLAIN, Placed, open_house

LONG = "We are open on Monday, Tuesday, Wednesday, Thursday and Friday, but never on Sunday."
STOP = tone(600, 800)


def talker(text: str = LONG, ms: int = 6000) -> Scripted:
    return Scripted(
        reply(say(text, ms=ms, hz=440)),
        reply(say("I see.", ms=900, hz=1300)),
        heard=["When are you open?", "Stop it."],
    )


async def interrupt(call: Placed, after_s: float) -> tuple[float, float]:
    """Ask, listen to the answer for a while, talk over it. When that began, and the silence."""
    await call.greeted()
    asked = await call.say()
    begins = await call.person.hear_voice(call.line.sample(asked), timeout_s=60)
    await trio.sleep_until(call.line.time(begins) + after_s)
    talked_at = trio.current_time()
    await call.say(STOP)
    await call.answered(2)
    call.hang_up()
    (cleared,) = call.leg.playout.clears
    return talked_at, call.line.time(cleared)


def check_cut(call: Placed, item_id: str, short_ms: float) -> None:
    """The model remembers no more than was heard, and at most short_ms less."""
    item = call.session.items[item_id]
    played = call.played_ms(item_id)
    assert item.truncated_ms is not None
    assert played - short_ms <= item.truncated_ms <= played
    assert item.audio_ms == item.truncated_ms


async def test_the_answer_stops_at_once_and_is_cut_where_it_was_heard(autojump_clock):
    async with open_house() as house:
        call = house.ring(talker())
        talked_at, silent_at = await interrupt(call, 2.5)
    assert silent_at - talked_at < 0.3
    cut, second = call.spoken_items()
    check_cut(call, cut, 20)
    played = round(call.played_ms(cut) * 8)
    assert 2500 < call.played_ms(cut) < 2800
    audio = call.line.heard.audio
    at = audio.index(call.converted(cut)[:played])
    after = audio.index(call.converted(second))
    assert set(audio[at + played : after]) == set(SILENCE)
    (line,) = [line for line in call.lines() if line.item_id == cut]
    assert line.interrupted
    assert line.heard_ms == call.session.items[cut].truncated_ms
    assert line.generated_text == LONG
    assert LONG.startswith(line.heard_text)
    assert 0.35 < len(line.heard_text) / len(LONG) < 0.47
    assert call.outcome().barge_ins == 1


async def test_what_is_still_being_generated_is_cancelled_and_never_heard(autojump_clock):
    async with open_house() as house:
        call = house.ring(talker(), options=replace(PLAIN, pace=1.5, cancel_s=0.4))
        await interrupt(call, 2.0)
    cut, _ = call.spoken_items()
    first, _ = call.session.sent_of("response.done")
    assert first["response"]["status"] == "cancelled"
    (cancelled,) = [x.at for x in call.session.log if x.event["type"] == "response.cancel"]
    late = [
        logged.at
        for logged in call.session.log
        if logged.event["type"] == "response.output_audio.delta"
        and logged.event["item_id"] == cut
        and logged.at > cancelled
    ]
    assert late, "there were late deltas"
    check_cut(call, cut, 20)


async def test_items_that_were_never_heard_are_forgotten(autojump_clock):
    brain = Scripted(
        reply(say("First.", ms=3000), say("Second.", ms=3000, hz=900), say("Third.", ms=500)),
        reply(say("Yes?", ms=500)),
        heard=["Go on.", "Wait."],
    )
    async with open_house() as house:
        call = house.ring(brain)
        await interrupt(call, 1.5)
    first, second, third, yes = call.spoken_items()
    check_cut(call, first, 20)
    believed = [item.id for item in call.session.conversation if item.role == "assistant"][1:]
    assert believed == [first, yes]
    assert [e["item_id"] for e in call.told("conversation.item.delete")] == [second, third]
    assert len(call.told("conversation.item.truncate")) == 1
    assert [line.heard_ms for line in call.lines() if line.item_id in (second, third)] == [0, 0]


async def test_however_the_network_shakes_no_more_is_believed_than_was_heard(autojump_clock):
    """Between 0 and 80 ms each way: the echo is old and the clear is late, so we err short."""
    dice = random.Random(20)
    async with open_house() as house:
        calls = []
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                call = house.ring(talker(), delay=lambda: dice.uniform(0, 0.08))
                calls.append(call)
                nursery.start_soon(interrupt, call, dice.uniform(0.3, 5.0))
    for call in calls:
        # Up to 80 ms for the clear, 80 for the echo, and a chunk whose mark is not yet reached.
        check_cut(call, call.spoken_items()[0], 80 + 80 + 100)
        assert call.session.violations == []


@dataclass
class HearsTheLoud:
    """A brain that hears words in what is as loud as a caller, and none in an echo."""

    script: Scripted
    words: str

    async def hear(self, turn: Turn) -> str:
        samples = array("h", turn.pcm)
        return self.words if max(samples) > 3000 else ""

    async def reply(self, request: Request) -> Reply:
        return await self.script.reply(request)


async def test_an_echo_of_the_agent_is_no_interruption(autojump_clock):
    """The line returns the agent's voice at -18 dB, and the server's VAD takes it for speech."""
    script = Scripted(reply(say(LONG, ms=5000)), reply(say("What?")))
    brain = HearsTheLoud(script, "When are you open?")
    async with open_house() as house:
        call = house.ring(brain, room=Room(echo_loss_db=18, echo_delay_ms=120))
        await call.greeted()
        await call.say()
        await call.answered()
        await trio.sleep(2)
        call.hang_up()
    (item,) = call.spoken_items()
    assert call.leg.playout.clears == []
    assert call.converted(item) in call.heard()
    assert len(call.session.sent_of("input_audio_buffer.speech_started")) > 1
    users = [i.said for i in call.session.conversation if i.role == "user"]
    assert users == ["When are you open?"], "the echo's items were deleted"
