"""`relay serve --workers 2` on one PostgreSQL: a call's connections come to either worker.

The kernel chooses for each of them, so that one answers the webhook and the other may carry the
stream. A worker that is killed is started again, and its calls go on. On the real clock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import trio

from relay.trust import authorities
from tests.handover.test_processes import (
    CALLS,
    Model,
    check,
    database,
    free_port,
    model,
    open_place,
)

__all__ = ["database", "model"]  # fixtures
WORKERS = 2


def crew(parent: int) -> dict[int, int]:
    """The process of each worker that runs, by its number."""
    found = {}
    for children in Path(f"/proc/{parent}/task").glob("*/children"):  # trio starts them in threads
        for pid in children.read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"--worker" in words:
                found[int(words[words.index(b"--worker") + 1])] = int(pid)
    return found


async def live(metrics_port: int) -> int:
    """How many calls a worker carries, by its own account."""
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
        page = (await client.get(f"http://127.0.0.1:{metrics_port}/metrics")).text
    (line,) = (line for line in page.splitlines() if line.startswith("relay_calls_live "))
    return int(float(line.split()[1]))


async def test_the_calls_of_a_killed_worker_go_on_in_the_others(
    database: Callable[[], str], model: Model, tmp_path: Path
) -> None:
    url = await trio.to_thread.run_sync(database)
    metrics = free_port(WORKERS)
    async with open_place(tmp_path, url, model, workers=WORKERS, metrics=metrics) as place:
        (parent,) = (relay.pid for relay in place.relays.values())
        async with trio.open_nursery() as callers:
            for number in range(CALLS):
                callers.start_soon(place.call, number)
            await place.talking(1)
            carried = {number: await live(metrics + number - 1) for number in crew(parent)}
            assert len(carried) == WORKERS
            assert sum(carried.values()) == CALLS
            busier = max(carried, key=lambda number: carried[number])
            before = crew(parent)
            os.kill(before[busier], signal.SIGKILL)
            with trio.fail_after(60):
                while crew(parent).get(busier, before[busier]) == before[busier]:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            await place.talking(2)
            place.enough.set()
        await place.settled()
        sessions = await trio.to_thread.run_sync(model.sessions)
        place.relays[place.ports[0]].send_signal(signal.SIGTERM)
        assert await place.ended(place.ports[0]) == 0
    await check(place, sessions, "broke")
    assert sum(len(call.streams) > 1 for call in place.calls) == carried[busier]
