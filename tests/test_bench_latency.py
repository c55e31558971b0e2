"""The arithmetic of bench/latency.py: distributions, budgets, noise, and a second time."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._latency_join import Delays  # noqa: E402
from bench._latency_lag import lags_ms, read  # noqa: E402
from bench._latency_show import drawing, table  # noqa: E402
from bench._latency_stats import (  # noqa: E402
    BYSTANDER,
    Budget,
    Calibration,
    Figure,
    Verdict,
    figure,
    judge,
    noise,
    quantile,
    read_budgets,
    yardsticks,
)
from bench.latency import LateError, Run, Stage, instead, unproven  # noqa: E402
from relay.metrics import Metrics  # noqa: E402

BUDGETS = tomllib.loads((ROOT / "bench" / "budgets.toml").read_text(encoding="utf-8"))
YARDSTICKS = {"echo p50": 0.5, "echo p99": 2.0, "work unit": 8.0}


def measured(name: str, *values: float) -> Figure:
    found = figure(name, values)
    assert found is not None
    return found


# ---- distributions --------------------------------------------------------------------------


def test_quantiles_are_values_that_were_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [quantile(hundred, q) for q in (0, 0.5, 0.99, 0.999, 1)] == [1, 50, 99, 100, 100]
    assert quantile([7.0], 0.5) == 7


def test_no_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        quantile([], 0.5)
    assert figure("greeting", []) is None


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_points_are_in_order_and_belong_to_the_values(values: list[float]) -> None:
    points = list(measured("any", *values).points.values())
    assert points == sorted(points)
    assert set(points) <= set(values)
    assert (points[0], points[-1]) == (min(values), max(values))


# ---- budgets --------------------------------------------------------------------------------


def test_the_budgets_are_well_formed_and_the_greeting_s_is_hard() -> None:
    budgets = read_budgets(BUDGETS)
    greeting = next(b for b in budgets if (b.figure, b.point) == ("greeting", "max"))
    assert greeting.limit(ci=True) == greeting.limit(ci=False) == 500
    assert all(b.per is None or b.per in YARDSTICKS for b in budgets)
    assert all(b.limit(ci=True) >= b.limit(ci=False) for b in budgets)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"figure": "greeting", "point": "p50", "at_most": 20}, "budget 1: .*'reason'"),
        ({"figure": "g", "point": "p50", "at_most": 20, "reason": " "}, "budget 1: no reason"),
        ({"figure": "g", "point": "p95", "at_most": 20, "reason": "x"}, "'p95' is none of"),
        ({"figure": "g", "point": "max", "at_most": 1, "reason": "x", "atmost": 1}, "'atmost'"),
    ],
)
def test_a_malformed_budget_is_named(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_budgets({"budget": [entry]})


def test_a_breach_is_named_and_the_limit_itself_is_kept() -> None:
    budget = Budget("greeting", "max", 500, "the promise")
    stages = {1: {"greeting": measured("greeting", 500)}, 10: {"greeting": measured("g", 1, 501)}}
    kept, breached = judge([budget], stages, YARDSTICKS)
    assert kept.kept
    assert not breached.kept
    assert "BREACHED" in str(breached)
    assert "greeting max: 501" in str(breached)


def test_what_was_not_measured_is_a_breach() -> None:
    (verdict,) = judge([Budget("barge-in", "p50", 1e9, "x")], {1: {}}, YARDSTICKS)
    assert not verdict.kept
    assert "not measured" in str(verdict)


def test_a_ratio_is_taken_to_its_yardstick() -> None:
    budget = Budget("inbound", "p50", 4, "x", per="echo p50")
    (verdict,) = judge([budget], {1: {"inbound": measured("inbound", 1.5)}}, YARDSTICKS)
    assert verdict.got == 3
    with pytest.raises(ValueError, match="no yardstick 'moon'"):
        judge([Budget("inbound", "p50", 4, "x", per="moon")], {}, YARDSTICKS)


def test_in_ci_a_ratio_to_an_echo_is_one_to_the_bystander_s_if_that_was_slower() -> None:
    budget = Budget("inbound", "p50", 4, "x", per="echo p50")
    stages = {1: {"inbound": measured("inbound", 6.0), BYSTANDER: measured(BYSTANDER, 3.0)}}
    assert judge([budget], stages, YARDSTICKS, ci=True)[0].got == 2
    assert judge([budget], stages, YARDSTICKS)[0].got == 12


def test_without_time_it_is_the_machine_s_fault_only_if_that_was_busy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert unproven("the stages", LateError(["a bare echo took 30.0 ms"])) == 0
    assert unproven("the stages", LateError([])) == 1
    assert capsys.readouterr().out.count("UNPROVEN") == 2


def test_a_busy_machine_excuses_times_and_nothing_that_is_counted() -> None:
    def held(figure: str) -> Verdict:
        return Verdict(1, Budget(figure, "max", 1, "x"), limit=1, got=2)

    assert held("inbound").timed
    assert not any(held(figure).timed for figure in ("probe", "memory", "cpu"))


def test_a_budget_holds_for_its_stages_and_ci_has_a_limit_of_its_own() -> None:
    budget = Budget("turn", "p50", 20, "x", ci_at_most=40, calls=(10,))
    stages = {calls: {"turn": measured("turn", 30)} for calls in (1, 10)}
    (verdict,) = judge([budget], stages, YARDSTICKS)
    assert (verdict.calls, verdict.kept) == (10, False)
    assert judge([budget], stages, YARDSTICKS, ci=True)[0].kept


# ---- noise ----------------------------------------------------------------------------------

QUIET = Calibration([8.0] * 20, [0.2] * 100)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (Calibration([8.0] * 15 + [16.0] * 5, [0.2] * 100), "2.0 times as long at times"),
        (Calibration([8.0] * 20, [0.2] * 95 + [30.0] * 5), "a bare echo took 30.0 ms"),
        (Calibration([12.0] * 20, [0.2] * 100), "1.50 times as long after the run"),
        (Calibration([4.0] * 20, [0.2] * 100), "0.50 times as long after the run"),
    ],
)
def test_noise_says_what_was_noisy(after: Calibration, why: str) -> None:
    (found,) = noise(QUIET, after)
    assert why in found


def test_a_quiet_machine_is_not_noisy() -> None:
    assert noise(QUIET, QUIET) == []
    assert yardsticks(QUIET, QUIET, 7.5) == {"echo p50": 0.2, "echo p99": 0.2, "work unit": 7.5}


# ---- the loop -------------------------------------------------------------------------------


def page(*counts: int) -> str:
    bounds = ("0.001", "0.02", "5.0", "+Inf")
    lines = [
        f'relay_event_loop_lag_seconds_bucket{{le="{bound}"}} {count}.0'
        for bound, count in zip(bounds, counts, strict=True)
    ]
    return "\n".join(["# HELP relay_event_loop_lag_seconds How late", *lines, "relay_other 3.0"])


def test_lags_are_what_was_counted_between_two_readings() -> None:
    before, after = read(page(10, 12, 12, 12)), read(page(13, 16, 16, 17))
    assert lags_ms(before, after) == [1, 1, 1, 20, 10_000]
    assert lags_ms({}, before) == [1] * 10 + [20] * 2
    assert lags_ms(after, after) == []


def test_the_relay_writes_lags_as_they_are_read() -> None:
    metrics = Metrics()
    metrics.lag.observe(0.0004)
    metrics.lag.observe(0.03)
    assert lags_ms({}, read(metrics.page().decode())) == [1, 50]


# ---- a machine that others use --------------------------------------------------------------


def beside(turn_ms: float, echo_ms: float) -> dict[int, dict[str, Figure]]:
    return {10: {"turn": measured("turn", turn_ms), BYSTANDER: measured(BYSTANDER, echo_ms)}}


def test_in_ci_a_time_may_be_longer_by_what_a_bystander_took() -> None:
    budgets = [Budget("turn", "p50", 20, "x", ci_at_most=40)]
    (verdict,) = judge(budgets, beside(70.0, 8.0), YARDSTICKS, ci=True)
    assert verdict.kept
    assert verdict.limit == 40 + 4 * 8
    (verdict,) = judge(budgets, beside(73.0, 8.0), YARDSTICKS, ci=True)
    assert not verdict.kept
    (verdict,) = judge(budgets, beside(70.0, 8.0), YARDSTICKS)
    assert not verdict.kept


def test_where_a_bystander_starves_no_time_is_judged_but_lost_sound_is() -> None:
    stages = beside(900.0, 101.0)
    off = figure("probe", [20.0], "ms off")
    assert off is not None
    stages[10]["probe"] = off
    budgets = [Budget("turn", "p50", 20, "x"), Budget("probe", "max", 1, "x")]
    turn, probe = judge(budgets, stages, YARDSTICKS, ci=True)
    assert turn.kept
    assert str(turn).startswith("STARVED")
    assert not probe.kept


# ---- a second time ----------------------------------------------------------------------------


def stage(calls: int, turn_ms: float, *, busy: float = 0.1, rss_kib: float = 0.0) -> Stage:
    delays = Delays()
    delays.add("turn", turn_ms)
    return Stage(calls, delays, 5.0, rss_kib, {"model": busy, "phones": busy}, [])


def test_a_stage_that_was_breached_is_measured_again_and_stands_for_itself() -> None:
    quiet = Calibration([8.0], [0.3])
    first = stage(1, 3.0, rss_kib=1000)
    old = Run([first, stage(10, 90.0, rss_kib=9000)], quiet, quiet, 8.0, first)
    verdicts = judge([Budget("turn", "p50", 20, "x")], old.figures(), YARDSTICKS)
    assert old.troubled(verdicts) == [10]
    again = Run([stage(10, 4.0, rss_kib=1900)], quiet, quiet, 9.0, old.first)
    assert again.figures()[10]["memory"].points["max"] == 100
    both = instead(old, again)
    assert [each.calls for each in both.stages] == [1, 10]
    assert both.figures()[10]["turn"].points["p50"] == 4
    assert both.troubled([]) == []


def test_memory_is_not_held_against_the_stage_that_it_is_counted_from() -> None:
    quiet = Calibration([8.0], [0.3])
    one, ten = stage(1, 3.0, rss_kib=1000), stage(10, 3.0, rss_kib=9000)
    budget = Budget("memory", "max", 1024, "x", calls=(10,))
    assert Run([ten], quiet, quiet, 8.0, ten).held([budget], ci=False) == []
    (verdict,) = Run([one, ten], quiet, quiet, 8.0, one).held([budget], ci=False)
    assert verdict.kept


def test_no_machine_is_busy_enough_to_excuse_a_complaint() -> None:
    quiet = Calibration([8.0], [0.3])
    late = Verdict(10, Budget("turn", "p50", 20, "x"), limit=20, got=90)
    slow = stage(10, 90.0)
    assert Run([slow], quiet, quiet, 8.0, slow).excused([late])
    wrong = replace(slow, complaints=["31951 a mark that nobody knows"])
    run = Run([wrong], quiet, quiet, 8.0, wrong)
    assert not run.excused([late])
    starved = Verdict(10, Budget("turn", "p50", 20, "x"), limit=20, got=90, starved=True)
    assert run.troubled([starved]) == [10]
    lost = Verdict(10, Budget("probe", "max", 1, "x"), limit=1, got=20)
    assert not Run([slow], quiet, quiet, 8.0, slow).excused([lost])


def test_generators_without_time_left_are_a_fault() -> None:
    quiet = Calibration([8.0], [0.3])
    both = stage(10, 3.0, busy=0.41)
    run = Run([both], quiet, quiet, 8.0, both)
    assert run.troubled([]) == [10], "they share a core"
    assert "bottleneck" in run.faults()[0]


def test_many_phones_use_what_the_relay_leaves_of_its_core() -> None:
    quiet = Calibration([8.0], [0.3])
    for busy, troubled in ((0.69, []), (0.71, [50])):  # 0.8 of what is left: two cores less 0.25
        many = stage(50, 3.0, busy=busy)
        assert Run([many], quiet, quiet, 8.0, many).troubled([]) == troubled


# ---- for people -----------------------------------------------------------------------------


def test_every_figure_of_every_stage_is_shown() -> None:
    stages = {1: {"turn": measured("turn", 1.5)}, 10: {"turn": measured("turn", 2.5)}}
    verdicts = judge([Budget("turn", "p50", 20, "x")], stages, YARDSTICKS)
    rows = table(stages).splitlines()[2:]
    assert ["1.50" in row for row in rows] == [True, False]
    assert len({len(row) for row in rows}) == 1
    picture = drawing(stages, verdicts)
    assert "turn, 1 call<" in picture
    assert "turn, 10 calls<" in picture
    assert picture.count('stroke="#c0392b"') == 2
