"""`relay` for as long as it takes, in a process of its own that has imported everything already.

A start is a second and a half of processor time, nearly all of it imports, and a run of the tests
starts the relay some forty times to read a line or two. So one process a worker of pytest imports
all the commands, once, and forks for each order; the fork has its own folder, environment and
output, and ends as an interpreter does. That `python -m relay` comes this far by itself is shown by
those tests that start it for longer.

Orders are JSON, a line each, on stdin; the answer to each is an exit status on stdout.
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
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from relay.cli import ELSEWHERE, main

ROOT = Path(__file__).resolve().parents[1]


def started(
    *words: str, folder: Path, env: Mapping[str, str], within_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Run `relay words` to its end. Raises subprocess.TimeoutExpired; that ends all of them."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        order = {"words": words, "folder": str(folder), "env": {**env}}
        status = _ask(json.dumps({**order, "out": str(out), "err": str(err)}), within_s)
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


def _ask(order: str, within_s: float) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(order + "\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], within_s)[0]:
        _end(server)
        _server.cache_clear()
        raise subprocess.TimeoutExpired(order, within_s)
    return int(server.stdout.readline())


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
        child = os.fork()
        if not child:
            return become(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer
    sys.exit()


def become(order: dict[str, object]) -> list[str]:
    os.chdir(str(order["folder"]))
    assert isinstance(order["env"], dict)
    os.environ.clear()
    os.environ.update(order["env"])
    for descriptor, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        opened = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    assert isinstance(order["words"], list)
    return order["words"]


if __name__ == "__main__":
    main(serve(), prog_name="relay")
