"""What a call costs: to the nano-dollar, whatever the model leaves out, and when it is enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import commands as do
from relay.core import events as on
from relay.core.budget import (
    OVER_CALL,
    OVER_DAY,
    Budget,
    Level,
    Prices,
    Tariff,
    level_of,
    response_nano,
    to_micro,
    transcription_nano,
)
from relay.core.phases import Phase
from relay.core.records import CallEnded, DispositionChosen, SpendAdded, TranscriptLine
from tests.core.driver import MS, Driver, of

# Nano-USD a token: gpt-realtime-2.1's prices of a million in USD, times a thousand.
LARGE = Tariff("large", 4000, 400, 24_000, 32_000, 400, 64_000)
SMALL = Tariff("small", 600, 60, 2400, 10_000, 300, 20_000)
WORDS = Tariff("words", minute=4_500_000)
TOKENS = Tariff("tokens", text_in=2500, audio_in=6000, text_out=10_000)
PRICES = Prices(SMALL, LARGE, WORDS, phone_minute=12_500_000)
USAGE = {
    "input_text": 119,
    "input_audio": 13,
    "cached_text": 64,
    "cached_audio": 0,
    "output_text": 30,
    "output_audio": 91,
}


def records(commands: list[do.Command]) -> list[SpendAdded]:
    return [c.record for c in of(commands, do.Keep) if isinstance(c.record, SpendAdded)]


def ended(usage: dict[str, int], response_id: str = "r1", status: str = "completed") -> Any:
    return on.ResponseEnded(response_id, status, usage=usage)


# ---- sums -----------------------------------------------------------------------------------


def test_the_documented_bill_comes_out_and_is_rounded_up_once() -> None:
    """55 x 4 + 64 x 0.40 + 13 x 32 + 30 x 24 + 91 x 64 = 7205.6 millionths of a dollar."""
    assert response_nano(LARGE, USAGE) == 7_205_600
    assert to_micro(7_205_600) == 7206
    (row,) = records(
        Budget(replace(PRICES, model=LARGE), None).response(ended(USAGE), 1.0, hard=False)
    )
    assert row == SpendAdded(1.0, "r1", "response", 7206, "large", 119, 13, 64, 0, 30, 91, 0, "")


@given(
    st.fixed_dictionaries({name: st.integers(0, 10**6) for name in USAGE}),
    st.sampled_from([LARGE, SMALL]),
)
def test_a_bill_is_the_sum_of_its_sorts_and_more_cache_is_never_dearer(
    usage: dict[str, int], tariff: Tariff
) -> None:
    total = response_nano(tariff, usage)
    parts = [
        response_nano(tariff, {k: v for k, v in usage.items() if k.endswith(sort)})
        for sort in ("text", "audio")
    ]
    assert total == sum(parts) >= 0
    assert response_nano(tariff, usage | {"cached_text": 0, "cached_audio": 0}) >= total


@pytest.mark.parametrize(
    ("tariff", "usage", "nano"),
    [
        (WORDS, {"audio_ms": 60_000}, 4_500_000),
        (WORDS, {"audio_ms": 2400}, 180_000),
        (WORDS, {"input_audio": 24, "output_text": 5}, 180_000),  # tokens of 100 ms
        (TOKENS, {"input_audio": 24, "output_text": 5}, 194_000),
        (TOKENS, {"audio_ms": 2400}, 144_000),
        (WORDS, {"audio_ms": 1}, 75),
        (Tariff(), {"audio_ms": 60_000}, 0),
    ],
)
def test_words_are_billed_by_time_or_by_token(
    tariff: Tariff, usage: dict[str, int], nano: int
) -> None:
    assert transcription_nano(tariff, usage) == nano


@given(st.lists(st.integers(0, 10**7), max_size=30))
def test_rows_add_up_to_the_total_and_never_fall_short(costs: list[int]) -> None:
    budget = Budget(Prices(model=Tariff("m", text_in=1)), None)
    rows = [
        row
        for n, cost in enumerate(costs)
        for row in records(budget.response(ended({"input_text": cost}, f"r{n}"), 0.0, hard=False))
    ]
    assert sum(row.micro_usd for row in rows) == budget.spent
    assert 0 <= budget.spent * 1000 - sum(costs) < 1000 * max(1, len(costs))


# ---- what is left out -----------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "incomplete"])
def test_every_response_is_paid_for_once(status: str) -> None:
    budget = Budget(PRICES, None)
    budget.began("r1")
    assert budget.owing
    assert len(records(budget.response(ended(USAGE, status=status), 1.0, hard=False))) == 1
    assert budget.response(ended(USAGE), 1.0, hard=False) == []
    assert not budget.owing
    budget.began("r1")
    assert not budget.owing


def test_a_response_without_usage_is_reckoned_from_its_sound_and_marked() -> None:
    budget = Budget(PRICES, None)
    budget.words("i1", {}, 3000, 0.0)
    budget.began("r1")
    for _ in range(4):
        budget.made(on.AgentAudio("r1", "a1", bytes(500 * MS), -20.0))
    (row,) = records(budget.response(ended({}), 1.0, hard=True))
    assert (row.input_audio, row.output_audio, row.note) == (30, 40, "estimated")
    assert row.micro_usd == (30 * 32_000 + 40 * 64_000) // 1000
    budget.began("r2")
    budget.made(on.AgentAudio("r2", "a2", bytes(100 * MS), -20.0))
    (second,) = records(budget.lost(2.0, hard=False))
    assert (second.input_audio, second.output_audio) == (30 + 40, 2)
    assert budget.lost(3.0, hard=False) == []


def test_a_response_of_which_nothing_came_costs_nothing() -> None:
    budget = Budget(PRICES, None)
    budget.began("r1")
    assert budget.response(ended({}, status="failed"), 1.0, hard=False) == []
    assert budget.spent == 0


def test_a_guess_and_a_model_without_a_price_are_marked() -> None:
    budget = Budget(PRICES, None)
    guess = USAGE | {"cached_guessed": 1}
    (row,) = records(budget.response(ended(guess), 1.0, hard=False))
    assert row.note == "cached_guessed"
    (row,) = records(Budget(Prices(), None).response(ended(USAGE), 1.0, hard=False))
    assert (row.note, row.micro_usd, row.output_audio) == ("unpriced", 0, 91)


def test_words_without_usage_are_reckoned_from_how_long_they_were_said() -> None:
    budget = Budget(PRICES, None)
    (row,) = records(budget.words("i1", {}, 2400, 1.0))
    assert (row.ref, row.kind, row.micro_usd, row.note) == (
        "words_i1",
        "transcription",
        180,
        "estimated",
    )
    assert budget.words("i2", {}, 0, 1.0) == []


# ---- the phone ------------------------------------------------------------------------------


def test_minutes_are_paid_for_as_they_begin_in_one_row_that_grows() -> None:
    budget = Budget(PRICES, None)
    (first,) = records(budget.answered("MZ1", 10.0))
    assert (first.ref, first.micro_usd, first.audio_ms) == ("phone_MZ1", 12_500, 60_000)
    assert budget.minute_at == 70.0
    assert budget.minutes(69.9) == []
    (third,) = records(budget.minutes(131.0))
    assert (third.micro_usd, budget.spent) == (37_500, 37_500)
    assert Budget(Prices(), None).answered("MZ1", 10.0) == []


# ---- caps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent", "cap", "level"),
    [
        (10**9, None, Level.FREE),
        (89, 100, Level.FREE),
        (90, 100, Level.WRAP_UP),
        (99, 100, Level.WRAP_UP),
        (100, 100, Level.OVER),
        (1, 1, Level.OVER),
        (0, 1, Level.FREE),
    ],
)
def test_the_level_of_a_cap(spent: int, cap: int | None, level: Level) -> None:
    assert level_of(spent, cap) is level


def test_with_a_cap_on_the_day_a_cost_holds_the_next_response_until_the_day_is_known() -> None:
    budget = Budget(PRICES, None, day_cap=True)
    assert budget.level is Level.FREE
    budget.response(ended(USAGE), 1.0, hard=False)
    assert budget.level is Level.HELD
    budget.tell(Level.WRAP_UP)
    assert budget.level is Level.WRAP_UP
    budget.tell(Level.OVER)
    assert (budget.level, budget.reason) == (Level.OVER, OVER_DAY)


# ---- in a call ------------------------------------------------------------------------------


def driver(cap: int | None = None, **policy: Any) -> Driver:
    prices = replace(PRICES, phone_minute=0)
    call = Driver(prices=prices, max_call_micro_usd=cap, **policy)
    call.greeted()
    call.caller_says("u1")
    return call


def answers(call: Driver, response: str, usage: dict[str, int], ms: int = 500) -> list[do.Command]:
    out = call.agent_says(f"a_{response}", ms, response=response, done=False)
    out += call.feed(on.ResponseEnded(response, "completed", usage=usage))
    return out


def costing(micro: int) -> dict[str, int]:
    """Usage of the small model that comes to an amount: 60 nano-USD a cached token of text."""
    tokens = micro * 1000 // 60
    return {"input_text": tokens, "cached_text": tokens}


def test_a_call_under_its_cap_is_left_alone() -> None:
    call = driver(10_000)
    answers(call, "r1", costing(8000))
    assert call.call.spent < 9000
    call.caller_says("u2")
    assert call.sent(do.AddText)[-1].role != "system"
    assert call.call.phase is Phase.TALKING


def test_near_its_cap_the_agent_is_told_once_to_wrap_up() -> None:
    call = driver(10_000)
    out = answers(call, "r1", costing(9300))
    assert [c.role for c in of(out, do.AddText)] == ["system"]
    assert [c.purpose for c in of(out, do.CreateResponse)] == ["wrap_up"]
    out = answers(call, "r2", costing(300))
    assert of(out, do.AddText) == []
    assert call.call.phase is Phase.TALKING


def test_at_its_cap_a_call_goes_to_a_human_when_all_is_said_and_asks_for_no_response() -> None:
    call = driver(10_000)
    out = answers(call, "r1", costing(10_500), ms=3000)
    assert of(out, do.CreateResponse) == []
    assert call.call.phase is Phase.LEAVING
    assert not call.sent(do.ClosePhone), "what is being said is heard to its end"
    asked = len(call.sent(do.CreateResponse))
    call.caller_says("u2")
    call.wait(6)
    assert len(call.sent(do.CreateResponse)) == asked
    (close,) = call.sent(do.ClosePhone)
    assert (close.disposition, close.reason) == ("fallback", OVER_CALL)
    assert any(line.item_id.startswith("clip_apology") for line in call.kept(TranscriptLine))
    assert call.kept(DispositionChosen)[0].reason == OVER_CALL


def test_who_is_being_rung_when_the_cap_is_reached_may_still_come() -> None:
    call = driver(10_000)
    call.feed(on.HumanRinging("t1"))
    out = answers(call, "r1", costing(10_500))
    call.wait(3)
    assert call.call.phase is Phase.TALKING
    assert call.sent(do.ClosePhone) == []
    asked = len(call.sent(do.CreateResponse))
    call.caller_says("u2")
    assert len(call.sent(do.CreateResponse)) == asked
    call.feed(on.HumanLost("t1", "no_answer"))
    assert call.call.phase is Phase.LEAVING
    call.wait(6)
    assert call.kept(DispositionChosen)[0].disposition == "fallback"
    assert of(out, do.CreateResponse) == []


def test_a_summary_for_the_human_is_paid_for_and_is_nobody_s_turn() -> None:
    call = driver()
    call.feed(on.HumanRinging("t1"), on.ResponseStarted("r9", "summary"))
    call.feed(on.ResponseEnded("r9", "completed", usage=USAGE))
    assert call.kept(SpendAdded)[-1].ref == "r9"
    assert call.call.phase is Phase.TALKING


def test_what_is_being_said_is_finished_when_others_use_up_the_day() -> None:
    call = driver(day_cap=True)
    call.feed(on.DayBudget(Level.FREE))
    call.agent_says("a1", 2000, response="r1", done=False)
    call.feed(on.DayBudget(Level.OVER))
    assert call.call.phase is Phase.TALKING
    call.feed(on.ResponseEnded("r1", "completed", usage=USAGE))
    assert call.call.phase is Phase.LEAVING
    call.wait(6)
    assert call.kept(DispositionChosen)[0].reason == OVER_DAY


def test_a_held_call_asks_once_the_day_has_room_again() -> None:
    call = driver(day_cap=True)
    call.feed(on.DayBudget(Level.FREE))
    answers(call, "r1", USAGE)
    call.feed(on.DayBudget(Level.HELD))
    out = call.caller_says("u2")
    assert of(out, do.CreateResponse) == []
    out = call.feed(on.DayBudget(Level.FREE))
    assert [c.purpose for c in of(out, do.CreateResponse)] == ["turn"]


def test_a_call_that_is_greeted_beyond_the_cap_hears_the_greeting_first() -> None:
    call = Driver(prices=PRICES, max_call_micro_usd=10)
    call.start()
    assert call.call.phase is Phase.GREETING
    call.wait(1.5)
    assert call.call.phase is Phase.LEAVING
    assert call.sent(do.CreateResponse) == []


def test_the_larger_model_has_its_own_price_and_the_lost_session_its_old_one() -> None:
    call = driver(hard_model=True)
    call.agent_says("a1", 1000, response="r1", done=False)
    call.feed(on.ModelClosed(1006))
    call.wait(0.5)
    (lost,) = call.kept(SpendAdded)[-1:]
    assert (lost.ref, lost.model, lost.note) == ("r1", "small", "estimated")


def test_the_bill_of_a_response_that_a_hang_up_cut_is_waited_for() -> None:
    call = driver()
    call.agent_says("a1", 4000, response="r1", done=False)
    call.wait(1)
    out = call.feed(on.PhoneStopped())
    assert [c.response_id for c in of(out, do.CancelResponse)] == ["r1"]
    assert call.call.phase is Phase.LAST_WORDS
    call.wait(0.2)
    call.feed(on.ResponseEnded("r1", "cancelled", usage=USAGE))
    assert call.kept(SpendAdded)[-1].output_audio == 91
    assert call.call.phase is Phase.ENDED
    assert len(call.kept(CallEnded)) == 1


def test_a_bill_that_never_comes_is_reckoned_at_the_end() -> None:
    call = driver()
    call.agent_says("a1", 4000, response="r1", done=False)
    call.feed(on.PhoneStopped())
    call.wait(2.9)
    assert call.call.phase is Phase.LAST_WORDS
    call.wait(0.2)
    assert call.call.phase is Phase.ENDED
    assert call.kept(SpendAdded)[-1].note == "estimated"


def test_a_call_that_comes_back_has_spent_what_it_had() -> None:
    call = Driver(prices=PRICES, max_call_micro_usd=100_000)
    call.feed(on.CallResumed((("user", "Hi."),), spent=95_000))
    call.start()
    call.wait(1.5)
    assert call.call.spent == 12_500, "the stream's own"
    assert call.call.phase is not Phase.TALKING
    call.wait(3)
    assert call.kept(DispositionChosen)[0].reason == OVER_CALL


def test_each_minute_of_a_call_is_paid_for() -> None:
    call = Driver(prices=PRICES, idle_prompt_s=1000.0, max_call_s=1000.0)
    call.greeted()
    call.wait(125)
    assert [row.micro_usd for row in call.kept(SpendAdded)] == [12_500, 25_000, 37_500]
    assert call.call.spent == 37_500


def test_a_minute_that_begins_while_the_caller_hears_the_goodbye_is_paid_for() -> None:
    call = Driver(prices=PRICES, clip_ms=5000, idle_prompt_s=1000.0, max_call_s=58.0)
    call.start()
    call.wait(70)
    assert [row.micro_usd for row in call.kept(SpendAdded)] == [12_500, 25_000]


def test_words_that_are_told_twice_are_paid_for_once() -> None:
    call = Driver(prices=PRICES)
    call.greeted()
    call.caller_says("u1", words=None)
    words = on.CallerTranscribed("u1", "Yes.", usage={"audio_ms": 900})
    call.feed(words, words)
    rows = [row.micro_usd for row in call.kept(SpendAdded) if row.kind == "transcription"]
    assert len(rows) == 1
