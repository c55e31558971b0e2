"""When it opens, what it admits while it is open, and what closes it; against a naive twin."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.breaker import Breaker

LIMIT, WINDOW_S, PAUSE_S = 3, 10.0, 4.0


def breaker() -> Breaker:
    return Breaker(limit=LIMIT, window_s=WINDOW_S, pause_s=PAUSE_S)


def opened(at: float = 0.0) -> Breaker:
    made = breaker()
    assert [made.failed(at) for _ in range(LIMIT)] == [False] * (LIMIT - 1) + [True]
    return made


def test_closed_it_admits_everybody() -> None:
    assert all(breaker().admits(float(n)) for n in range(100))


@pytest.mark.parametrize(("last", "opens"), [(WINDOW_S, True), (WINDOW_S + 0.1, False)])
def test_failures_count_while_they_are_together(last: float, opens: bool) -> None:
    made = breaker()
    made.failed(0.0)
    made.failed(1.0)
    assert made.failed(last) == opens == made.open


def test_the_window_slides() -> None:
    made = breaker()
    assert [made.failed(at) for at in (0.0, 9.0, 11.0, 18.0)] == [False, False, False, True]


def test_what_works_in_between_makes_the_count_begin_anew() -> None:
    made = breaker()
    made.failed(0.0)
    made.failed(0.1)
    assert not made.worked(), "nothing was closed by that"
    assert [made.failed(at) for at in (0.2, 0.3, 0.4)] == [False, False, True]


def test_open_it_admits_one_trial_a_pause() -> None:
    made = opened()
    admitted = [at for at in range(20) if made.admits(float(at))]
    assert admitted == [4, 8, 12, 16]


def test_a_crowd_gets_one_trial() -> None:
    made = opened()
    assert sum(made.admits(PAUSE_S) for _ in range(500)) == 1


def test_what_fails_late_keeps_nothing_closed_any_longer() -> None:
    made = opened()
    for at in (1.0, 2.0, 3.9):
        assert not made.failed(at)
    assert made.admits(PAUSE_S)


def test_a_trial_that_works_closes_it() -> None:
    made = opened()
    assert made.admits(PAUSE_S)
    assert made.worked()
    assert not made.open
    assert made.admits(PAUSE_S)


def test_a_verdict_opens_it_at_once_and_tells_so_once() -> None:
    made = breaker()
    assert made.trip(1.0)
    assert not made.trip(2.0)
    assert not made.admits(5.9)
    assert made.admits(6.0)


STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 6.0, allow_nan=False), st.sampled_from(["ask", "fail", "work", "trip"])
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_says_what_its_history_says(
    steps: list[tuple[float, str]],
) -> None:
    """The twin keeps the whole history and looks at it anew each time."""
    made, now = breaker(), 0.0
    failures: list[float] = []  # since anything worked
    opened_at: float | None = None
    trials: list[float] = []
    for wait_s, what in steps:
        now += wait_s
        if what == "ask":
            latest = max([t for t in (opened_at, *trials) if t is not None], default=None)
            expected = latest is None or now >= latest + PAUSE_S
            assert made.admits(now) == expected
            if opened_at is not None and expected:
                trials.append(now)
        elif what == "work":
            assert made.worked() == (opened_at is not None)
            failures, opened_at, trials = [], None, []
        elif what == "trip":
            assert made.trip(now) == (opened_at is None)
            failures, opened_at, trials = [], now, []
        elif opened_at is None:
            failures.append(now)
            together = [t for t in failures[-LIMIT:] if now - t <= WINDOW_S]
            assert made.failed(now) == (len(together) == LIMIT)
            if len(together) == LIMIT:
                failures, opened_at = [], now
        else:
            assert not made.failed(now)
        assert made.open == (opened_at is not None)


@given(st.lists(st.floats(0.0, 3.0, allow_nan=False), min_size=1, max_size=200))
def test_open_no_pause_ever_holds_two_trials(waits: list[float]) -> None:
    made, now = opened(), 0.0
    admitted = []
    for wait_s in waits:
        now += wait_s
        if made.admits(now):
            admitted.append(now)
    assert all(after >= before + PAUSE_S for before, after in itertools.pairwise(admitted))
    assert not admitted or admitted[0] >= PAUSE_S
