"""Several processes that book, change and cancel the same few slots at random, one a seed.

    python race.py DATABASE_URL BUSINESS_TOML SEED...

They are forks, which have imported everything and begin at once; the exit status is 1 if one of
theirs is not 0. Each prints [key, answer] a line, with null for what was refused. A key stands for
one wish, whichever process has it, as it does in a call that is tried again.
"""

from __future__ import annotations

import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.adapters.store import open_store
from relay.ports import BookingRequest, ChangeRequest, NotBooked

TEN = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
SLOTS, BOOKINGS, MOVES = 13, 16, 60
ACTS = 40  # of each thread


async def act(business: LocalBusiness, store: Any, kind: str, number: int) -> Any:
    """The wish that a key stands for."""
    key = f"{kind}-{number}"
    phone = f"+1555010{number % 4}"
    wished = random.Random(key)
    starts_at = TEN + timedelta(minutes=30) * wished.randrange(SLOTS)
    if kind == "book":
        service = wished.choice(["Cleaning", "filling"])
        request = BookingRequest(service, starts_at, f"N{number}", phone)
        return await business.book(request, key)
    # The appointment that this wish is about: one of the same number's.
    about = store.find(f"book-{wished.randrange(BOOKINGS // 4) * 4 + number % 4}")
    reference = about.reference if about else "?"
    if kind == "change":
        return await business.change(ChangeRequest(reference, phone, starts_at), key)
    return await business.cancel(reference, phone, key)


def work(url: str, toml: str, seed: int) -> list[str]:
    """One thread's share, over a store of its own."""
    dice = random.Random(seed)
    store = open_store(url)

    async def inline(function: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function()

    business = LocalBusiness(
        load_business(Path(toml)),
        store,
        clock=lambda: datetime(2026, 11, 20, 15, 0, tzinfo=UTC),
        run_sync=inline,
    )

    async def run() -> list[str]:
        lines = []
        for _ in range(ACTS):
            kind = dice.choice(["book", "book", "change", "change", "change", "cancel"])
            number = dice.randrange(BOOKINGS if kind == "book" else MOVES)
            answer = await act(business, store, kind, number)
            told = None
            if answer is not None and not isinstance(answer, NotBooked):
                told = {
                    "reference": answer.reference,
                    "starts_at": answer.starts_at.isoformat(),
                }
            lines.append(json.dumps([f"{kind}-{number}", told]))
        return lines

    lines = trio.run(run)
    store.close()
    return lines


def main() -> None:
    url, toml, *seeds = sys.argv[1:]
    racers = []
    for seed in seeds:
        if pid := os.fork():
            racers.append(pid)
        else:
            race(url, toml, int(seed))
            return
    statuses = [os.waitpid(pid, 0)[1] for pid in racers]
    sys.exit(any(statuses))


def race(url: str, toml: str, seed: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        for lines in pool.map(lambda n: work(url, toml, seed * 10 + n), range(2)):
            for line in lines:  # a write each, which nobody else's gets into
                os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
