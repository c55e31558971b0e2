"""`relay` in processes of its own that have imported everything already.

A start is a second and a half of processor time, nearly all of it imports, and a run of the tests
starts the relay some fifty times, often to read a line or two. So one process a worker of pytest
imports all the commands, once, and forks for each order; the fork has its own folder, environment
and output, and ends as an interpreter does. That `python -m relay` comes this far by itself is
shown by the demo, the rehearsal, and the parent and its workers in `tests/handover`.

Orders are JSON, a line each, on stdin; to `words` the answer is the fork's process id on stdout, to
`over` its exit status, or null while it goes on.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from relay.cli import ELSEWHERE, main

ROOT = Path(__file__).resolve().parents[1]
ANSWER_S = 120.0  # ends a hang
LOOK_S = 0.01


class Begun:
    """A relay that goes on beside the test: of subprocess.Popen what tests use."""

    def __init__(self, words: tuple[str, ...], pid: int) -> None:
        self.words = words
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _ask({"over": self.pid})
        return self.returncode

    def wait(self, timeout: float = ANSWER_S) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.words, timeout)
            time.sleep(LOOK_S)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def begun(*words: str, folder: Path, env: Mapping[str, str], out: Path, err: Path) -> Begun:
    """Begin `relay words`. out and err: pipes with names, or files, to append to."""
    order = {"words": words, "folder": str(folder), "env": {**env}}
    pid = _ask({**order, "out": str(out), "err": str(err)})
    assert pid is not None
    return Begun(words, pid)


@contextmanager
def piped(*words: str, folder: Path, env: Mapping[str, str]) -> Iterator[tuple[Begun, TextIO]]:
    """Begin `relay words`, and read what it says from a pipe. It is killed at the end."""
    with tempfile.TemporaryDirectory() as name:
        pipe = Path(name) / "pipe"
        os.mkfifo(pipe)
        ours = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(ours) as said:
            process = begun(*words, folder=folder, env=env, out=pipe, err=pipe)
            os.set_blocking(ours, True)
            try:
                yield process, said
            finally:
                process.kill()
                process.wait()


def started(
    *words: str, folder: Path, env: Mapping[str, str], within_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Run `relay words` to its end. Raises subprocess.TimeoutExpired; that ends it."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        process = begun(*words, folder=folder, env=env, out=out, err=err)
        try:
            status = process.wait(within_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, status, out.read_bytes(), err.read_bytes())


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.started"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(_end, server)
    return server


def _ask(order: dict[str, object]) -> int | None:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    assert select.select([server.stdout], [], [], ANSWER_S)[0], "no answer"
    answer: int | None = json.loads(server.stdout.readline())
    return answer


def _end(server: subprocess.Popen[str]) -> None:
    """With all that it has forked."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
    server.communicate()


# ---- that process ---------------------------------------------------------------------------


def serve() -> list[str]:
    """Fork for each order. Returns only in a fork, what is to be run there."""
    for place in ELSEWHERE.values():
        importlib.import_module(place.partition(":")[0])
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "over" in order:
            pid, status = os.waitpid(order["over"], os.WNOHANG)
            answer(os.waitstatus_to_exitcode(status) if pid else None)
            continue
        # Opened here, so that nobody finds the end of a pipe before the fork has come to it.
        opened = [
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            for path in (os.devnull, order["out"], order["err"])
        ]
        child = os.fork()
        if not child:
            return become(order, opened)
        for descriptor in opened:
            os.close(descriptor)
        answer(child)
    sys.exit()


def answer(what: int | None) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201


def become(order: dict[str, object], opened: list[int]) -> list[str]:
    os.chdir(str(order["folder"]))
    assert isinstance(order["env"], dict)
    os.environ.clear()
    os.environ.update(order["env"])
    for descriptor, here in enumerate(opened):
        os.dup2(here, descriptor)
        os.close(here)
    assert isinstance(order["words"], list)
    return order["words"]


if __name__ == "__main__":
    main(serve(), prog_name="relay")
