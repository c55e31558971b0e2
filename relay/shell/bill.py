"""What one call costs, put on the day's tab; and what the call's core is told of the day.

A process without a purse has no day's budget: then nothing is put anywhere, and nothing told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from relay.core import events as on
from relay.shell.purse import Purse, Tab


class Bill:
    """One call's. paid: what is on the tab already."""

    def __init__(self, purse: Purse | None) -> None:
        self._purse = purse
        self._tab: Tab | None = None
        self._watching = trio.CancelScope()
        self.paid = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """The length of the call."""
        if self._purse is None:
            yield
            return
        with self._purse.open_tab() as self._tab:
            yield

    def pay(self, spent: int) -> on.DayBudget | None:
        """Put what was spent since the last time on it. Returns what the core shall know then."""
        cost, self.paid = spent - self.paid, spent
        if self._tab is None:
            return None
        self._tab.spend(cost)
        return on.DayBudget(self._tab.level)

    async def watch(self, feed: Callable[[on.Event], None]) -> None:
        """Tell the core what others have spent, until stopped."""
        if self._tab is None:
            return
        with self._watching:
            while True:
                feed(on.DayBudget(self._tab.level))
                await self._tab.changed()

    def stop(self) -> None:
        """End `watch`."""
        self._watching.cancel()
