"""One call breaks at every point where it can, and its neighbours hear nothing of it.

A clean call is run first, and each step that one of its tasks takes is counted: every one of them
is a place where an await returns. Then the same call is made again and again, broken at its k-th
step: by an exception, as a bug would throw it there, or by being cancelled, as the end of the
process does. All of them run in one process, together with calls that
nobody breaks.

FUZZ_TIMES=20 breaks twenty times as many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import trio

from relay.core.records import CallEnded
from relay.errors import SocketClosed
from relay.ports import Socket
from relay.shell.session import run_call
from relay.sim.brains import Scripted, call, reply, say
from tests.shell import house as house_module
from tests.shell.house import House, Placed, open_house, short_clips
from tests.shell.test_functions import BOOKING
from tests.shell.test_mayhem import read_out
from tests.shell.test_neighbours import agent_hz, check_own, converse

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
DENSE = 8  # steps at a call's beginning and at its end that are all broken
SPREAD = 14 * TIMES  # and so many of those between
GREETING_MS = 600


class BugError(Exception):
    """What nobody has thought of."""


@dataclass
class Failpoint:
    """Where one call breaks, and how. steps: how many it has taken; broken: whether it did."""

    at: int | None
    how: str = "raise"
    steps: int = 0
    broken: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.at is None or self.broken or self.steps < self.at or waits_for_children(task):
            return
        self.broken = True
        if self.how == "cancel":
            self.scope.cancel()
        else:  # where the await returned, it now raises
            task._next_send_fn, task._next_send = task.coro.throw, BugError(f"at step {self.at}")


def waits_for_children(task: trio.lowlevel.Task) -> bool:
    """At a nursery's end no await of ours returns: what comes out there is the children's."""
    return any(
        frame.f_code.co_name == "_nested_child_finished" for frame, _ in task.iter_await_frames()
    )


class Failpoints(trio.abc.Instrument):
    """Counts the steps of each call's tasks."""

    def __init__(self) -> None:
        self.plans: dict[str, Failpoint] = {}
        self._of: dict[trio.lowlevel.Task, Failpoint | None] = {}

    @contextmanager
    def around(self, call_sid: str) -> Iterator[Failpoint]:
        """The current task and all it starts are this call."""
        task, plan = trio.lowlevel.current_task(), self.plans[call_sid]
        self._of[task] = plan
        with plan.scope:
            yield plan
        del self._of[task]

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task not in self._of:
            nursery = task.parent_nursery
            self._of[task] = self._of.get(nursery.parent_task) if nursery else None
        plan = self._of[task]
        if plan is not None:
            plan.step(task)


def brain() -> Scripted:
    """Looks something up, books, says goodbye: what a call can do, it does."""
    return Scripted(
        reply(say("Let me look.", ms=500), call("lookup_hours", day="friday")),
        reply(say("I book that.", ms=600), BOOKING),
        reply(say("Goodbye.", ms=400), call("end_call")),
        heard=["Book a cleaning."],
    )


async def talk(placed: Placed) -> None:
    await trio.sleep(1.5)
    await placed.say()
    await trio.sleep(15)
    placed.hang_up()


@contextmanager
def watched(points: Failpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every call in the house goes through the failpoints, and through a guard as the door's."""

    async def guarded(phone: Socket, *, call_sid: str, **how: object) -> None:
        if call_sid not in points.plans:
            await run_call(phone, call_sid=call_sid, **how)  # type: ignore[arg-type]
            return
        try:
            with points.around(call_sid) as plan:
                await run_call(phone, call_sid=call_sid, **how)  # type: ignore[arg-type]
        except* BugError:
            pass
        await phone.aclose(1001 if plan.scope.cancelled_caught else 1011)

    monkeypatch.setattr(house_module, "run_call", guarded)
    trio.lowlevel.add_instrument(points)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(points)


def ring(house: House, points: Failpoints, failpoint: Failpoint) -> Placed:
    points.plans[f"CA{len(house.calls) + 1:032}"] = failpoint
    placed = house.ring(brain())
    house.nursery.start_soon(talk, placed)
    return placed


async def steps_of_a_clean_call(monkeypatch: pytest.MonkeyPatch) -> int:
    points, clean = Failpoints(), Failpoint(None)
    with watched(points, monkeypatch):
        async with open_house(clips=short_clips(GREETING_MS)) as house:
            placed = ring(house, points, clean)
            await placed.ended()
    assert placed.tools() == [("lookup_hours", "ok"), ("book_appointment", "ok")]
    assert placed.outcome().outcome == "booked"
    return clean.steps


def broken_steps(steps: int) -> Sequence[int]:
    between = range(DENSE + 1, steps - DENSE)
    chosen = random.Random(steps).sample(between, min(SPREAD, len(between)))
    return [*range(1, DENSE + 1), *sorted(chosen), *range(steps - DENSE, steps + 1)]


@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_call_that_breaks_anywhere_breaks_alone(
    autojump_clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    steps = await steps_of_a_clean_call(monkeypatch)
    points, victims, neighbours = Failpoints(), [], []
    with watched(points, monkeypatch):
        async with open_house(
            clips=short_clips(GREETING_MS), crashes=None, tool_crashes=None
        ) as house:
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    mind = Scripted(
                        reply(say(f"Answer {n}.", ms=1000, hz=agent_hz(n))),
                        heard=[f"Question {n}?"],
                    )
                    neighbours.append((house.ring(mind), mind))
                    nursery.start_soon(converse, neighbours[-1][0], n, 0.2 * n)
                for step in broken_steps(steps):
                    failpoint = Failpoint(step, how)
                    victims.append((ring(house, points, failpoint), failpoint))
                for placed, _ in victims:
                    nursery.start_soon(placed.ended)
            await trio.sleep(3)
            for placed, failpoint in victims:
                await check_victim(placed, failpoint)
    for n, (placed, mind) in enumerate(neighbours):
        check_own(placed, mind, n)
        assert placed.line.heard.gaps() == []
    # Calls differ by a few steps, so that the last ones may be beyond the end.
    assert sum(failpoint.broken for _, failpoint in victims) > 0.7 * len(victims)


async def check_victim(placed: Placed, failpoint: Failpoint) -> None:
    """It left nothing open, and said once how it ended."""
    where = (failpoint.how, failpoint.at)
    ends = placed.rows(CallEnded)
    # Who is cancelled in the middle ends with its process: the status webhook has the last word.
    assert len(ends) == 1 or (failpoint.how == "cancel" and not ends), where
    assert len(placed.chosen) <= 1, where
    assert placed.over_at - placed.began_at < 20, where
    for socket in (placed.ours, *placed.model_ends):
        with pytest.raises(SocketClosed):
            await read_out(socket)
