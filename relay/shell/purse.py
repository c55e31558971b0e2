"""The day's cap on money, as one process sees it: a share that is drawn before it is spent.

    calls ── spend ──▶ balance ──▶ level ──▶ every call that watches
                          ▲
              draw ───────┴── the day's counter in the database, shared by all processes

A call never waits for the database. One task draws shares, before the last one is used up, gives
back what is not needed, and looks at the counter every few seconds even when nothing is spent. So
what all processes may spend together is known at all times, and the cap is passed by no more than
the responses that were being made when it was reached, one a live call.

A day begins at midnight in UTC, for every process and for `daily_costs` alike.

A question whose answer is late is left behind in its thread, and what it comes to is heard whenever
it comes: else a slow database would use up the day in shares that nobody has. An answer that is
lost for good errs on the cheap side: what was reported is reported again, what was drawn is not
spent, and what is given back is not had any more from the moment that it is offered.

With the share used up and the next one asked for, calls hold their next response back (HELD) until
the answer is there, a second at most. When there is none by then, the database is away, and a
telephone that falls silent would be worse than an estimate: what was left of the day when the
counter was last heard of is divided by the number of processes, and that part is this one's until
it is back. So all of them together hold the cap, too, but for what others drew since this one last
looked. With its part used up, a process is at its cap: new calls go to the human. One that starts
meanwhile knows nothing of the day, and has its part of a whole one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial

import structlog
import trio

from relay.core.budget import Level, level_of
from relay.errors import StoreError
from relay.ports import DayBudgets, Drawn

log = structlog.get_logger("relay.purse")

#: A share is this part of the day's cap for each live call, and this part for all of them at most.
CALL_SHARE, ALL_SHARES = 100, 10
#: How often the counter is looked at when nothing is spent.
REFRESH_S = 5.0
#: How long a response is held back for an answer, and how long one may take.
HOLD_S = 1.0
RETRY_S = 0.25

RunSync = Callable[[Callable[[], Drawn]], Awaitable[Drawn]]


async def in_thread(question: Callable[[], Drawn]) -> Drawn:
    """Ask in a thread that may be left behind."""
    return await trio.to_thread.run_sync(question, abandon_on_cancel=True)


class Purse:
    """What this process may spend today. Amounts are micro-USD.

    sharers: how many processes have this cap together; wall_clock: UTC with a time zone
    """

    def __init__(
        self,
        store: DayBudgets,
        cap: int,
        *,
        sharers: int = 1,
        wall_clock: Callable[[], datetime],
        run_sync: RunSync = in_thread,
    ) -> None:
        self.level = Level.FREE
        self._store = store
        self._cap = cap
        self._sharers = sharers
        self._wall_clock = wall_clock
        self._run_sync = run_sync
        self._day = wall_clock().date()
        self._balance = 0  # drawn and not spent; below zero: spent and not yet reported
        self._taken = 0  # of the whole day, as the counter last said
        self._calls = 0
        self._dry_since: float | None = None
        self._away = False
        self._alone = 0  # what may be spent beyond the balance while the counter is away
        # What came of questions, of which day each: (day, what was owed, answer). Threads append.
        self._answers: deque[tuple[date, int, Drawn]] = deque()
        self._news = trio.Event()
        self._changed = trio.Event()

    # ---- for the calls ----------------------------------------------------------------------

    def affords_a_call(self) -> bool:
        """Whether a new call may cost something today. From memory."""
        if self._balance > 0:
            return True
        left = self._alone if self._away else self._cap - self._taken
        return -self._balance < left

    @contextmanager
    def open_tab(self) -> Iterator[Tab]:
        """The length of one call: for as long as there is any, a share is at hand."""
        self._calls += 1
        self._news.set()
        self._judge()
        try:
            yield Tab(self, late=level_of(self._taken, self._cap) is Level.WRAP_UP)
        finally:
            self._calls -= 1
            self._news.set()
            self._judge()

    def spend(self, amount: int) -> None:
        """A call has cost something. Never waits."""
        self._balance -= amount
        if self._balance < self._needed() // 2:
            self._news.set()
        self._judge()

    async def changed(self) -> None:
        """Wait for the level's next change."""
        await self._changed.wait()

    # ---- for the counter --------------------------------------------------------------------

    async def run(self) -> None:
        """Draw shares for ever; give back what is left at the end."""
        try:
            while True:
                with trio.move_on_after(REFRESH_S):
                    await self._news.wait()
                self._news = trio.Event()
                await self._settle()
                if self._away and self._calls:
                    await trio.sleep(RETRY_S)
                    self._news.set()
        finally:
            self._hear()
            with trio.move_on_after(HOLD_S, shield=True):
                await self._draw(-self._balance, 0)

    async def _settle(self) -> None:
        """Report what is owed; draw or give back, by what the calls need now."""
        self._hear()
        today = self._wall_clock().date()
        if today != self._day and await self._draw(-self._balance, 0):
            self._day = today
        if today == self._day:
            owed = -self._balance if self._balance < 0 or not self._calls else 0
            await self._draw(owed, max(0, self._needed() - max(0, self._balance)))
        self._judge()

    def _needed(self) -> int:
        """What should be at hand."""
        most = max(1, self._cap // ALL_SHARES)
        return min(most, self._calls * max(1, self._cap // CALL_SHARE))

    async def _draw(self, owed: int, want: int) -> bool:
        """One question to the counter. False: no answer in time."""
        self._balance += min(owed, 0)
        question = partial(self._ask, self._day, owed, want)
        try:
            with trio.fail_after(HOLD_S):
                await self._run_sync(question)
        except (StoreError, trio.TooSlowError) as error:
            if not self._away:
                self._alone = max(0, self._cap - self._taken) // self._sharers
                log.warning(
                    "! day's budget not reachable",
                    error=str(error) or "no answer",
                    part_usd=self._alone / 1e6,
                )
            self._away = True
            return False
        self._away = False
        self._hear()
        return True

    def _ask(self, day: date, owed: int, want: int) -> Drawn:
        """The question, in a thread that may be left behind."""
        drawn = self._store.draw(day, owed, want, self._cap)
        self._answers.append((day, owed, drawn))
        return drawn

    def _hear(self) -> None:
        """Take what was answered since, late or not. Yesterday's money buys nothing today."""
        while self._answers:
            day, owed, drawn = self._answers.popleft()
            if day == self._day:
                self._balance += max(owed, 0) + drawn.granted
                self._taken = drawn.taken

    def _judge(self) -> None:
        """Find the level anew, and say so when it has changed."""
        now = trio.current_time()
        dry = self._calls > 0 and self._balance <= 0
        self._dry_since = now if dry and self._dry_since is None else self._dry_since
        if not dry:
            self._dry_since = None
        owed = max(0, -self._balance)
        level = level_of(self._taken + owed, self._cap)
        if self._away:
            level = max(level, level_of(owed, self._alone))
        if not dry:
            level = min(level, Level.WRAP_UP)  # what was drawn may be spent
        elif level is not Level.OVER and not self._waited_enough(now):
            level = Level.HELD
        if level is not self.level:
            log.info("= day's budget", level=level.name.lower())
            self.level = level
            changed, self._changed = self._changed, trio.Event()
            changed.set()

    def _waited_enough(self, now: float) -> bool:
        return self._away and self._dry_since is not None and now - self._dry_since >= HOLD_S


class Tab:
    """The day's budget as one call sees it.

    late: the day was nearly over when it began: it is not told to wrap up before a word was said
    """

    def __init__(self, purse: Purse, *, late: bool) -> None:
        self._purse = purse
        self._late = late
        self.changed = purse.changed

    @property
    def level(self) -> Level:
        level = self._purse.level
        return Level.FREE if self._late and level is Level.WRAP_UP else level

    def spend(self, amount: int) -> None:
        """The call has cost something more."""
        self._purse.spend(amount)
