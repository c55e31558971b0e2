"""A human is fetched: what the caller hears, what the human is told, what the model knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from relay.core.records import OwnerNotice
from relay.errors import PhoneControlError
from relay.sim.brains import Scripted, call, reply, say
from tests.shell.house import PLAIN, House, Placed, brief_clips, open_house
from tests.shell.test_endings import closed_by_us

CLIPS = brief_clips()
RINGS = reply(say("I ring them.", ms=1500), call("transfer_to_human", reason="a bill"))
COMPANY = reply(say("It rings. What is the bill about?", ms=2500, hz=660))
SORRY = reply(say("Nobody is there. May I take a message?", ms=2000, hz=880))
SUMMARY = reply(say("Ann has a question about a bill."))


def brain(*more, **settings) -> Scripted:
    return Scripted(RINGS, COMPANY, *more, heard=["A human, please."] * 3, **settings)


async def ask(house: House, placed: Placed) -> str:
    """Ask for a human, and wait until a telephone rings. Returns the attempt's name."""
    await placed.greeted()
    await placed.say()
    await placed.until(lambda: house.phone.legs)
    await trio.sleep(1)
    return house.phone.attempt


async def test_a_human_is_fetched(autojump_clock):
    async with open_house() as house:
        placed = house.ring(brain(privately=[SUMMARY]))
        attempt = await ask(house, placed)
        assert house.phone.legs[0].to == "+15550000001"
        await trio.sleep(2)
        assert await house.kit.humans.screen(attempt) == "Ann has a question about a bill."
        assert not placed.over.is_set(), "the caller is still with the agent"
        room = await house.kit.humans.pressed(attempt, "1")
        await placed.ended(60)
        assert await house.kit.humans.joins(placed.sid) == room
    assert placed.heard().endswith(CLIPS["connecting"].mulaw)
    assert closed_by_us(placed) == pytest.approx(0, abs=0.03)
    assert placed.disposition() == "join"
    assert placed.outcome().outcome == "transferred"
    (output,) = placed.session.outputs().values()
    assert '"status":"ringing"' in output
    assert house.phone.ended == []
    assert house.phone.redirected == {}


async def test_the_summary_is_no_part_of_the_conversation(autojump_clock):
    async with open_house() as house:
        placed = house.ring(brain(SORRY, privately=[SUMMARY]))
        attempt = await ask(house, placed)
        await placed.answered(2)
        await house.kit.humans.pressed(attempt, "2")
        await placed.answered(4)  # the private one is one of them
        placed.hang_up()
    assert all("Ann" not in item.text for item in placed.session.conversation)
    assert [text for _, text in placed.said()][-1].startswith("Nobody is there")


async def test_nobody_answers_and_the_agent_goes_on(autojump_clock):
    async with open_house() as house:
        placed = house.ring(brain(SORRY))
        attempt = await ask(house, placed)
        await placed.answered(2)
        await house.kit.humans.leg_status(attempt, "no-answer", "CAleg1")
        await placed.until(lambda: len(placed.spoken_items()) == 3)
        await placed.quiet()
        placed.hang_up()
    told = [item.text for item in placed.session.conversation if item.role == "system"]
    assert "nobody answered" in told[-1]
    assert placed.converted(placed.spoken_items()[2]) in placed.heard()
    assert placed.outcome().outcome == "resolved"


async def test_a_telephone_network_that_refuses_is_told_at_once(autojump_clock):
    async with open_house() as house:
        house.phone.refuse = PhoneControlError("no", doubtful=False)
        placed = house.ring(Scripted(RINGS, SORRY, heard=["A human, please."]))
        await placed.greeted()
        await placed.say()
        await placed.answered(2)
        placed.hang_up()
    (output,) = placed.session.outputs().values()
    assert '"reason":"not_rung"' in output


async def test_the_agent_knows_why_the_key_0_has_rung_nobody(autojump_clock):
    async with open_house() as house:
        house.phone.refuse = PhoneControlError("no", doubtful=False)
        placed = house.ring(Scripted(SORRY))
        await placed.greeted()
        placed.person.press("0")
        await placed.answered()
        placed.hang_up()
    told = [item.text for item in placed.session.conversation if item.role == "system"]
    assert "the telephone network did not take the call" in told[-1]


async def test_a_lost_answer_rings_nobody_twice(autojump_clock):
    async with open_house() as house:
        house.phone.refuse = PhoneControlError("timed out", doubtful=True)
        placed = house.ring(brain())
        attempt = await ask(house, placed)
        await house.kit.humans.leg_status(attempt, "ringing", "CAafterall")
        await house.kit.humans.screen(attempt)
        assert await house.kit.humans.pressed(attempt, "1")
        await placed.ended(60)
    assert len(house.phone.legs) == 1
    assert placed.disposition() == "join"


async def test_the_caller_who_would_be_rung_is_not(autojump_clock):
    async with open_house() as house:
        placed = house.ring(
            Scripted(RINGS, SORRY, heard=["A human, please."]),
            origin={"human": "yes"},
        )
        await placed.greeted()
        await placed.say()
        await placed.answered(2)
        placed.hang_up()
    assert house.phone.legs == []


async def test_a_caller_who_hangs_up_is_rung_for_no_more(autojump_clock):
    async with open_house() as house:
        placed = house.ring(brain())
        await ask(house, placed)
        placed.hang_up()
        await placed.ended()
        await trio.sleep(1)
    assert house.phone.ended == ["CAleg1"]


async def test_who_is_about_to_be_rung_when_the_caller_thinks_better_of_it_is_not(autojump_clock):
    async with open_house() as house:
        house.phone.place_s = 4.0
        never_mind = reply(call("cancel_transfer"))
        placed = house.ring(brain(never_mind, COMPANY, COMPANY, otherwise=COMPANY))
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: house.phone.legs)
        await placed.say()
        await placed.until(lambda: house.phone.ended)
        assert await house.kit.humans.pressed(house.phone.attempt, "1") is None
        await placed.answered(4)
        placed.hang_up()
    assert house.phone.ended == ["CAleg1"]
    told = list(placed.session.outputs().values())
    assert any('"cancelled"' in output for output in told)
    assert not any('"ringing"' in output for output in told)


async def test_a_human_who_listens_hears_that_the_caller_is_gone(autojump_clock):
    async with open_house() as house:
        placed = house.ring(brain())
        attempt = await ask(house, placed)
        await house.kit.humans.screen(attempt)
        placed.hang_up()
        await placed.ended()
        await trio.sleep(1)
        assert await house.kit.humans.pressed(attempt, "1") is None
    assert "no longer on the line" in house.phone.redirected["CAleg1"]


async def test_the_key_0_fetches_a_human_without_a_model(autojump_clock):
    async with open_house() as house:
        placed = house.ring(options=replace(PLAIN, created_s=4.5))
        await placed.until(lambda: placed.leg.playout.received)
        placed.person.press("0")
        await placed.until(lambda: house.phone.legs)
        await trio.sleep(1)
        await house.kit.humans.pressed(house.phone.attempt, "1")
        await placed.ended(60)
    assert placed.heard().endswith(CLIPS["connecting"].mulaw)
    assert placed.disposition() == "join"


async def test_a_call_that_comes_back_is_taken_up_where_it_was(autojump_clock):
    story = (("assistant", "Hello!"), ("user", "A human, please."))
    async with open_house() as house:
        placed = house.ring(Scripted(SORRY), before=story)
        await placed.until(lambda: placed.sessions)
        await placed.answered()
        placed.hang_up()
    assert CLIPS["back"].mulaw in placed.heard()
    told = [(item.role, item.text) for item in placed.session.conversation]
    assert told[:2] == [("assistant", "Hello!"), ("user", "A human, please.")]
    assert placed.said()[-1] == ("agent", "Nobody is there. May I take a message?")


async def test_an_emergency_is_met_by_the_line_and_flagged(autojump_clock):
    sorry = reply(say("Oh dear.", ms=500))
    brain = Scripted(sorry, sorry, heard=["He is not breathing!"])
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert CLIPS["emergency"].mulaw in placed.heard()
    (flag,) = placed.rows(OwnerNotice)
    assert "not breathing" in flag.text
