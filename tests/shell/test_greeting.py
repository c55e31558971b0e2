"""Who greets, and how soon: a clip at once, or the model's own voice."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
import trio

from relay.core.policy import LIVE_GREETING, Clip
from relay.sim.brains import Scripted, failed, reply, say
from tests.readers import read_out
from tests.shell.house import PLAIN, Placed, open_house, packaged_clips, short_clips

CALLS = 100
CLIP_S = 0.020
LIVE_S = 0.500
THINK_S = 0.350

WORDS = "Hello! You are speaking with an AI assistant, and this call may be recorded."


def live() -> Mapping[str, Clip]:
    return {**short_clips(), LIVE_GREETING: Clip(LIVE_GREETING, WORDS, b"")}


def greeted_after(call: Placed) -> float:
    assert call.leg.first_media_at is not None
    return call.leg.first_media_at - call.began_at


# ---- a clip ---------------------------------------------------------------------------------


async def test_a_clip_is_on_its_way_within_milliseconds_of_our_own_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`start` to the first media, in our thread's own time, of calls one after the other."""
    took = []
    async with open_house(clips=packaged_clips()) as house:
        for _ in range(CALLS):
            call = house.ring(run_leg=False)
            await call.phone.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            await trio.testing.wait_all_tasks_blocked()
            began = time.thread_time()
            await call.phone.send(call.leg._start())
            first = await call.phone.receive()
            took.append(time.thread_time() - began)
            assert '"media"' in str(first)
            await call.phone.aclose()
            await call.ended()
    median, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
    with capsys.disabled():
        sys.stdout.write(
            f"\nstart to first media: median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms\n"
        )
    # The p99 is printed, not held: it belongs to the machine as much as to us.
    assert median <= CLIP_S


# ---- the model ------------------------------------------------------------------------------


async def test_a_model_that_thinks_for_350_ms_has_greeted_in_half_a_second(
    autojump_clock: object,
) -> None:
    brain = Scripted(replace(reply(say(WORDS)), think_s=THINK_S), heard=["Hi."])
    async with open_house(clips=live()) as house:
        call = house.ring(brain, options=replace(PLAIN, created_s=0.05, update_s=0.05))
        await call.greeted()
        call.hang_up()
    assert THINK_S <= greeted_after(call) <= LIVE_S
    (item,) = call.spoken_items()
    assert call.heard().count(call.converted(item)) == 1, "all of it was heard, once"
    assert call.said() == [("agent", WORDS)]
    assert call.outcome().notice_heard
    assert call.outcome().greeting_ms == pytest.approx(greeted_after(call) * 1000, abs=1)
    (asked,) = call.told("response.create")
    assert asked["response"]["metadata"] == {"purpose": "greeting"}
    assert asked["response"]["instructions"].endswith(WORDS)


async def test_the_words_of_a_live_greeting_are_the_ones_that_were_given(
    autojump_clock: object,
) -> None:
    async with open_house(clips=live()) as house:
        call = house.ring(Scripted(read_out, reply(say("We are.")), heard=["Are you open?"]))
        await call.greeted()
        await call.say()
        await call.answered(2)
        call.hang_up()
    assert call.said() == [("agent", WORDS), ("caller", "Are you open?"), ("agent", "We are.")]
    assert call.outcome().outcome == "resolved"


async def test_a_model_that_is_late_leaves_the_greeting_to_the_clip(
    autojump_clock: object,
) -> None:
    brain = Scripted(reply(say("We are open.")), heard=["Are you?"])
    async with open_house(clips=live()) as house:
        call = house.ring(brain, options=replace(PLAIN, created_s=3.0))
        await call.until(lambda: call.leg.playout.received, 5)
        await call.until(lambda: call.told("conversation.item.create"), 5)
        await call.quiet()
        await call.say()
        await call.answered()
        call.hang_up()
    assert greeted_after(call) == pytest.approx(2.0, abs=0.01)
    assert [words for _, words in call.said()] == ["The greeting clip.", "Are you?", "We are open."]
    assert call.outcome().notice_heard


async def test_a_greeting_that_fails_is_said_by_the_clip(autojump_clock: object) -> None:
    async with open_house(clips=live()) as house:
        call = house.ring(Scripted(failed()))
        await call.greeted()
        call.hang_up()
    assert greeted_after(call) < 0.1
    assert call.said() == [("agent", "The greeting clip.")]
    assert len(call.told("response.create")) == 1


async def test_a_caller_who_speaks_at_once_is_heard_after_a_live_greeting(
    autojump_clock: object,
) -> None:
    """What was said before the model was there reaches it at four times the pace of speech."""
    brain = Scripted(read_out, reply(say("From nine.")), heard=["When are you open?"])
    async with open_house(clips=live()) as house:
        call = house.ring(brain, options=replace(PLAIN, created_s=1.8))
        await trio.sleep(0.4)
        await call.say()
        await call.answered(2)
        call.hang_up()
    assert [words for who, words in call.said() if who == "agent"] == [WORDS, "From nine."]
