"""A call through the whole shell: the greeting, a turn, and what is written down of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from relay.core.records import CallOpened, TranscriptLine
from relay.sim.brains import Scripted, reply, say
from tests.shell.house import (
    NUMBER,
    PLAIN,
    assert_nothing_personal,
    brief_clips,
    open_house,
    packaged_clips,
    strongest_hz,
)

GREETING = brief_clips()["greeting"]


async def test_the_greeting_is_on_its_way_in_the_instant_of_the_start(autojump_clock):
    async with open_house() as house:
        call = house.ring(options=replace(PLAIN, created_s=2.0))
        await call.greeted()
        assert call.leg.first_media_at == call.began_at
        assert call.heard().startswith(GREETING.mulaw)
        assert call.line.heard.gaps() == []
        call.hang_up()
    assert call.outcome().greeting_ms == 0
    assert call.outcome().notice_heard
    (opened,) = call.rows(CallOpened)
    assert (opened.caller, opened.stream_sid) == (NUMBER, call.leg.stream_sid)


async def test_a_turn_is_heard_entire_and_to_the_bit(autojump_clock):
    brain = Scripted(reply(say("We are open from nine to five.", hz=440)), heard=["When?"])
    async with open_house() as house:
        call = house.ring(brain)
        await call.greeted()
        asked_until = await call.say()
        await call.answered()
        call.hang_up()
    (item,) = call.spoken_items()
    answer = call.converted(item)
    heard = call.heard()
    assert heard.count(answer) == 1
    assert len(answer) == 30 * 60 * 8
    assert strongest_hz(answer) == pytest.approx(440, abs=2)
    # VAD's silence, three round trips of nothing, the first delta: half a second and a little.
    assert heard.index(answer) / 8000 - (asked_until - call.began_at) < 0.6
    assert call.line.heard.gaps() == []
    assert call.said() == [
        ("agent", GREETING.text),
        ("caller", "When?"),
        ("agent", "We are open from nine to five."),
    ]
    last = call.lines()[-1]
    assert (last.heard_ms, last.interrupted) == (1800, False)
    assert call.outcome().outcome == "resolved"
    texts = [(i.role, i.text) for i in call.session.conversation]
    assert texts == [
        ("assistant", GREETING.text),
        ("user", "When?"),
        ("assistant", "We are open from nine to five."),
    ]
    assert trio.current_time() < 20


async def test_no_row_of_what_was_said_before_the_notice_was_heard(autojump_clock):
    brain = Scripted(heard=["I killed him."])
    async with open_house(clips=packaged_clips()) as house:
        call = house.ring(brain)
        await call.until(lambda: call.sessions)
        await call.say()
        await trio.sleep(3)
        assert brain.turns
        assert call.rows(TranscriptLine) == []
        call.hang_up()
    assert call.lines() == []
    assert not call.outcome().notice_heard


async def test_a_log_that_told_who_called_or_what_was_said_would_be_noticed(autojump_clock):
    async with open_house() as house:
        call = house.ring()
        await call.greeted()
        call.hang_up()
    for told in (NUMBER, f"said: {GREETING.text}"):
        with pytest.raises(AssertionError):
            assert_nothing_personal([{"event": "= a line", "text": told}], house.store)
        assert_nothing_personal([{"event": "= a line", "pii.text": told}], house.store)
