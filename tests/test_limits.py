"""How many calls a number may make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits import HOUR_S, MAX_CALLERS, NumberLimits, NumberRules

JANE, JOE = "+14155550123", "+14155550124"


def limits(at_once: int = 3, an_hour: int = 10, **lists: tuple[str, ...]) -> NumberLimits:
    return NumberLimits(NumberRules(at_once, an_hour, **lists))


def test_a_number_s_calls_at_once_are_capped() -> None:
    assert limits().refusal(JANE, 2, 0.0) == ""
    assert limits().refusal(JANE, 3, 0.0) == "number_at_once"


def test_a_number_s_calls_within_an_hour_are_capped_and_the_hour_slides() -> None:
    desk = limits(an_hour=2)
    for now in (0.0, 1000.0):
        assert desk.refusal(JANE, 0, now) == ""
        desk.began(JANE, now)
    assert desk.refusal(JANE, 0, HOUR_S - 1) == "number_an_hour"
    assert desk.refusal(JOE, 0, HOUR_S - 1) == ""
    assert desk.refusal(JANE, 0, HOUR_S) == ""


def test_zero_is_no_cap() -> None:
    desk = limits(at_once=0, an_hour=0)
    for now in range(1000):
        assert desk.refusal(JANE, now, float(now)) == ""
        desk.began(JANE, float(now))


def test_withheld_numbers_are_one_caller() -> None:
    desk = limits(an_hour=1)
    desk.began("", 0.0)
    assert desk.refusal("", 0, 1.0) == "number_an_hour"


@pytest.mark.parametrize(
    ("entry", "caller", "matches"),
    [
        (JANE, JANE, True),
        (JANE, JOE, False),
        ("+1415*", JANE, True),
        ("+1415*", "+1212555", False),
        ("withheld", "", True),
        ("withheld", JANE, False),
        ("+1*", "", False),
    ],
)
def test_an_entry_is_a_number_a_beginning_or_withheld(
    entry: str, caller: str, matches: bool
) -> None:
    assert limits(block=(entry,)).rules.blocked(caller) is matches
    free = limits(at_once=1, allow=(entry,)).refusal(caller, 5, 0.0) == ""
    assert free is matches


def test_who_is_allowed_is_not_blocked() -> None:
    rules = limits(allow=(JANE,), block=("+1415*",)).rules
    assert not rules.blocked(JANE)
    assert rules.blocked(JOE)


def test_what_is_remembered_is_bounded_and_fades() -> None:
    desk = limits()
    for number in range(2 * MAX_CALLERS):
        desk.began(f"+1{number}", 0.0)
    assert len(desk._begun) == MAX_CALLERS
    desk.began(JANE, HOUR_S)
    assert list(desk._begun) == [JANE]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 900)), max_size=60),
    st.integers(1, 4),
)
def test_no_hour_holds_more_calls_than_the_cap(steps: list[tuple[str, float]], cap: int) -> None:
    desk, now, let_in = limits(at_once=0, an_hour=cap), 0.0, []
    for caller, wait_s in steps:
        now += wait_s
        earlier = [at for who, at in let_in if who == caller and now - at < HOUR_S]
        refused = desk.refusal(caller, 0, now)
        assert bool(refused) is (len(earlier) >= cap)
        if not refused:
            desk.began(caller, now)
            let_in.append((caller, now))
