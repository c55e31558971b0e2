"""What an operator sees of a server: the metrics, tied to whoever knows the figures.

The process's own part (its pulse, its log) comes from whoever owns the process; a server inside
another program, as in the demo and the tests, has one that nobody listens to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from relay.config import Settings
from relay.garbage import sweep
from relay.memory import Memory
from relay.metrics import Metrics, Watched
from relay.metrics_page import serve_metrics
from relay.pulse import Pulse
from relay.shell.journal import Journal
from relay.switchboard import Switchboard

TURNED_AWAY = "turned_away:"
REFUSED = "refused:"


@dataclass(frozen=True, slots=True)
class Process:
    """The process that a server runs in. lines_dropped: log lines that nobody read in time.

    worker: its number among several that listen on one port; None: it is alone
    """

    pulse: Pulse = field(default_factory=Pulse)
    memory: Memory = field(default_factory=Memory)
    lines_dropped: Callable[[], int] = lambda: 0
    worker: int | None = None


def watch_server(
    settings: Settings,
    metrics: Metrics,
    process: Process,
    *,
    board: Switchboard,
    journal: Journal,
    door_counts: Counter[str],
    notices: Counter[tuple[str, str]],
    model_away: Callable[[], bool],
    business_away: Callable[[], int],
) -> list[Callable[[], Awaitable[None]]]:
    """Tie the metrics to a server's parts. Returns the tasks that must run with it."""
    metrics.watch(
        Watched(
            live=board.live,
            tasks=lambda: trio.lowlevel.current_statistics().tasks_living,
            draining=lambda: board.draining,
            strained=lambda: process.pulse.strained,
            memory=lambda: process.memory.room,
            memory_tight=lambda: process.memory.tight,
            refused=lambda: under(board.counts, TURNED_AWAY),
            strangers=lambda: under(board.counts, REFUSED) | _at_the_door(door_counts),
            journal_depth=journal.depth,
            journal_spooled=journal.spooled,
            journal_state=journal.state,
            records_lost=lambda: journal.refused,
            lines_dropped=process.lines_dropped,
            notices=lambda: notices,
            model_away=model_away,
            business_away=business_away,
        )
    )
    process.pulse.observe = metrics.lag.observe
    tasks: list[Callable[[], Awaitable[None]]] = [
        process.pulse.run,
        process.memory.run,
        partial(sweep, board.live),
    ]
    if settings.metrics_port is not None:
        page = partial(
            serve_metrics, metrics.look, host=settings.metrics_host, port=settings.metrics_port
        )
        tasks.append(page)
    return tasks


def under(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    """The counts whose names begin so, under the rest of their names."""
    return {
        name.removeprefix(prefix): count
        for name, count in counts.items()
        if name.startswith(prefix)
    }


def _at_the_door(counts: Mapping[str, int]) -> dict[str, int]:
    """What the door turned away by itself; a stream's 403 is the switchboard's, with its reason."""
    statuses = {f"http_{status}": count for status, count in under(counts, REFUSED).items()}
    statuses.pop("http_403", None)
    failed = {f"failed_{kind}": count for kind, count in under(counts, "failed:").items()}
    return {**statuses, **failed, "no_head": counts.get("no_head", 0)}
