"""The machine under bench/latency.py: who runs on which core, what it costs, and how quick it is.

Run as a program it is the calibration's other half, on the relay's core: it echoes what it gets
over TCP and does units of work, the very work that a relay cannot avoid: JSON and base64 of media.
"""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._latency_stats import Calibration

ROOT: Final = Path(__file__).resolve().parent.parent
TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") / 1024
ECHOES: Final = 200
ECHO_EVERY_S, BESIDE_EVERY_S = 0.005, 0.05
ECHO_BYTES: Final = 350  # a media message
UNITS: Final = 60
UNIT_MESSAGES: Final = 1000
START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the relay runs, and where everything else does; None: wherever the kernel likes."""

    relay: int | None
    others: int | None


def share_out() -> Cores:
    """Give the relay a core of its own where there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[1]) if len(allowed) > 1 else Cores(None, None)


def age_s() -> float:
    """How long ago this process began: on a busy machine its imports alone take half a minute."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began * TICK_MS / 1000


async def begin(
    command: Sequence[str],
    core: int | None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Any = None,
    program: str = sys.executable,
) -> trio.Process:
    """Start a program on a core, a Python one unless it says otherwise.

    log: where its output goes; piped to us if not given
    """
    process = await trio.lowlevel.open_process(
        [program, *command],
        stdin=PIPE,
        stdout=log or PIPE,
        stderr=log,
        env=environ,
        cwd=cwd,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})  # its threads and children inherit it
    return process


async def end(process: trio.Process) -> None:
    """Let a program end when its input does, or by SIGTERM, or by force: sooner when cancelled."""
    patience_s = 5 if trio.current_effective_deadline() > -math.inf else 1
    with trio.CancelScope(shield=True):
        if process.stdin is not None:
            await process.stdin.aclose()
        for stop in (process.terminate, process.kill):
            with trio.move_on_after(patience_s):
                await process.wait()
            if process.returncode is not None:
                return
            stop()
        await process.wait()


class SilentError(SystemExit):
    """A process of the benchmark's own did not answer. The text says which, and why."""


@dataclass(slots=True)
class Lines:
    """The lines that a process prints, one at a time. name: what to call it."""

    process: trio.Process
    name: str
    rest: bytes = b""

    async def ask(self, timeout_s: float, line: bytes = b"") -> Any:
        """Send a line, and take the answer to it. Raises SilentError when there is none."""
        assert self.process.stdin is not None  # noqa: S101 - it was piped
        with suppress(trio.BrokenResourceError):  # it has ended: `next` says so
            await self.process.stdin.send_all(line + b"\n")
        return await self.next(timeout_s)

    async def next(self, timeout_s: float) -> Any:
        """The next line, as JSON. Raises SilentError when there is none."""
        why = f"said nothing within {timeout_s:.0f} s"
        with trio.move_on_after(timeout_s):
            while b"\n" not in self.rest:
                assert self.process.stdout is not None  # noqa: S101 - it was piped
                more = await self.process.stdout.receive_some(1 << 20)
                if not more:
                    why = f"ended without an answer, with status {await self.process.wait()}"
                    break
                self.rest += more
        line, newline, self.rest = self.rest.partition(b"\n")
        if not newline:
            raise SilentError(f"{self.name} {why}")
        return json.loads(line)


# ---- what a process costs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """at: monotonic seconds; cpu_ms: user and system so far; rss_kib: now."""

    at: float
    cpu_ms: float
    rss_kib: float


_GONE: Final = (FileNotFoundError, ProcessLookupError)


def sample(pid: int) -> Sample:
    """Of a process and all that descend from it. Raises OSError when it is gone."""
    ticks, pages = 0, 0
    for each in _family(pid):
        try:
            stat = Path(f"/proc/{each}/stat").read_text(encoding="ascii")
        except _GONE:
            if each == pid:
                raise
            continue
        fields = stat.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        pages += int(fields[21])
    return Sample(time.monotonic(), ticks * TICK_MS, pages * PAGE_KIB)


def _family(pid: int) -> Iterator[int]:
    yield pid
    children: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(*_GONE):
            children += thread.read_text(encoding="ascii").split()
    for child in children:
        yield from _family(int(child))


def core_sample(core: int) -> Sample:
    """Of a whole core, whoever used it."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, soft, steal = map(int, fields[:8])
            busy = user + nice + system + irq + soft + steal
            return Sample(time.monotonic(), busy * TICK_MS, 0.0)
    raise ValueError(f"there is no core {core}")


async def watch(take: Callable[[], Sample], into: list[Sample]) -> None:
    """Take a sample five times a second, until cancelled or until there is nothing to sample."""
    with suppress(*_GONE):
        while True:
            into.append(take())
            await trio.sleep(0.2)


def within(samples: Sequence[Sample], window: Sequence[float]) -> list[Sample]:
    return [each for each in samples if window[0] <= each.at <= window[1]]


def cpu_share(samples: Sequence[Sample]) -> float:
    """CPU ms a second of wall time. Raises ValueError when it was watched too shortly."""
    if len(samples) < 2:
        raise ValueError("fewer than two samples")
    return (samples[-1].cpu_ms - samples[0].cpu_ms) / (samples[-1].at - samples[0].at)


# ---- calibration ----------------------------------------------------------------------------


def work() -> None:
    """One unit: a thousand media messages read and written again with the standard library."""
    payload = base64.b64encode(bytes(range(160))).decode()
    text = json.dumps({"event": "media", "media": {"payload": payload}, "streamSid": "MZ"})
    for _ in range(UNIT_MESSAGES):
        message = json.loads(text)
        base64.b64encode(base64.b64decode(message["media"]["payload"]))
        json.dumps(message)


@asynccontextmanager
async def bystander(cores: Cores, into: list[float]) -> AsyncIterator[None]:
    """Echo beside whatever is measured in the block: what this machine does to anybody, ms each."""
    process = await begin([__file__], cores.relay)
    try:
        port = (await Lines(process, "the bystander").next(START_S))["port"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(_echo_on, port, into, math.inf, BESIDE_EVERY_S))
            yield
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        await end(process)


async def calibrate(cores: Cores) -> tuple[Calibration, float]:
    """Measure the machine. Returns it, and the CPU ms of one unit of work (the median)."""
    process = await begin([__file__], cores.relay)
    try:
        lines = Lines(process, "the calibration")
        port = (await lines.next(START_S))["port"]
        echoes: list[float] = []
        await _echo_on(port, echoes, ECHOES, ECHO_EVERY_S)
        worked = await lines.ask(START_S)
    finally:
        await end(process)
    # The first ones find everything cold.
    return Calibration(worked["wall"], echoes[ECHOES // 10 :]), sorted(worked["cpu"])[UNITS // 2]


async def _echo_on(port: int, into: list[float], count: float, every_s: float) -> None:
    message = bytes(ECHO_BYTES)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        while len(into) < count:
            begun, left = time.monotonic(), ECHO_BYTES
            await stream.send_all(message)
            while left:
                left -= len(await stream.receive_some(left))
            into.append(1000 * (time.monotonic() - begun))
            await trio.sleep(every_s)


async def _echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def _other_half() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, _echo, listeners)
        print(json.dumps({"port": listeners[0].socket.getsockname()[1]}), flush=True)
        await trio.lowlevel.FdStream(os.dup(0)).receive_some(16)
        nursery.cancel_scope.cancel()
    wall, cpu = [], []
    for _ in range(UNITS):
        begun, spent = time.monotonic(), time.process_time()
        work()
        wall.append(1000 * (time.monotonic() - begun))
        cpu.append(1000 * (time.process_time() - spent))
    print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began it, and ends it
    trio.run(_other_half)
