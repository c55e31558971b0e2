"""Ends that nobody told: Twilio is asked, seldom, by one process, and what is over is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing

from relay.errors import PhoneControlError
from relay.ports import OpenCall
from relay.shell.stragglers import AGES, LEG, LOOK_S, MAX_ASKED, OLDEST, Stragglers
from tests.fakes import FakePhone, FakeStore, ask_inline, make_humans

START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Watch:
    """One process that looks, on a wall clock of the test's. Several may share a store."""

    store: FakeStore = field(default_factory=FakeStore)
    phone: FakePhone = field(default_factory=lambda: FakePhone(place_s=0))
    now: datetime = START
    live: set[str] = field(default_factory=set)
    over: list[OpenCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.humans = make_humans(self.phone, self.store, wall_clock=lambda: self.now)
        self.stragglers = Stragglers(
            self.store,
            self.phone,
            self.humans,
            ask=ask_inline,
            carried=self.live.__contains__,
            ended=self._end,
            wall_clock=lambda: self.now,
        )

    async def _end(self, call: OpenCall) -> None:
        await trio.lowlevel.checkpoint()
        self.over.append(call)
        self.store.open.pop(call.call_sid)

    def rang(self, call_sid: str = "CA1", status: str = "in-progress", **more: Any) -> None:
        self.store.open[call_sid] = OpenCall(call_sid, self.now, more.get("had_stream", True))
        self.phone.statuses[call_sid] = status

    async def look(self, after: timedelta = timedelta()) -> list[str]:
        """Who was asked about, after so long."""
        self.now += after
        before = len(self.phone.looked)
        await self.stragglers.look()
        return self.phone.looked[before:]


async def test_a_call_whose_end_was_not_told_is_closed() -> None:
    watch = Watch()
    watch.rang(status="completed", had_stream=False)
    assert await watch.look(MINUTE / 2) == [], "its callback may still come"
    assert await watch.look(MINUTE / 2) == ["CA1"]
    assert watch.over == [OpenCall("CA1", START, False)]
    assert await watch.look(MINUTE) == []


async def test_one_that_twilio_does_not_know_is_over_as_well() -> None:
    watch = Watch()
    watch.rang()
    del watch.phone.statuses["CA1"]
    await watch.look(MINUTE)
    assert [call.call_sid for call in watch.over] == ["CA1"]


async def test_a_call_that_lives_is_asked_about_ever_more_seldom_and_then_no_more() -> None:
    watch = Watch()
    watch.rang()
    asked_at = [(watch.now - START) for _ in range(60 * 49) if await watch.look(MINUTE)]
    assert asked_at == list(AGES)
    assert watch.now - START > OLDEST
    assert watch.over == []


async def test_of_many_processes_one_asks_and_none_about_its_own() -> None:
    store, phone = FakeStore(), FakePhone(place_s=0)
    watches = [Watch(store, phone) for _ in range(4)]
    watches[0].rang()
    asked = [await watch.look(MINUTE) for watch in watches]
    assert sorted(map(len, asked)) == [0, 0, 0, 1]
    alone = Watch(live={"CA2"})
    alone.rang("CA2")
    assert await alone.look(MINUTE) == []
    alone.live.clear()
    assert await alone.look(MINUTE / 4) == ["CA2"], "its stream is over; nobody has said how"


async def test_a_twilio_that_does_not_answer_is_asked_again_at_the_next_age() -> None:
    watch = Watch()
    watch.rang(status="completed")
    watch.phone.deaf = PhoneControlError("HTTP 503")
    assert await watch.look(MINUTE) == ["CA1"]
    assert await watch.look(MINUTE / 2) == []
    watch.phone.deaf = None
    assert await watch.look(MINUTE / 2) == ["CA1"]
    assert len(watch.over) == 1


async def test_a_crowd_is_asked_about_bit_by_bit() -> None:
    watch = Watch()
    for n in range(MAX_ASKED + 5):
        watch.rang(f"CA{n}", "completed")
    assert len(await watch.look(MINUTE)) == MAX_ASKED
    assert len(await watch.look()) == 5


async def test_a_store_that_is_away_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    watch = Watch()
    watch.rang(status="completed")
    watch.now += MINUTE
    watch.store.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.stragglers.run)
        await trio.sleep(2 * LOOK_S + 1)
        assert watch.over == []
        watch.store.away = False
        await trio.sleep(LOOK_S)
        assert len(watch.over) == 1
        nursery.cancel_scope.cancel()


# ---- humans ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "leg", "caller", "left"),
    [
        ("ringing", "ringing", "in-progress", "ended"),
        ("answered", "in-progress", "completed", "told"),
        ("accepted", "in-progress", "completed", "told"),
        ("accepted", "in-progress", "in-progress", "alone"),
        ("ringing", "no-answer", "in-progress", "ended"),
    ],
)
async def test_a_leg_that_nobody_looks_after(
    state: str, leg: str, caller: str, left: str, autojump_clock: trio.testing.MockClock
) -> None:
    """It is ended, told so, or left alone: it may be a conversation."""
    dead = Watch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dead.humans.run)
        await trio.testing.wait_all_tasks_blocked()
        await dead.humans.ring("CA1", "", "a tooth", lambda _: None)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    attempt = dead.phone.attempt
    for step in ("answered", "accepted")[: ("ringing", "answered", "accepted").index(state)]:
        dead.store.move_attempt(attempt, step, START)
    dead.store.note_attempt(attempt, leg_sid="CAleg1")
    next_one = Watch(dead.store, dead.phone)
    dead.phone.statuses.update(CAleg1=leg, CA1=caller)
    await next_one.look(LEG)
    assert next_one.store.attempts[attempt].state == state, "not before its time"
    await next_one.look(timedelta(seconds=1))
    assert dead.phone.ended == (["CAleg1"] if left == "ended" else [])
    assert list(dead.phone.redirected) == (["CAleg1"] if left == "told" else [])
    row = next_one.store.attempts[attempt]
    assert (row.state, row.reason) == ((state, "") if left == "alone" else ("lost", "forgotten"))
