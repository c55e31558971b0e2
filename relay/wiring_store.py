"""The database at the start: brought up to date, or waited for while calls are served already.

A database that is away is no reason to let a telephone ring: records wait in the spool, and what is
known of the business's appointments is said to be out of reach. Until it has been reached once, and
its tables are this version's, nothing is asked of it (`SqlStore.hold`). Any other fault (a wrong
URL, a newer version's tables, a file that cannot be opened) is one that only a person can mend.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
import trio

from relay.adapters.store import SqlStore, upgrade
from relay.errors import StoreError

PROBE_NONCE: Final = "readiness"
#: How long a start waits for a database that does not even refuse.
REACH_S: Final = 10.0
AGAIN_S: Final = 2.0

_log = structlog.get_logger("relay.wiring")


def probe(store: SqlStore) -> None:
    """Write one row, always the same one: whether the database can be written. Blocks."""
    store.claim_stream(PROBE_NONCE, "", datetime.now(UTC))


async def prepare(store: SqlStore, database_url: str) -> bool:
    """Bring the tables to this version. False when the database is away, and the store held.

    Raises StoreError for any other fault.
    """
    try:
        with trio.fail_after(REACH_S):
            await _in_thread(database_url)
    except (StoreError, trio.TooSlowError) as error:
        if isinstance(error, StoreError) and not error.away:
            raise
        store.hold()
        why = str(error) or "no answer"
        _log.error("! the database is away: calls are served, records wait on disk", error=why)
        return False
    await trio.to_thread.run_sync(probe, store)
    return True


async def prepare_when_back(store: SqlStore, database_url: str) -> None:
    """Try again until the database is there, then let it be used.

    A fault that no waiting mends is told once, and the database is not used: its tables are another
    version's, so that what is written there would be wrong.
    """
    told = ""
    while True:
        await trio.sleep(AGAIN_S)
        try:
            with trio.fail_after(REACH_S):
                await _in_thread(database_url)
        except (StoreError, trio.TooSlowError) as error:
            away = not isinstance(error, StoreError) or error.away
            if not away and str(error) != told:
                told = str(error)
                _log.error("! the database cannot be used", error=told)
            continue
        store.release()
        _log.info("= the database is there")
        return


async def _in_thread(database_url: str) -> None:
    await trio.to_thread.run_sync(partial(upgrade, database_url), abandon_on_cancel=True)
