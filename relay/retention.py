"""Words are kept for RETENTION_DAYS: a task looks every hour and forgets what is older.

In portions, each a transaction of its own with a pause behind it, so that the journal is never
kept waiting for long. Afterwards what was removed is made unreadable in the files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
import trio

from relay.errors import StoreError

LOOK_S: Final = 3600.0
#: Not in the first minute: there is more to do when a process starts.
BEGIN_S: Final = 60.0
PAUSE_S: Final = 0.1
WRITE_S: Final = 15.0
#: A checkpoint that finds readers is tried again.
SCRUBS: Final = 20

_log = structlog.get_logger("relay.retention")
_T = TypeVar("_T")


class Forgetful(Protocol):
    """A store that forgets: ports of adapters/store.py. Blocks and may raise StoreError."""

    def forget_words(self, before: datetime) -> int: ...

    def scrub(self) -> bool: ...


Ask = Callable[[Callable[[], int]], Awaitable[int]]


async def in_thread(question: Callable[[], int]) -> int:
    """Run a blocking call in a thread that may be left behind."""
    return await trio.to_thread.run_sync(question, abandon_on_cancel=True)


async def forget_daily(
    store: Forgetful,
    days: int,
    *,
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ask: Ask = in_thread,
) -> None:
    """Forget what is older than this many days, for ever."""
    await trio.sleep(BEGIN_S)
    while True:
        try:
            count = await forget(store, wall_clock() - timedelta(days=days), ask=ask)
        except (StoreError, trio.TooSlowError) as error:
            _log.warning("! words not forgotten", error=str(error) or "no answer")
        else:
            if count:
                _log.info("= words forgotten", rows=count, older_than_days=days)
        await trio.sleep(LOOK_S)


async def forget(store: Forgetful, before: datetime, *, ask: Ask = in_thread) -> int:
    """Forget all words from before a moment. Returns how many rows held some."""
    count = 0
    while True:
        with trio.fail_after(WRITE_S):
            removed = await ask(partial(store.forget_words, before))
        if not removed:
            break
        count += removed
        await trio.sleep(PAUSE_S)
    for _ in range(SCRUBS if count else 0):
        with trio.fail_after(WRITE_S):
            if await ask(store.scrub):
                break
        await trio.sleep(PAUSE_S)
    return count
