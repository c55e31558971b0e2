"""What calls meet at the model, and what new ones are spared because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import trio

from relay.core import events as on
from relay.core.ladder import FATAL_CODES
from relay.shell.model_watch import LIMIT, PAUSE_S, WINDOW_S, ModelWatch
from relay.sim.brains import Scripted, reply, say
from tests.shell.house import PLAIN, House, open_house

DELTA = "response.output_audio.delta"


@dataclass
class Once:
    """Close the session behind its n-th event of a kind."""

    kind: str
    n: int
    seen: int = 0

    def __call__(self, event: dict[str, object]) -> int | None:
        self.seen += event["type"] == self.kind
        return 1006 if event["type"] == self.kind and self.seen == self.n else None


async def fail(house: House, calls: int) -> None:
    """So many calls come and find no model."""
    for placed in [house.ring(refuse="HTTP 503") for _ in range(calls)]:
        await placed.ended()


# ---- calls ----------------------------------------------------------------------------------


async def test_calls_that_find_no_model_spare_those_that_come_after(autojump_clock) -> None:
    async with open_house() as house:
        watch = house.kit.model_watch
        await fail(house, LIMIT - 1)
        assert watch.admits()
        await fail(house, 1)
        assert watch.away
        assert not watch.admits()
        assert [line["log_level"] for line in house.logs if "model is away" in line["event"]] == [
            "error"
        ]
        await trio.sleep(PAUSE_S)
        assert [watch.admits(), watch.admits()] == [True, False], "one caller goes to see"


async def test_a_caller_who_goes_to_see_brings_the_agent_back_for_all(autojump_clock) -> None:
    async with open_house() as house:
        watch = house.kit.model_watch
        await fail(house, LIMIT)
        await trio.sleep(PAUSE_S)
        assert watch.admits()
        placed = house.ring()
        await placed.greeted()
        assert not watch.away
        placed.hang_up()
        assert len(house.logged("= the model is back: new calls get the agent")) == 1


async def test_a_living_call_whose_session_is_lost_is_not_held_back(autojump_clock) -> None:
    """… and what it finds is news for the others."""
    brain = Scripted(
        reply(say("We open at " * 20, ms=6000)),
        reply(say("As I said, at nine.", ms=1500, hz=900)),
        heard=["When do you open?", "Thanks."],
    )
    async with open_house() as house:
        watch = house.kit.model_watch
        placed = house.ring(brain, options=replace(PLAIN, close_on=Once(DELTA, 4)))
        await placed.greeted()
        for _ in range(LIMIT):
            watch.fault("model_unreachable")  # other calls
        assert watch.away
        await placed.say()
        await placed.until(lambda: len(placed.sessions) == 2)
        await placed.answered()
        assert not watch.away
        placed.hang_up()
    assert placed.chosen == []
    assert placed.converted(placed.spoken_items()[-1]) in placed.heard()


async def test_a_session_that_never_gets_ready_counts_and_a_caller_who_hangs_up_does_not(
    autojump_clock,
) -> None:
    async with open_house() as house:
        watch = house.kit.model_watch

        hanging = replace(PLAIN, hang=True)
        for _ in range(LIMIT):
            placed = house.ring(options=hanging)
            await trio.sleep(1.0)
            placed.hang_up()
            await placed.ended()
        assert not watch.away
        for placed in [house.ring(options=hanging) for _ in range(LIMIT)]:
            await placed.ended()
            assert placed.chosen == ["fallback"]
        assert watch.away


# ---- what counts ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(FATAL_CODES))
async def test_a_word_about_the_account_is_enough_and_only_an_answer_takes_it_back(
    autojump_clock, code: str
) -> None:
    watch = ModelWatch()
    watch.heard(on.ResponseEnded("resp_1", "failed", error_code=code))
    assert watch.away
    await trio.sleep(PAUSE_S)
    assert watch.admits()
    watch.heard(on.ModelReady())
    assert watch.away, "such an account's sessions become ready, and answer nothing"
    watch.heard(on.ResponseEnded("resp_2", "completed"))
    assert not watch.away
    assert watch.admits()


@pytest.mark.parametrize(
    "event", [on.ModelErrored("invalid_api_key", "no"), on.ModelClosed(3000, "no key")]
)
async def test_a_key_that_is_refused_is_enough(autojump_clock, event: on.Event) -> None:
    watch = ModelWatch()
    watch.heard(event)
    assert not watch.admits()


async def test_what_happens_to_sessions_that_were_had_is_no_reason(autojump_clock) -> None:
    watch = ModelWatch()
    for _ in range(10 * LIMIT):
        for kind in ("model_lost", "model_stalled", "model_slow", "phone_slow", "rate_limited"):
            watch.fault(kind)
        watch.heard(on.ModelClosed(1006, "gone"))
        watch.heard(on.ModelErrored("invalid_value", "audio_end_ms"))
        watch.heard(on.ResponseEnded("r", "failed", error_code="server_error"))
    assert watch.admits()


async def test_failures_that_are_far_apart_are_single_calls_bad_luck(autojump_clock) -> None:
    watch = ModelWatch()
    for _ in range(10):
        watch.fault("model_unreachable")
        await trio.sleep(WINDOW_S / (LIMIT - 1) + 1)
    assert watch.admits()
