"""The day's cap: drawn before it is spent, shared by processes, passed by a response a call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import structlog
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from relay.adapters.store import open_store, upgrade
from relay.core.budget import OVER_DAY, Level, Prices, Tariff
from relay.core.policy import CallPolicy
from relay.core.records import SpendAdded
from relay.errors import StoreError
from relay.ports import DayBudgets, Drawn
from relay.shell import purse as module
from relay.shell.purse import HOLD_S, REFRESH_S, Purse
from relay.sim.brains import Scripted, reply, say
from tests.adapters import postgres
from tests.core.driver import TIMES
from tests.databases import migrated
from tests.shell.house import Placed, open_house

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
CAP = 100_000


class Counter:
    """A ports.DayBudgets in memory."""

    def __init__(self) -> None:
        self.days: dict[date, int] = {}
        self.away = False
        self.draws = 0

    def draw(self, day: date, owed: int, want: int, cap: int) -> Drawn:
        self.draws += 1
        if self.away:
            raise StoreError("the database is away")
        taken = max(0, self.days.get(day, 0) + owed)
        granted = max(0, min(want, cap - taken))
        self.days[day] = taken + granted
        return Drawn(granted, taken + granted)


class Latency:
    """Runs questions inline, after a while that a test sets."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    async def __call__(self, question: Callable[[], Drawn]) -> Drawn:
        await trio.sleep(self.seconds)
        return question()


def make(counter: DayBudgets, cap: int = CAP, **given: object) -> Purse:
    given.setdefault("run_sync", Latency())
    given.setdefault("wall_clock", lambda: NOON)
    return Purse(counter, cap, **given)  # type: ignore[arg-type]


def taken(counter: Counter) -> int:
    return counter.days.get(NOON.date(), 0)


# ---- one process ----------------------------------------------------------------------------


async def test_a_share_is_drawn_before_it_is_spent_and_given_back(autojump_clock, nursery):
    counter = Counter()
    purse = make(counter)
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        assert tab.level is Level.HELD, "nothing has been drawn yet"
        await trio.sleep(0.01)
        assert tab.level is Level.FREE
        assert taken(counter) == CAP // 100
        tab.spend(700)
        await trio.sleep(0.01)
        assert taken(counter) == 700 + CAP // 100, "topped up before it runs dry"
    await trio.sleep(0.01)
    assert taken(counter) == 700
    nursery.cancel_scope.cancel()


async def test_the_levels_of_a_day(autojump_clock, nursery):
    counter = Counter()
    purse = make(counter)
    nursery.start_soon(purse.run)
    with structlog.testing.capture_logs() as logs, purse.open_tab() as tab:
        for _ in range(200):
            await trio.sleep(0.1)
            if tab.level is Level.OVER:
                break
            tab.spend(1500)
        assert CAP <= taken(counter) <= CAP + 1500
        assert not purse.affords_a_call()
        levels = [line["level"] for line in logs if line["event"] == "= day's budget"]
    assert [name for name in levels if name != "held"][-2:] == ["wrap_up", "over"]
    nursery.cancel_scope.cancel()


async def test_a_call_that_begins_late_in_the_day_is_not_told_to_wrap_up(autojump_clock, nursery):
    counter = Counter()
    counter.days[NOON.date()] = 95_000
    purse = make(counter)
    nursery.start_soon(purse.run)
    await trio.sleep(REFRESH_S + 0.1)
    assert purse.affords_a_call()
    with purse.open_tab() as tab:
        await trio.sleep(0.1)
        assert (purse.level, tab.level) == (Level.WRAP_UP, Level.FREE)
        tab.spend(6000)
        await trio.sleep(0.1)
        assert tab.level is Level.OVER
    nursery.cancel_scope.cancel()


async def test_what_others_spend_is_known_within_seconds(autojump_clock, nursery):
    counter = Counter()
    purse = make(counter)
    nursery.start_soon(purse.run)
    assert purse.affords_a_call()
    counter.days[NOON.date()] = CAP
    await trio.sleep(REFRESH_S + 0.1)
    assert not purse.affords_a_call()
    nursery.cancel_scope.cancel()


async def test_midnight_begins_a_new_day(autojump_clock, nursery):
    counter = Counter()
    counter.days[NOON.date()] = CAP
    began = trio.current_time()
    late = datetime(2026, 11, 26, 23, 59, 50, tzinfo=UTC)

    def clock() -> datetime:
        return late + timedelta(seconds=trio.current_time() - began)

    purse = make(counter, wall_clock=clock)
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        await trio.sleep(6)
        assert tab.level is Level.OVER
        tab.spend(300)
        await trio.sleep(12)
        assert tab.level is Level.FREE
        assert purse.affords_a_call()
    await trio.sleep(0.1)
    assert counter.days == {late.date(): CAP + 300, late.date() + timedelta(days=1): 0}
    nursery.cancel_scope.cancel()


async def test_at_midnight_nobody_s_response_is_held_back(autojump_clock, nursery):
    """Which is in the afternoon, where the telephone rings in America."""
    began = trio.current_time()
    late = datetime(2026, 11, 26, 23, 59, 50, tzinfo=UTC)

    def clock() -> datetime:
        return late + timedelta(seconds=trio.current_time() - began)

    purse = make(Counter(), wall_clock=clock, run_sync=Latency(0.01))
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        await trio.sleep(1)
        held_s = 0.0
        while trio.current_time() - began < 20:
            await trio.sleep(0.1)
            held_s += 0.1 * (tab.level is Level.HELD)
        assert held_s < 0.2
    nursery.cancel_scope.cancel()


async def test_a_database_that_is_away_holds_calls_for_a_second_at_most(autojump_clock, nursery):
    counter = Counter()
    purse = make(counter)
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(purse.run)
        with purse.open_tab() as tab:
            await trio.sleep(0.01)
            counter.away = True
            tab.spend(5000)
            assert tab.level is Level.HELD
            await trio.sleep(HOLD_S + 0.5)
            assert tab.level is Level.FREE, "a caller is not kept in silence"
            tab.spend(80_000)
            assert tab.level is Level.FREE
            tab.spend(5_000)
            assert tab.level is Level.WRAP_UP, "what this process spends is counted all the same"
            tab.spend(10_000)
            assert tab.level is Level.OVER
            counter.away = False
            await trio.sleep(1)
            assert taken(counter) == 100_000
        nursery.cancel_scope.cancel()
    assert len([line for line in logs if line["log_level"] == "warning"]) == 1


async def test_a_hung_database_is_a_database_that_is_away(autojump_clock, nursery):
    purse = make(Counter(), run_sync=Latency(float("inf")))
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        await trio.sleep(HOLD_S + 0.1)
        assert tab.level is Level.FREE
        nursery.cancel_scope.cancel()


async def test_without_calls_the_counter_is_looked_at_every_few_seconds(autojump_clock, nursery):
    counter = Counter()
    nursery.start_soon(make(counter).run)
    await trio.sleep(60.5)
    assert counter.draws == 60 // REFRESH_S
    nursery.cancel_scope.cancel()


async def test_a_process_that_ends_gives_back_what_it_has_not_spent(autojump_clock):
    counter = Counter()
    purse = make(counter)
    with purse.open_tab() as tab:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(purse.run)
            await trio.sleep(0.1)
            tab.spend(250)
            nursery.cancel_scope.cancel()
    assert taken(counter) == 250


async def test_questions_really_run_in_a_thread_that_may_be_left_behind():
    assert await module.in_thread(lambda: Drawn(1, 2)) == Drawn(1, 2)


# ---- answers that get lost or come late -----------------------------------------------------


async def test_what_is_given_back_counts_once_though_the_answer_gets_lost(autojump_clock, nursery):
    """Twice would take from the day what others have spent, and the cap would be passed by it."""

    class Loses(Counter):
        """Commits, and then its connection breaks."""

        losing = False

        def draw(self, day: date, owed: int, want: int, cap: int) -> Drawn:
            drawn = super().draw(day, owed, want, cap)
            if self.losing:
                raise StoreError("the connection is lost")
            return drawn

    counter = Loses()
    counter.days[NOON.date()] = 50_000
    purse = make(counter)
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        await trio.sleep(0.1)
        tab.spend(200)
        await trio.sleep(0.1)
        counter.losing = True
    await trio.sleep(3 * REFRESH_S)
    counter.losing = False
    await trio.sleep(3 * REFRESH_S)
    assert taken(counter) == 50_200
    nursery.cancel_scope.cancel()


async def test_a_slow_counter_uses_up_no_day(autojump_clock, nursery):
    """What is drawn by an answer that comes too late is had all the same, and given back."""

    async def leaves_it_behind(question: Callable[[], Drawn]) -> Drawn:
        over = trio.Event()
        answer: list[Drawn] = []

        async def thread() -> None:
            await trio.sleep(HOLD_S + 0.5)
            answer.append(question())
            over.set()

        nursery.start_soon(thread)
        await over.wait()
        return answer[0]

    counter = Counter()
    purse = make(counter, run_sync=leaves_it_behind)
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        for _ in range(60):
            await trio.sleep(1)
            tab.spend(10)
        assert taken(counter) < CAP // 10
    await trio.sleep(60)
    assert taken(counter) == 600
    nursery.cancel_scope.cancel()


# ---- two processes --------------------------------------------------------------------------


class Spending:
    """What all calls have really cost, and what each one's last response did."""

    def __init__(self) -> None:
        self.total = 0
        self.last: dict[int, int] = {}
        self.most_above = 0

    def add(self, call: int, cost: int, cap: int) -> None:
        self.total += cost
        self.last[call] = cost
        allowed = cap + sum(self.last.values())
        assert self.total <= allowed, "more than one response of each call beyond the cap"


async def talk(purse: Purse, call: int, seed: int, spending: Spending, cap: int) -> None:
    """A call as the core makes it: no response is begun from HELD on, and OVER ends it."""
    dice = random.Random(seed)
    with purse.open_tab() as tab:
        while tab.level is not Level.OVER:
            if tab.level is Level.HELD:
                await tab.changed()
                continue
            await trio.sleep(dice.uniform(0.0, 3.0))  # the response is being made
            cost = dice.randint(1, cap // 8)
            spending.add(call, cost, cap)
            tab.spend(cost)
            await trio.sleep(dice.choice([0.0, 0.0, 2.0]))  # tool, tool, a caller's turn


async def share(
    stores: list[DayBudgets], day: datetime, cap: int, calls: int, seed: int
) -> Spending:
    """Calls in several processes, which have nothing in common but the database."""
    dice, spending = random.Random(seed), Spending()
    with trio.fail_after(100_000):
        async with trio.open_nursery() as processes:
            async with trio.open_nursery() as talks:
                for number, store in enumerate(stores):
                    latency = Latency(dice.choice([0.0, 0.01, 0.4]))
                    purse = Purse(store, cap, wall_clock=lambda: day, run_sync=latency)
                    processes.start_soon(purse.run)
                    for index in range(calls):
                        call = number * calls + index
                        talks.start_soon(talk, purse, call, dice.getrandbits(32), spending, cap)
            processes.cancel_scope.cancel()
    return spending


@contextmanager
def on_sqlite(folder: str) -> Iterator[str]:
    yield migrated(Path(folder) / "relay.db")


@contextmanager
def on_postgresql(_: str) -> Iterator[str]:
    with postgres.running() as home:
        postgres.execute(home, "CREATE DATABASE purse")
        url = postgres.url(home, "purse")
        upgrade(url)
        yield url


@pytest.mark.parametrize("database", [on_sqlite, on_postgresql])
def test_two_processes_pass_the_cap_by_no_more_than_a_response_for_each_live_call(
    tmp_path, database
) -> None:
    days = (NOON + timedelta(days=n) for n in count())  # each example has a counter of its own
    with database(str(tmp_path)) as url:
        stores: list[DayBudgets] = [open_store(url), open_store(url)]

        @settings(
            max_examples=10 * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(st.integers(80, 10**7), st.integers(1, 4), st.integers(0, 2**32))
        def check(cap: int, calls: int, seed: int) -> None:
            day = next(days)
            clock = MockClock(autojump_threshold=0)
            spending = trio.run(share, stores, day, cap, calls, seed, clock=clock)
            assert spending.total >= cap, "all of it can be spent"
            counted = stores[0].draw(day.date(), 0, 0, cap).taken
            assert counted == spending.total, "nothing is lost, nothing counted twice"

        check()
        for store in stores:
            store.close()  # type: ignore[attr-defined]


# ---- without the database -------------------------------------------------------------------


async def test_without_the_counter_a_process_spends_its_part_of_what_was_left(
    autojump_clock, nursery
):
    counter = Counter()
    counter.days[NOON.date()] = 40_000
    purse = make(counter, sharers=3)
    nursery.start_soon(purse.run)
    await trio.sleep(REFRESH_S + 0.1)
    counter.away = True
    await trio.sleep(REFRESH_S + 0.1)
    with purse.open_tab() as tab:
        await trio.sleep(HOLD_S + 0.1)
        tab.spend(14_000)
        assert (tab.level, purse.affords_a_call()) == (Level.FREE, True)
        tab.spend(5_000)
        assert tab.level is Level.WRAP_UP
        tab.spend(1_000)
        assert tab.level is Level.OVER, "a third of 60,000"
        assert not purse.affords_a_call()
        counter.away = False
        await trio.sleep(HOLD_S)
        assert purse.affords_a_call(), "it is back, and there is more"
        assert tab.level is Level.FREE
    await trio.sleep(0.1)
    assert taken(counter) == 60_000
    nursery.cancel_scope.cancel()


async def test_a_day_that_was_over_is_over_without_the_counter(autojump_clock, nursery):
    counter = Counter()
    counter.days[NOON.date()] = CAP
    purse = make(counter, sharers=2)
    nursery.start_soon(purse.run)
    await trio.sleep(REFRESH_S + 0.1)
    counter.away = True
    await trio.sleep(REFRESH_S + 0.1)
    assert not purse.affords_a_call()
    nursery.cancel_scope.cancel()


async def test_a_process_that_never_heard_of_the_day_has_its_part_of_one(autojump_clock, nursery):
    counter = Counter()
    counter.away = True
    purse = make(counter, sharers=4)
    nursery.start_soon(purse.run)
    with purse.open_tab() as tab:
        await trio.sleep(HOLD_S + 0.1)
        tab.spend(CAP // 4 - 1)
        assert purse.affords_a_call()
        tab.spend(1)
        assert not purse.affords_a_call()
        assert tab.level is Level.OVER
        nursery.cancel_scope.cancel()


async def outage(cap: int, processes: int, calls: int, away_at: float, seed: int) -> None:
    """Every process spends what it may; at some time the database goes, and never comes back."""
    dice, counter, spending = random.Random(seed), Counter(), Spending()
    purses = [make(counter, cap, sharers=processes) for _ in range(processes)]
    unseen: list[int] = []

    async def go_away() -> None:
        await trio.sleep(away_at)
        unseen.extend(taken(counter) - purse._taken for purse in purses)
        counter.away = True

    async def chat(purse: Purse, call: int) -> None:
        with purse.open_tab() as tab:
            while tab.level is not Level.OVER:
                if tab.level is Level.HELD:
                    await tab.changed()
                    continue
                await trio.sleep(dice.uniform(0.0, 3.0))
                cost = dice.randint(1, max(1, cap // 50))
                spending.total += cost
                spending.last[call] = cost
                tab.spend(cost)

    with trio.fail_after(100_000):
        async with trio.open_nursery() as running:
            for purse in purses:
                running.start_soon(purse.run)
            running.start_soon(go_away)
            async with trio.open_nursery() as talks:
                for call in range(processes * calls):
                    talks.start_soon(chat, purses[call % processes], call)
            assert not any(purse.affords_a_call() for purse in purses)
            await trio.sleep(away_at)  # it may all have been spent before
            running.cancel_scope.cancel()
    behind = sum(max(0, drawn) for drawn in unseen) // processes
    assert spending.total <= cap + sum(spending.last.values()) + behind


@settings(max_examples=10 * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1_000, 10**7),
    st.integers(1, 5),
    st.integers(1, 4),
    st.floats(0.0, 60.0),
    st.integers(0, 2**32),
)
@example(cap=12071, processes=3, calls=1, away_at=58.7, seed=216)  # over by what is still owed
def test_without_the_database_processes_hold_the_cap_together(
    cap: int, processes: int, calls: int, away_at: float, seed: int
) -> None:
    clock = MockClock(autojump_threshold=0)
    trio.run(outage, cap, processes, calls, away_at, seed, clock=clock)


# ---- in a call ------------------------------------------------------------------------------

MODEL = Tariff(
    "m", text_in=1000, text_cached=1000, audio_in=1000, audio_cached=1000, audio_out=1000
)


async def chat(placed: Placed, turns: int) -> None:
    await placed.greeted()
    for turn in range(turns):
        await placed.say()
        await placed.answered(turn + 1)


def chatty(turns: int) -> Scripted:
    replies = [reply(say(f"Answer number {n}.", ms=900)) for n in range(turns)]
    return Scripted(*replies, heard=["When?"] * turns)


async def test_a_call_goes_to_the_human_when_others_have_used_up_the_day(autojump_clock):
    counter = Counter()
    async with open_house(prices=Prices(MODEL), day_cap=True) as house:
        purse = make(counter, cap=10**9)
        house.nursery.start_soon(purse.run)
        placed = house.ring(chatty(3), kit=replace(house.kit, purse=purse))
        await chat(placed, 2)
        assert placed.chosen == []
        counter.days[NOON.date()] = 10**9
        purse.spend(10**7 * 2)
        await placed.ended(60)
        assert taken(counter) > 10**9
    assert placed.disposition() == "fallback"
    assert placed.outcome().reason == f"fallback: {OVER_DAY}"


async def test_every_response_of_a_call_is_on_the_day_s_bill(autojump_clock):
    counter = Counter()
    async with open_house(prices=Prices(MODEL), day_cap=True) as house:
        purse = make(counter, cap=10**9)
        house.nursery.start_soon(purse.run)
        placed = house.ring(chatty(3), kit=replace(house.kit, purse=purse))
        await chat(placed, 3)
        placed.hang_up()
        await placed.ended()
        await trio.sleep(1)
        rows = {row.ref: row.micro_usd for row in placed.rows(SpendAdded)}
        assert len([ref for ref in rows if ref.startswith("resp")]) == 3
        assert taken(counter) == sum(rows.values()) > 0
        house.nursery.cancel_scope.cancel()


def test_a_policy_has_no_cap_unless_it_is_told_of_one() -> None:
    assert not CallPolicy().day_cap
    assert CallPolicy().max_call_micro_usd is None
