"""Callbacks on their way: in order, one after another, unless the test wants them otherwise.

Twilio promises neither order nor exactly one delivery. A `Deliveries` decides for each callback
how often it arrives and how late: `(0.0,)` is once, in its turn; `()` is never, `(0.0, 0.0)` twice,
`(3.0,)` three seconds late and past others.
"""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

Job: TypeAlias = Callable[[], Awaitable[None]]
Deliveries: TypeAlias = Callable[[str, Mapping[str, str]], Sequence[float]]  # of a URL and a form


def once(url: str, form: Mapping[str, str]) -> Sequence[float]:  # noqa: ARG001 - a Deliveries
    """Deliver every callback in its turn."""
    return (0.0,)


@dataclass(eq=False, slots=True)
class Courier:
    """Carries the callbacks about one thing, so that none overtakes another."""

    _waiting: collections.deque[Job] = field(default_factory=collections.deque)
    _busy: bool = False

    def send(self, job: Job, delays: Sequence[float], nursery: trio.Nursery) -> None:
        """Deliver one callback after each of these delays; 0: in its turn."""
        for delay in delays:
            if delay > 0:
                nursery.start_soon(_late, job, delay)
            else:
                self._waiting.append(job)
        if self._waiting and not self._busy:
            self._busy = True
            nursery.start_soon(self._carry)

    async def _carry(self) -> None:
        try:
            while self._waiting:
                await self._waiting.popleft()()
        finally:
            self._busy = False


async def _late(job: Job, delay: float) -> None:
    await trio.sleep(delay)
    await job()
