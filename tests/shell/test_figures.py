"""Figures that callers feel, on the virtual clock: our share of an answer, a stall ridden out."""

from __future__ import annotations

import random

import pytest
import trio

from relay.sim.brains import Scripted, reply, say
from relay.sim.twilio_stream import StreamFaults
from tests.shell.house import PLAIN, open_house, packaged_clips

THINK_S = 0.35


async def test_an_answer_adds_less_than_a_frame_and_a_half_to_hold_and_thinking(autojump_clock):
    """End of the caller's voice → first answer sample: VAD hold + model + ≤ 30 ms of ours."""
    brain = Scripted(*[reply(say("Yes.", ms=800), think_s=THINK_S)] * 5, heard=["Well?"] * 5)
    ours = []
    async with open_house() as house:
        call = house.ring(brain, options=PLAIN)
        await call.greeted()
        for n in range(5):
            await call.say()
            await call.answered(n + 1)
        stopped = [e.at for e in call.session.log if e.event["type"].endswith("speech_stopped")]
        first = {}
        for e in call.session.log:
            if e.event["type"] == "response.output_audio.delta":
                first.setdefault(e.event["item_id"], e.at)
        for item, said_at in zip(call.spoken_items(), stopped, strict=True):
            marks = [m for m in call.leg.playout.marks if m.name.split(":")[1] == item]
            played = call.leg.line.time(marks[0].due) - 0.04  # the first mark is 40 ms in
            ours.append(played - said_at - THINK_S)
        call.hang_up()
    assert max(ours) <= 0.030
    assert min(ours) > -0.001


@pytest.mark.parametrize("after_s", [3.0, 3.1, 3.2, 3.3])
async def test_a_stall_of_ours_is_not_heard_once_the_lead_has_filled(autojump_clock, after_s):
    """Everything on its way to the phone is late for once, by a second, at any time."""
    stall = {"until": -1.0}

    def late() -> float:
        return max(0.0, stall["until"] - trio.current_time())

    brain = Scripted(reply(say("It is a long story. " * 20, ms=9000)), heard=["Tell me."])
    async with open_house() as house:
        call = house.ring(brain, delay=late)
        await call.greeted()
        asked = await call.say()
        begins = await call.person.hear_voice(call.line.sample(asked), timeout_s=60)
        await trio.sleep_until(call.line.time(begins) + after_s)
        stall["until"] = trio.current_time() + 1.0
        await call.answered()
        call.hang_up()
    (item,) = call.spoken_items()
    assert call.converted(item) in call.heard(), "whole, in order, and without a hole"


async def test_lost_marks_and_jitter_keep_neither_answers_nor_goodbyes_from_coming(autojump_clock):
    dice = random.Random(7)
    brain = Scripted(
        reply(say("One.", ms=2000)),
        reply(say("Two.", ms=1500, hz=700)),
        heard=["First?", "Second?"],
    )

    def lost(name: str) -> bool:
        return "clip_greeting" not in name and dice.random() < 0.3  # that one proves the notice

    faults = StreamFaults(lose_mark=lost)
    async with open_house(clips=packaged_clips()) as house:
        call = house.ring(brain, faults=faults, delay=lambda: dice.uniform(0, 0.2))
        await call.greeted()
        await trio.sleep(3)
        await call.say()
        await call.answered()
        await trio.sleep(2.5)
        await call.say()
        await call.answered(2)
        call.hang_up()
    assert [line.interrupted for line in call.lines() if line.speaker == "agent"] == [False] * 3
