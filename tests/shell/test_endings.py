"""How calls end: said goodbye, handed over, or broken; never in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
import trio

from relay.core.records import DispositionChosen, OwnerNotice
from relay.demo.measure import longest_silence
from relay.sim.brains import Reply, Scripted, call, failed, rate_limited, reply, say
from relay.sim.realtime import Fault, Options
from relay.sim.ulaw import tone
from tests.shell.house import PLAIN, Placed, brief_clips, clock, open_house

CLIPS = brief_clips()
APOLOGY = CLIPS["apology"].mulaw


async def ask_and_wait(placed: Placed) -> None:
    """Ask one thing; then only listen until the other end closes the line."""
    await placed.greeted()
    await placed.say()
    await placed.ended(120)


def closed_by_us(placed: Placed) -> float:
    """How long after the last sound the stream was closed; it was closed politely."""
    assert placed.leg.ended is not None
    assert (placed.leg.ended.by, placed.leg.ended.code) == ("relay", 1000)
    (chosen,) = placed.rows(DispositionChosen)
    return chosen.at - placed.line.time(placed.line.heard.end)


# ---- in good order --------------------------------------------------------------------------


async def test_the_agents_own_goodbye_is_heard_to_its_end(autojump_clock):
    brain = Scripted(reply(say("Bye!", ms=2200), call("end_call")), heard=["That is all."])
    async with open_house() as house:
        placed = house.ring(brain)
        await ask_and_wait(placed)
    assert placed.heard().endswith(placed.converted(placed.spoken_items()[0]))
    assert closed_by_us(placed) == pytest.approx(1.5, abs=0.03)
    assert placed.disposition() == "hang_up"
    assert (placed.outcome().outcome, placed.outcome().reason) == ("resolved", "agent_ended")


async def test_a_wordless_end_says_goodbye_by_itself(autojump_clock):
    brain = Scripted(reply(call("end_call")), heard=["That is all."])
    async with open_house() as house:
        placed = house.ring(brain)
        await ask_and_wait(placed)
    assert placed.heard().endswith(CLIPS["goodbye"].mulaw)
    assert placed.disposition() == "hang_up"
    assert placed.said()[-1] == ("agent", CLIPS["goodbye"].text)


async def test_oh_one_more_thing(autojump_clock):
    brain = Scripted(
        reply(say("Bye!", ms=1000), call("end_call")),
        reply(say("Yes?", ms=800, hz=900)),
        heard=["That is all.", "Oh, one more thing!"],
    )
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.answered()
        await trio.sleep(0.4)
        await placed.say(tone(600, 800))
        await placed.answered(2)
        assert not placed.over.is_set()
        placed.hang_up()
    assert placed.chosen == []
    assert placed.converted(placed.spoken_items()[1]) in placed.heard()
    told = [i.text for i in placed.session.conversation if i.role == "system"]
    assert "was not ended" in told[0]


async def test_a_tape_without_a_pause_is_cut_in_on(autojump_clock):
    brain = Scripted(reply(say("Goodbye!", ms=1000), call("end_call")), heard=["And now, …"])
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(placed.say, tone(700, 90_000))
            await placed.ended(60)
            nursery.cancel_scope.cancel()
    assert placed.heard().endswith(placed.converted(placed.spoken_items()[0]))
    assert (placed.disposition(), placed.outcome().reason) == ("hang_up", "agent_ended")
    assert ("caller", "And now, …") in placed.said()


async def test_nobody_there_is_asked_once_and_then_left(autojump_clock):
    async with open_house() as house:
        placed = house.ring()
        await placed.ended(120)
    heard = placed.heard()
    assert heard.count(CLIPS["still_there"].mulaw) == 1
    assert heard.endswith(CLIPS["goodbye"].mulaw)
    assert placed.disposition() == "hang_up"
    assert (placed.outcome().outcome, placed.outcome().reason) == ("abandoned", "idle")


async def test_a_call_that_lasts_too_long_hears_why_it_ends(autojump_clock):
    async with open_house(max_call_s=20.0, idle_prompt_s=60.0) as house:
        placed = house.ring()
        await placed.ended(60)
    assert placed.heard().endswith(CLIPS["wrap_up"].mulaw)
    assert placed.outcome().reason == "max_call"


# ---- broken ---------------------------------------------------------------------------------


@dataclass
class After:
    """Close with a code behind the n-th event of a kind, once, or behind every n-th."""

    kind: str
    n: int
    code: int
    always: bool = True
    seen: int = 0

    def __call__(self, event: dict[str, object]) -> int | None:
        if event["type"] != self.kind:
            return None
        self.seen += 1
        due = self.seen % self.n == 0 if self.always else self.seen == self.n
        return self.code if due else None


DELTA = "response.output_audio.delta"
BREAKS: dict[str, tuple[Callable[[], Options], str]] = {
    "says_nothing": (lambda: replace(PLAIN, hang=True), "model_unreachable"),
    "no_account": (
        lambda: replace(PLAIN, close_on=After("session.created", 1, 3000)),
        "model_refused",
    ),
    "lost_in_speech": (lambda: replace(PLAIN, close_on=After(DELTA, 4, 1006)), "model_lost"),
    "going_away": (lambda: replace(PLAIN, close_on=After(DELTA, 4, 1001)), "model_lost"),
    "refuses_us": (
        lambda: replace(PLAIN, refuse_update=Fault("invalid_value", "No such voice.")),
        "model_refused",
    ),
    "expires": (lambda: replace(PLAIN, session_s=9.0), "session_expired"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_model_is_apologised_for(autojump_clock, name):
    options, reason = BREAKS[name]
    long = reply(say("Well, " * 40, ms=6000))
    brain = Scripted(long, long, long, heard=["When?"] * 3)
    async with open_house() as house:
        placed = house.ring(brain, options=options())
        await ask_and_wait(placed)
    check_apology(placed, reason)


@pytest.mark.parametrize("code", [1006, 1001, 1011])
async def test_a_session_lost_in_speech_is_replaced_and_the_call_goes_on(autojump_clock, code):
    brain = Scripted(
        reply(say("We open at " * 20, ms=6000)),
        reply(say("As I said, at nine.", ms=1500, hz=900)),
        reply(say("You are welcome.", ms=1000, hz=1200)),
        heard=["When do you open?", "Thanks."],
    )
    options = replace(PLAIN, close_on=After(DELTA, 4, code, always=False))
    async with open_house() as house:
        placed = house.ring(brain, options=options)
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: len(placed.sessions) == 2)
        await placed.answered()
        await placed.say(tone(600, 800))
        await placed.answered(2)
        placed.hang_up()
    assert placed.chosen == []
    heard = placed.heard()
    assert CLIPS["one_moment"].mulaw in heard
    for item in placed.spoken_items():
        assert placed.converted(item) in heard
    # The question, told or heard once more, and the thanks.
    assert [i.role for i in placed.session.conversation].count("user") == 2


async def test_a_model_that_cannot_be_dialled_is_apologised_for(autojump_clock):
    async with open_house() as house:
        placed = house.ring(refuse="ConnectionRefusedError: [Errno 111]")
        await placed.ended(60)
    check_apology(placed, "model_unreachable")
    greeting = CLIPS["greeting"].mulaw
    assert placed.heard() == greeting + APOLOGY, "without a pause, greeting first"


@pytest.mark.parametrize(
    ("replies", "reason", "within_s"),
    [
        ([failed(), failed()], "response_failed", 3),
        ([rate_limited(0.5), rate_limited(0.5)], "response_failed", 5),
        ([rate_limited(30)], "rate_limited", 3),
        ([failed("insufficient_quota")], "model_refused", 3),
    ],
)
async def test_failing_responses_are_apologised_for(autojump_clock, replies, reason, within_s):
    async with open_house() as house:
        placed = house.ring(Scripted(*replies, heard=["When?"]))
        await ask_and_wait(placed)
    check_apology(placed, reason)
    at = placed.line.heard.audio.index(APOLOGY) / 8000
    question_until = placed.line.said.end / 8000
    assert at - question_until < within_s


@pytest.mark.parametrize("again_s", [2.0, 5.0, 9.9])
async def test_one_failure_is_only_a_moments_wait(autojump_clock, again_s):
    brain = Scripted(rate_limited(again_s), reply(say("Nine to five.")), heard=["When?"])
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        asked_at = await placed.say()
        await placed.answered(2)
        silence_ms = longest_silence(placed.line, asked_at, trio.current_time())
        placed.hang_up()
    heard = placed.heard()
    (answer,) = placed.spoken_items()
    assert heard.index(CLIPS["one_moment"].mulaw) < heard.index(placed.converted(answer))
    asked = [x.at for x in placed.session.log if x.event["type"] == "response.create"]
    assert asked[1] - asked[0] >= again_s - 0.001
    assert silence_ms <= 4000
    assert placed.chosen == []


async def test_a_stuck_response_is_company_first_and_then_a_human(autojump_clock):
    async with open_house() as house:
        placed = house.ring(Scripted(Reply(stuck=True), Reply(stuck=True), heard=["When?"]))
        await ask_and_wait(placed)
    check_apology(placed, "model_stalled")
    assert placed.heard().count(CLIPS["one_moment"].mulaw) >= 2
    end_of_all = placed.line.time(placed.line.heard.end)
    assert longest_silence(placed.line, placed.line.origin + 1.0, end_of_all) <= 4000


def check_apology(placed: Placed, reason: str) -> None:
    """The apology was heard entire, and last; then the line went to the fallback."""
    heard = placed.heard()
    assert heard.count(APOLOGY) == 1
    assert heard.endswith(APOLOGY)
    assert closed_by_us(placed) == pytest.approx(0, abs=0.03)
    assert placed.disposition() == "fallback"
    ended = placed.outcome()
    assert (ended.outcome, ended.reason) == ("failed", f"fallback: {reason}")
    (notice,) = placed.rows(OwnerNotice)
    assert notice.text == f"A call could not be finished ({ended.reason.replace('_', ' ')})."
    for session in placed.sessions:
        assert session.closed is not None, "no session is left open"


async def test_a_wall_clock_that_jumps_is_not_heard(autojump_clock):
    """Three hours forth, then back, in mid-call: what is waited for is waited for as long."""
    jumps = iter([0, 3, -3, 3])

    def jumping() -> datetime:
        return clock() + timedelta(hours=next(jumps, 0))

    brain = Scripted(reply(say("From nine to five.", ms=2000)), heard=["When?"])
    async with open_house() as house:
        placed = house.ring(brain, kit=replace(house.kit, wall_clock=jumping))
        await placed.greeted()
        await placed.say()
        await placed.answered()
        asked_at = trio.current_time()
        await placed.ended()
    assert placed.outcome().reason == "idle"
    assert 20 < trio.current_time() - asked_at < 40
    assert placed.converted(placed.spoken_items()[0]) in placed.heard()
