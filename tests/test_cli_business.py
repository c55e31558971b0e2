"""`relay business`, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from click.testing import CliRunner

from relay.cli_business import business_command
from tests.started import Begun, piped, started


def environ(folder: Path, **changes: str) -> dict[str, str]:
    """Nothing of Twilio's or OpenAI's."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": f"sqlite:///{folder}/business.db",
        **changes,
    }


@contextmanager
def running(folder: Path, *words: str, **changes: str) -> Iterator[tuple[Begun, str]]:
    """A business that answers, and its BUSINESS_API_BASE."""
    command = ("business", "--port", "0", *words)
    with piped(*command, folder=folder, env=environ(folder, **changes)) as (process, said):
        name, _, base = said.readline().strip().partition("=")
        assert name == "BUSINESS_API_BASE"
        yield process, base


def refused(folder: Path, *words: str, **changes: str) -> str:
    env = environ(folder, **changes)
    done = started("business", *words, folder=folder, env=env, within_s=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.decode()


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with running(tmp_path, BUSINESS_API_TOKEN="sesame") as (process, base):
        bearing = {"Authorization": "Bearer sesame"}
        answer = httpx.get(f"{base}/profile", headers=bearing, timeout=10)
        assert answer.json()["name"] == "Maple Street Dental"
        assert httpx.get(f"{base}/profile", timeout=10).status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_an_upgrade_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as (_, base):
        port = int(base.split(":")[2].partition("/")[0])
        for path in ("/v1/profile", "/twilio/stream/x"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nx".encode()
                )
                assert connection.recv(64).split()[1] in {b"400", b"403"}
        assert httpx.get(f"{base}/profile", timeout=10).status_code == 200


def test_it_is_not_open_to_the_world_without_a_token(tmp_path: Path) -> None:
    said = refused(tmp_path, "--host", "0.0.0.0")  # noqa: S104 - that is the point
    assert "BUSINESS_API_TOKEN is missing" in said


def test_what_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path, BUSINESS_FILE="none.toml")
    assert "folder must exist" in refused(tmp_path, DATABASE_URL="sqlite:////no/such/b.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(tmp_path, "--port", port)


def test_a_port_that_cannot_be_is_not_another_one() -> None:
    done = CliRunner().invoke(business_command, ["--port", "99999"])
    assert done.exit_code == 2
    assert "0<=x<=65535" in done.output
