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
]


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


@contextmanager
def running() -> Iterator[Path]:
    """A server; yields the folder of its socket. User postgres, no password."""
    folder = binaries()
    home = Path(tempfile.mkdtemp(prefix="relay-pg-"))
    # Unix sockets have short paths, and pytest's own folders are closed to other users.
    as_whom: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        as_whom = {"user": "postgres", "group": "postgres", "extra_groups": []}
    common = {"cwd": home, "stdin": subprocess.DEVNULL, **as_whom}
    data = home / "data"
    try:
        _checked(
            [folder / "initdb", "-D", data, *INIT],
            common,
        )
        log = (home / "log").open("wb")
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, "-k", home, *QUICK],
            stdout=log,
            stderr=log,
            **common,
        )
        try:
            _wait(home, server)
            yield home
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=10)
            log.close()
    finally:
        shutil.rmtree(home)


def url(home: Path, database: str) -> str:
    """A DATABASE_URL in the spelling that hosting companies give."""
    return f"postgres://postgres@/{database}?host={home}"


def execute(home: Path, statement: str, database: str = "postgres") -> None:
    """Run one statement outside any transaction."""
    with psycopg.connect(
        host=str(home), user="postgres", dbname=database, autocommit=True
    ) as connection:
        connection.execute(statement.encode())


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
