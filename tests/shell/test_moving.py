"""A call that its process lets go of, through the whole shell."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.records import CallEnded, OwnerNotice
from relay.sim.brains import Scripted, call, reply, say
from tests.shell.house import NUMBER, open_house

ANSWER = reply(say("At nine, or at ten.", ms=800))


async def test_a_call_is_let_go_of_once_its_rows_are_in_the_database(autojump_clock: Any) -> None:
    async with open_house() as house:
        call = house.ring(Scripted(ANSWER, heard=["When?"]))
        await call.greeted()
        await call.say()
        await call.answered()
        house.kit.moving.set()
        await call.until(lambda: call.leg.ended)
        assert call.leg.ended.code == 1000
        known = [text for _, text in house.store.past(call.sid).lines]
        assert known[1:] == ["When?", "At nine, or at ten."]
        assert call.disposition() == "resume"
        await call.ended()
    assert call.rows(CallEnded) == []


@pytest.mark.parametrize("away", [False, True])
async def test_a_database_that_is_away_holds_a_move_up_for_a_second(
    autojump_clock: Any, away: bool
) -> None:
    async with open_house() as house:
        call = house.ring(Scripted())
        await call.greeted()
        house.store.away = away
        began = await call.until(lambda: True)
        house.kit.moving.set()
        took = await call.until(lambda: call.leg.ended) - began
        house.store.away = False
        await call.ended()
    assert took <= 1.5 if away else took <= 0.3
    assert call.chosen == ["resume"]


async def test_a_call_that_ends_by_itself_waits_for_no_move(autojump_clock: Any) -> None:
    async with open_house() as house:
        call = house.ring(Scripted())
        await call.greeted()
        call.hang_up()
        await call.ended(8)
    assert call.outcome().outcome == "abandoned"


async def test_what_the_owner_was_told_before_a_move_is_not_told_again(autojump_clock: Any) -> None:
    """The model asks once more, with another spelling: another key, and the same message."""
    told = f"Ann Lee ({NUMBER}) left a message: call me."
    asks = call("take_message", name="Ann Lee", message="Call me.")
    brain = Scripted(reply(asks), reply(say("It is taken.")), heard=["Is it taken?"])
    async with open_house() as house:
        moved = house.ring(brain, before=(("user", "Hello."),), owner_knows=(told,))
        await moved.quiet()
        await moved.say()
        await moved.answered(2)
        moved.hang_up()
        await moved.ended()
    assert moved.tools() == [("take_message", "ok")]
    assert moved.rows(OwnerNotice) == []
