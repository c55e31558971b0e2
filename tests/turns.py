"""How much was done, in the measure of the loop that did it: no clock, no machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio


@dataclass(frozen=True)
class Took:
    """turns: everybody who could go on did so once. steps: one task went on once."""

    turns: int
    steps: int
    ms: float


class Loop(trio.abc.Instrument):
    """Counts the turns of the loop that it is made in, and the steps of its tasks."""

    def __init__(self) -> None:
        self.turns = self.steps = 0
        trio.lowlevel.add_instrument(self)

    def before_io_wait(self, timeout: float) -> None:
        self.turns += timeout == 0  # nobody was waited for

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1

    @contextmanager
    def counting(self, into: list[Took]) -> Iterator[None]:
        turns, steps, began = self.turns, self.steps, trio.current_time()
        yield
        ms = 1000 * (trio.current_time() - began)
        into.append(Took(self.turns - turns, self.steps - steps, ms))
