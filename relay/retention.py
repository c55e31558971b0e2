"""Words are kept for RETENTION_DAYS: a task looks every hour and forgets what is older.

In portions, each a transaction of its own with a pause behind it, so that the journal is never
kept waiting for long; afterwards what was removed is made unreadable in the files. Recordings are
deleted at Twilio: what is known of one is forgotten when it is gone, so that one that could not be
deleted is tried again an hour later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
import trio

from relay.errors import PhoneControlError, StoreError
from relay.ports import PhoneControl

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
    """A store that forgets (adapters/store.py). Blocks and may raise StoreError."""

    def old_recordings(self, before: datetime) -> Sequence[str]: ...

    def recording_gone(self, recording_sid: str) -> None: ...

    def forget_words(self, before: datetime) -> int: ...

    def scrub(self) -> bool: ...


class Ask(Protocol):
    """Runs a blocking call."""

    async def __call__(self, question: Callable[[], _T], /) -> _T: ...


async def in_thread(question: Callable[[], _T]) -> _T:
    """Run a blocking call in a thread that may be left behind."""
    return await trio.to_thread.run_sync(question, abandon_on_cancel=True)


async def forget_daily(
    store: Forgetful,
    phone: PhoneControl,
    days: int,
    *,
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ask: Ask = in_thread,
) -> None:
    """Forget what is older than this many days, for ever."""
    await trio.sleep(BEGIN_S)
    while True:
        before = wall_clock() - timedelta(days=days)
        try:
            count = await forget(store, before, ask=ask)
            deleted = await delete_recordings(store, phone, before, ask=ask)
        except (StoreError, trio.TooSlowError) as error:
            _log.warning("! words not forgotten", error=str(error) or "no answer")
        else:
            if count or deleted:
                _log.info("= words forgotten", rows=count, recordings=deleted, days=days)
        await trio.sleep(LOOK_S)


async def delete_recordings(
    store: Forgetful, phone: PhoneControl, before: datetime, *, ask: Ask = in_thread
) -> int:
    """Have Twilio delete what it recorded before a moment. Returns how many."""
    count, left = 0, set[str]()
    while True:
        with trio.fail_after(WRITE_S):
            sids = await ask(partial(store.old_recordings, before))
        if left.issuperset(sids):
            return count
        for sid in (each for each in sids if each not in left):
            try:
                await phone.delete_recording(sid)
            except PhoneControlError as error:
                left.add(sid)
                _log.warning("! recording not deleted", recording_sid=sid, error=str(error))
                continue
            with trio.fail_after(WRITE_S):
                await ask(partial(store.recording_gone, sid))
            count += 1


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
