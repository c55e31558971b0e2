"""The command line, in processes of its own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from click import Context
from twilio.request_validator import RequestValidator

from relay.cli import ELSEWHERE, main
from tests.started import Begun, piped, started

PROMPTS = Path(__file__).parents[1] / "prompts"
UPGRADE = (
    b"GET /twilio/stream/x HTTP/1.1\r\nHost: relay.example.com\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
START_S = 60.0  # ends a hang; a loaded machine imports slowly


def environ(folder: Path, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "12345-auth",
        "TWILIO_PHONE_NUMBER": "+14155550100",
        "HUMAN_TRANSFER_NUMBER": "+14155550199",
        "PUBLIC_URL": "https://relay.example.com",
        "OPENAI_API_KEY": "sk-secret",
        "CLIPS": "packaged",
        "DATABASE_URL": f"sqlite:///{folder}/relay.db",
        "PROMPTS_DIR": str(PROMPTS),
        "HOST": "127.0.0.1",
        "PORT": "0",
        **changes,
    }


def relay(*words: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = started(*words, folder=folder, env=env, within_s=2 * START_S)
    output, errors = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(words, done.returncode, output, errors)


@contextmanager
def running(folder: Path, **changes: str) -> Iterator[tuple[Begun, int, TextIO]]:
    """A relay that answers, its port, and what else it says."""
    with piped("serve", folder=folder, env=environ(folder, **changes)) as (process, said):
        line = json.loads(said.readline())
        if line["event"] == "= metrics":
            line = json.loads(said.readline())
        assert line["event"] == "= listening"
        yield process, line["port"], said


def get(port: int, page: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}{page}", timeout=START_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


def test_the_version_and_the_help(tmp_path: Path) -> None:
    for words, expected in ((("--version",), "relay, version"), (("--help",), "serve")):
        command = [sys.executable, "-m", "relay", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, expected in done.stdout) == (0, True)
    listed = {line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines()}
    assert {*ELSEWHERE, "demo"} <= listed
    for name in ELSEWHERE:
        command = main.get_command(Context(main), name)
        assert command is not None
        assert command.name == name


def test_a_command_brings_only_what_it_needs(tmp_path: Path) -> None:
    code = "import gc, sys; from relay.cli import main\ntry: main(['replay', '--help'])\n"
    code += "finally: print(gc.get_freeze_count(), *{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    frozen, *names = done.stdout.splitlines()[-1].split()
    assert int(frozen) > 10_000, "what was imported is not looked through for garbage"
    brought = set(names)
    assert "msgspec" in brought
    assert not brought & {"sqlalchemy", "quart", "hypercorn", "twilio", "pydantic"}


def test_missing_and_malformed_settings_stop_the_start_with_one_message(tmp_path: Path) -> None:
    env = environ(tmp_path, PORT="eighty")
    del env["OPENAI_API_KEY"], env["PUBLIC_URL"]
    done = relay("serve", folder=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("relay: these settings need attention")
    assert [line.split()[0] for line in lines[1:]] == ["PUBLIC_URL", "OPENAI_API_KEY", "PORT"]
    assert "12345-auth" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DATABASE_URL": "sqlite:////no/such/folder/relay.db"}, "folder must exist"),
        ({"DATABASE_URL": "sqlite:////no/such/folder/relay.db"}, "relay: DATABASE_URL sqlite:"),
        ({"FLIGHT_DIR": __file__}, f"FLIGHT_DIR {__file__} cannot be written: File exists"),
        ({"HOST": "192.0.2.1"}, "cannot listen on HOST 192.0.2.1"),
        (
            {"METRICS_HOST": "192.0.2.1", "METRICS_PORT": "9091"},
            "cannot listen on METRICS_HOST 192.0.2.1, METRICS_PORT 9091",
        ),
        ({"PROMPTS_DIR": "nowhere"}, "PROMPTS_DIR: nowhere/system.md cannot be read: No such"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_exit_2(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    done = relay("serve", folder=tmp_path, env=environ(tmp_path, **changes))
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = relay("serve", folder=tmp_path, env=environ(tmp_path, PORT=port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"relay: cannot listen on HOST 127.0.0.1, PORT {port}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_relay_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as (process, port, said):
        assert get(port, "/healthz") == 200
        assert get(port, "/readyz") == 200
        assert get(port, "/twilio/incoming") == 405
        process.send_signal(number)
        assert process.wait(START_S) == 0
        events = [json.loads(line)["event"] for line in said]
    assert events == ["< signal", "= draining", "= ended"]


def test_a_misspelled_setting_is_told_at_the_start(tmp_path: Path) -> None:
    env = environ(tmp_path, MAX_DAYS_USD="20")
    with piped("serve", folder=tmp_path, env=env) as (_, said):
        line = json.loads(said.readline())
    assert (line["event"][0], line["name"], line["likely"]) == ("!", "MAX_DAYS_USD", "MAX_DAY_USD")


def test_a_log_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as (process, port, said):
        fcntl.fcntl(said, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(100):  # some 20 KB of lines, and a pipe of 4
            with socket.create_connection(("127.0.0.1", port), timeout=START_S) as stranger:
                stranger.sendall(UPGRADE)
                assert stranger.recv(64).startswith(b"HTTP/1.1 403")
        assert get(port, "/readyz") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == 0


def test_a_process_that_gets_no_time_sends_new_callers_to_the_human(tmp_path: Path) -> None:
    """It is stopped for most of each moment, as on a machine that others use up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics = free.getsockname()[1]
    form = {"CallSid": "CA1", "From": "+14155550123", "To": "+14155550100"}
    url = "https://relay.example.com/twilio/incoming"
    signed = RequestValidator("12345-auth").compute_signature(url, form)
    with running(tmp_path, METRICS_PORT=str(metrics), DESK_HOURS="always") as (process, port, _):
        deadline = time.monotonic() + START_S
        while "relay_strained 1.0" not in page(metrics, "/metrics"):
            assert time.monotonic() < deadline
            for _ in range(10):
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.2)
                process.send_signal(signal.SIGCONT)
                time.sleep(0.03)
        answer = page(port, "/twilio/incoming", urlencode(form), {"X-Twilio-Signature": signed})
    assert "<Connect" not in answer
    assert "+14155550199" in answer


def page(port: int, path: str, form: str = "", headers: Mapping[str, str] | None = None) -> str:
    asked = Request(f"http://127.0.0.1:{port}{path}", form.encode() or None, headers or {})
    with urlopen(asked, timeout=START_S) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


def test_a_process_that_hangs_is_ended_by_its_last_resort(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "from relay.stop import end_process_after\n"
        "end_process_after(0.2)\n"
        "time.sleep(3600)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROMPTS.parent, timeout=START_S, check=False
    )
    assert done.returncode == 70


def test_db_upgrade_makes_the_tables_and_may_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = relay("db", "upgrade", folder=tmp_path, env=environ(tmp_path))
        assert (done.returncode, done.stdout) == (0, "The database is up to date.\n")
    assert (tmp_path / "relay.db").exists()


def test_db_upgrade_names_a_database_that_cannot_be_had(tmp_path: Path) -> None:
    env = environ(tmp_path, DATABASE_URL="sqlite:////no/such/folder/relay.db")
    done = relay("db", "upgrade", folder=tmp_path, env=env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
