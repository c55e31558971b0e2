"""A parent and its workers, small programs that write down what becomes of them. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from relay import config, workers
from relay.door import open_listeners
from relay.errors import ConfigError
from relay.workers import Crew, check, of_worker
from tests.test_cli import environ, relay

SQLITE, POSTGRES = "sqlite:///relay.db", "postgresql://somewhere/relay"

WORKER = """
import os, signal, sys, time
folder, number = sys.argv[1:]
log = open(f"{folder}/{number}", "a", buffering=1)
def told(received, _):
    log.write(f"told {received}\\n")
    if received != signal.SIGUSR1: sys.exit(0)
for each in (signal.SIGTERM, signal.SIGUSR1): signal.signal(each, told)
log.write(f"pid {os.getpid()}\\n")
{then}
time.sleep(30)
"""


def crew(folder: Path, then: str = "", *, drain_s: float = 0.0) -> Crew:
    program = WORKER.replace("{then}", then)
    return Crew([sys.executable, "-c", program, str(folder)], drain_s)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - other processes have no events for us
            await trio.sleep(0.02)


def lines(folder: Path, number: int) -> list[str]:
    file = folder / str(number)
    return file.read_text().splitlines() if file.exists() else []


def pid(folder: Path, number: int) -> int:
    return int(lines(folder, number)[-1].split()[1])


async def test_a_worker_that_dies_is_started_again_and_the_others_live_on(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        statuses: list[int] = []

        async def run() -> None:
            statuses.append(await crew(tmp_path).run(2))

        nursery.start_soon(run)
        await until(lambda: lines(tmp_path, 1) and lines(tmp_path, 2))
        os.kill(pid(tmp_path, 1), signal.SIGKILL)
        await until(lambda: len(lines(tmp_path, 1)) == 2)
        assert len(lines(tmp_path, 2)) == 1
        os.kill(os.getpid(), signal.SIGTERM)
    assert statuses == [0]
    for number in (1, 2):
        told = [line for line in lines(tmp_path, number) if line.startswith("told")]
        assert told == [f"told {int(signal.SIGTERM)}"], "once: twice means at once"


async def test_the_pauses_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSES_S", (0.05, 0.1, 30.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crew(tmp_path, "sys.exit(1)").run, 1)
        await until(lambda: len(lines(tmp_path, 1)) == 3)
        await trio.sleep(0.5)
        assert len(lines(tmp_path, 1)) == 3
        os.kill(os.getpid(), signal.SIGTERM)


async def test_settings_that_are_wrong_are_not_tried_again(tmp_path: Path) -> None:
    with trio.fail_after(20):
        assert await crew(tmp_path, "if number == '1': sys.exit(2)").run(2) == 2


async def test_sigusr1_is_passed_on_and_nobody_is_started_again(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crew(tmp_path).run, 1)
        await until(lambda: lines(tmp_path, 1))
        worker = pid(tmp_path, 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: f"told {int(signal.SIGUSR1)}" in lines(tmp_path, 1))
        os.kill(worker, signal.SIGKILL)
    assert len([line for line in lines(tmp_path, 1) if line.startswith("pid")]) == 1


async def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "end_s", lambda drain_s: drain_s)
    monkeypatch.setattr(workers, "KILL_S", 0.2)
    async with trio.open_nursery() as nursery:
        deaf = "for each in (signal.SIGTERM,): signal.signal(each, signal.SIG_IGN)"
        nursery.start_soon(crew(tmp_path, deaf).run, 1)
        await until(lambda: lines(tmp_path, 1))
        await trio.sleep(0.2)
        nursery.cancel_scope.deadline = trio.current_time() + 10
        os.kill(os.getpid(), signal.SIGTERM)
    assert not nursery.cancel_scope.cancelled_caught


async def test_a_worker_that_was_being_started_is_told_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = trio.lowlevel.open_process

    async def signalled_meanwhile(*words: Any, **how: Any) -> trio.Process:
        process = await really_open(*words, **how)
        os.kill(os.getpid(), signal.SIGTERM)
        await those._ending.wait()
        return process

    those = crew(tmp_path)
    monkeypatch.setattr(trio.lowlevel, "open_process", signalled_meanwhile)
    with trio.fail_after(20):
        assert await those.run(1) == 0


def settings(tmp_path: Path, **changes: str) -> config.Settings:
    return config.load(environ(tmp_path, PORT="8080", **changes))


def test_what_a_worker_has_for_itself(tmp_path: Path) -> None:
    all_of_them = settings(tmp_path, SPOOL_DIR="/data/spool", METRICS_PORT="9091")
    second = of_worker(all_of_them, 2)
    assert second.spool_folder == Path("/data/spool/worker-2")
    assert second.metrics_port == 9092
    assert second.port == 8080
    assert of_worker(settings(tmp_path), 2).metrics_port is None
    assert of_worker(settings(tmp_path, METRICS_PORT="0"), 2).metrics_port == 0


def test_several_processes_need_a_database_that_can_be_shared(tmp_path: Path) -> None:
    check(settings(tmp_path, DATABASE_URL=POSTGRES))
    with pytest.raises(ConfigError, match="PORT"):
        check(config.load(environ(tmp_path, DATABASE_URL=POSTGRES)))
    done = relay("serve", "--workers", "2", folder=tmp_path, env=environ(tmp_path, PORT="8080"))
    assert done.returncode == 2
    assert done.stderr == (
        "relay: --workers needs a PostgreSQL: several processes cannot share SQLite\n"
    )


async def test_two_may_listen_on_one_port() -> None:
    first = await open_listeners("127.0.0.1", 0, shared=True)
    port = first[0].socket.getsockname()[1]
    second = await open_listeners("127.0.0.1", port, shared=True)
    with pytest.raises(OSError, match="in use"):
        await open_listeners("127.0.0.1", port)
    for listener in (*first, *second):
        await listener.aclose()


def test_a_parent_brings_nothing_of_a_server(tmp_path: Path) -> None:
    program = (
        "import sys; from relay.cli import main\n"
        "try: main(['serve', '--workers', '2'])\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(  # it does not come to its workers, and has all that it needs by then
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environ(tmp_path, PORT="8080", PYTHONPATH=str(Path(__file__).parents[1])),
    )
    assert "cannot share SQLite" in done.stderr
    brought = set(done.stdout.split())
    assert {"relay", "trio", "pydantic"} <= brought
    assert not brought & {"quart", "hypercorn", "sqlalchemy", "httpx", "h11", "quart_trio"}


def test_a_worker_without_its_parent_ends(tmp_path: Path) -> None:
    program = (
        "import trio\n"
        "from relay.stop import Stop\n"
        "from relay.workers import end_with_parent\n"
        "stop = Stop()\n"
        "trio.run(end_with_parent, stop, 3600.0)\n"
        "assert stop.drain.is_set() and stop.hurry.is_set()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b"",
        timeout=30,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0


def test_a_worker_that_hangs_without_its_parent_is_ended_by_its_last_resort(
    tmp_path: Path,
) -> None:
    program = (
        "import time, trio\n"
        "from relay import workers\n"
        "workers.end_s = lambda drain_s: drain_s\n"
        "trio.run(workers.end_with_parent, workers.Stop(), 0.1)\n"
        "time.sleep(25)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b"",
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 70
