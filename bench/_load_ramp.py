"""Has a relay carry more and more calls until it no longer carries them well.

`Relay` is any relay: a context that starts it for a model's address, and a way to get its streams'
addresses. Generators and relay are started anew whenever a stage did not hold, so that no stage
inherits the trouble of another one. A stage that does not hold is tried once more, and the second
time counts: on a machine with others on it one bad second should not be a relay's capacity.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from bench import _latency_machine as machine
from bench._load_phone import Stream
from bench._load_stage import StageError, stage
from bench._load_tls import make_papers
from bench._load_verdict import (
    NOTHING,
    Allowance,
    Point,
    asked,
    learned,
    next_size,
    objections,
    sum_up,
)

HERE: Final = Path(__file__).resolve().parent
START_S: Final = 20.0
REST_S: Final = 3.0
WARM_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Model:
    """Where a relay finds the model. ca: the file of CAs to trust it by; None: no TLS."""

    port: int
    ca: Path | None

    @property
    def url(self) -> str:
        return f"{'ws' if self.ca is None else 'wss'}://127.0.0.1:{self.port}/v1/realtime"


@dataclass(frozen=True, slots=True)
class Running:
    """A relay that is ready. streams: the addresses of so many calls, numbered from the second.

    died: what it ended with by itself, and the last of its log; empty while it runs
    """

    pid: int
    streams: Callable[[int, int], Awaitable[list[Stream]]]
    died: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay to measure.

    start: given the model, a core and a folder that is its own
    filter_ms: what its resampler holds back either way, which counting bytes does not show
    """

    name: str
    start: Callable[[Model, int | None, Path], AbstractAsyncContextManager[Running]]
    allowed: Allowance = NOTHING
    filter_ms: float = 0.0


@dataclass(slots=True)
class Bench:
    """One relay between the generators' two ends."""

    ends: machine.Lines
    relay: Running
    cores: machine.Cores
    first: int = 1
    mourned: bool = False

    async def measure(self, calls: int, seconds: float, allowed: Allowance) -> Point:
        """A stage's point, whatever becomes of it."""
        try:
            streams = await self.relay.streams(calls, self.first)
            self.first += calls
            got = await stage(self.ends, streams, seconds, self.relay.pid, self.cores)
        except (StageError, OSError) as failed:
            told = self._death() or str(failed) or type(failed).__name__
            return Point(calls, 0.0, 0.0, 0.0, (), {}, (told,))
        figures = sum_up(got.delays)
        faults = [death, *got.faults] if (death := self._death()) else got.faults
        why = objections(figures, faults, allowed)
        return Point(calls, got.cpu_ms, got.rss_kib, got.busy, got.others, figures, why)

    def _death(self) -> str:
        """Why a relay is no more, in a line; all that it said goes to stderr."""
        if (died := self.relay.died()) and not self.mourned:
            self.mourned = True
            print(f"the relay {died}", file=sys.stderr)
        return f"the relay {died.partition(':')[0]}" if died else ""


@asynccontextmanager
async def bench(relay: Relay, cores: machine.Cores, *, tls: bool) -> AsyncIterator[Bench]:
    """Generators and relay, warmed up by one call."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        papers = make_papers(folder) if tls else None
        shown = [str(papers.certificate), str(papers.key)] if papers else []
        process = await machine.begin([str(HERE / "_load_ends.py"), *shown], cores.others)
        stack.push_async_callback(machine.end, process)
        ends = machine.Lines(process, "the generators")
        model = Model((await ends.next(START_S))["port"], papers.trusted if papers else None)
        running = await stack.enter_async_context(relay.start(model, cores.relay, folder))
        ready = Bench(ends, running, cores)
        await ready.measure(1, WARM_S, relay.allowed)  # too short a window to be judged
        yield ready


async def ramp(
    relay: Relay,
    cores: machine.Cores,
    *,
    seconds: float,
    most: int,
    tls: bool = False,
    sizes: Sequence[int] | None = None,
    tell: Callable[[Point], None] = lambda _: None,
) -> list[Point]:
    """Measure a growing number of calls until the capacity is known.

    sizes: only these, whether they hold or not
    """
    points: list[Point] = []
    tried: dict[int, bool] = {}
    allowed = relay.allowed
    left = asked(sizes or [], allowed)

    def following() -> int | None:
        return (left.pop(0) if left else None) if sizes else next_size(tried, most)

    doubted: set[int] = set()
    calls = following()
    while calls is not None:
        async with bench(relay, cores, tls=tls) as ready:
            holds = True
            while calls is not None and holds:
                await trio.sleep(REST_S)
                point = await ready.measure(calls, seconds, allowed)
                holds = point.holds
                tell(point)
                if not holds and calls not in doubted:
                    doubted.add(calls)
                    continue
                points.append(point)
                tried[calls] = holds
                if point.choked:
                    return points
                allowed = learned(allowed, point)
                calls = following()
    return points
