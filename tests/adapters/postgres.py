"""A throw-away PostgreSQL from the system's binaries.

Listens on a Unix socket in its own temporary folder and nowhere else, trusts whoever gets there,
and never waits for the disk. It refuses to run as root, so root starts it as `postgres`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

MISSING = """\
The store is tested on SQLite and on PostgreSQL, and no PostgreSQL server was found.
Debian: apt-get install postgresql    macOS: brew install postgresql"""

INIT = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
QUICK = [
    "--listen_addresses=",
    "--fsync=off",
    "--synchronous_commit=off",
    "--full_page_writes=off",
    "--max_connections=60",
    # What a connection costs here is its process: the less there is to share, the less it takes.
    "--shared_buffers=16MB",
    "--wal_level=minimal",
    "--max_wal_senders=0",
]
OWN = "tests"  # how connections of the tests' own are called, beside those of a store

# For who stops it in the middle: what was committed has left the server's own memory.
KEEPING = [*QUICK, "--synchronous_commit=on"]


def binaries(debian: Path = Path("/usr/lib/postgresql")) -> Path:
    """The folder of initdb and postgres, the newest version first. Raises LookupError."""
    folders = sorted(
        debian.glob("*/bin"),
        key=lambda path: float(path.parent.name),
        reverse=True,
    )
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise LookupError(MISSING)


class Server:
    """A server on a folder of its own, which can be stopped as a crash does, and started again."""

    def __init__(self, folder: Path, home: Path, as_whom: dict[str, Any], options: list[str]):
        self.home = home
        self._command = [folder / "postgres", "-D", home / "data", "-k", home, *options]
        self._common = {"cwd": home, "stdin": subprocess.DEVNULL, **as_whom}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, **self._common)
        _wait(self.home, self._process)

    def freeze(self) -> None:
        """Let every process of it stand still: connections stay open, and nobody answers."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._tell_all(signal.SIGCONT)

    def _tell_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        main = self._process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, number)

    def stop(self) -> None:
        """At once, whoever is connected; what was committed is found again at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=10)
            self._process = None


@contextmanager
def server(options: list[str] | None = None) -> Iterator[Server]:
    """A server that runs. User postgres, no password."""
    folder = binaries()
    home = Path(tempfile.mkdtemp(prefix="relay-pg-"))
    # Unix sockets have short paths, and pytest's own folders are closed to other users.
    as_whom: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        as_whom = {"user": "postgres", "group": "postgres", "extra_groups": []}
    try:
        _checked(
            [folder / "initdb", "-D", home / "data", *INIT],
            {"cwd": home, "stdin": subprocess.DEVNULL, **as_whom},
        )
        one = Server(folder, home, as_whom, QUICK if options is None else options)
        try:
            one.start()
            yield one
        finally:
            one.stop()
    finally:
        shutil.rmtree(home)


@contextmanager
def running() -> Iterator[Path]:
    """A server; yields the folder of its socket."""
    with server() as one:
        yield one.home


def url(home: Path, database: str) -> str:
    """A DATABASE_URL in the spelling that hosting companies give."""
    return f"postgres://postgres@/{database}?host={home}"


def execute(home: Path, statement: str, database: str = "postgres") -> None:
    """Run one statement outside any transaction."""
    with connected(home, database) as connection:
        connection.execute(statement.encode())


def connected(home: Path, database: str) -> psycopg.Connection:
    """A connection of the tests' own, without transactions; to be closed by leaving it."""
    return psycopg.connect(
        host=str(home),
        user="postgres",
        dbname=database,
        autocommit=True,
        application_name=OWN,
    )


def _checked(command: list[Any], common: dict[str, Any]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **common)
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"


def _wait(home: Path, server: subprocess.Popen[bytes]) -> None:
    """Until it answers. A server in another process has no event to wait for: ask again."""
    deadline = time.monotonic() + 20
    while True:
        try:
            execute(home, "SELECT 1")
            return
        except psycopg.OperationalError:
            log = (home / "log").read_text(errors="replace")
            assert server.poll() is None, f"PostgreSQL ended: {log}"
            assert time.monotonic() < deadline, f"PostgreSQL does not answer: {log}"
            time.sleep(0.02)
