"""`relay rehearse`, in processes of its own, against the simulated model."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.test_cli import environ, relay

LIMIT_S = 300  # on a machine with much else to do


def test_two_callers_rehearse_with_the_simulated_model(tmp_path: Path) -> None:
    words = ["rehearse", "--simulated", "--caller", "hours", "--caller", "human"]
    words += ["--at-once", "2", "--keep", "kept", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "relay", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    told = json.loads(done.stdout)
    calls = {call["caller"]: call for call in told["calls"]}
    assert set(calls) == {"hours", "human"}
    # How soon it answers is this machine's affair as long as the model is simulated on it.
    bad = [
        (name, mark["criterion"], mark["says"])
        for name, call in calls.items()
        for mark in call["marks"]
        if not mark["passed"] and mark["criterion"] != "answers"
    ]
    assert not bad, done.stderr
    assert len(calls["hours"]["answers_ms"]) == 2
    assert min(calls["hours"]["answers_ms"]) > 400  # the model waits for the end of a turn
    assert calls["human"]["outcome"] == "transferred"
    assert told["usd"] > 0
    assert done.returncode == (0 if told["passed"] else 1)
    for name in calls:
        with wave.open(str(tmp_path / "kept" / f"rehearsal-{name}.wav")) as sound:
            assert sound.getnframes() > 8000 * 10
    assert "function lookup_hours" in (tmp_path / "kept" / "rehearsal-hours.txt").read_text()


def test_it_says_what_it_costs_and_does_nothing_without_a_yes(tmp_path: Path) -> None:
    env = environ(tmp_path, OPENAI_REALTIME_URL="ws://127.0.0.1:9/v1/realtime")
    done = relay("rehearse", "--max-usd", "0.5", folder=tmp_path, env=env)
    assert done.returncode == 1
    assert "5 calls" in done.stdout
    assert "USD at most" in done.stdout
    assert "it stops at 0.5 USD" in done.stdout
    assert "Aborted" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_price_cannot_be_capped(tmp_path: Path) -> None:
    env = environ(tmp_path, REALTIME_MODEL="gpt-unheard-of")
    done = relay("rehearse", "--yes", "--caller", "silence", folder=tmp_path, env=env)
    assert done.returncode == 2
    assert "no price for gpt-unheard-of" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["rehearse", "--simulated"], ["demo"]])
def test_without_the_callers_voices_it_says_what_to_install(
    tmp_path: Path, words: list[str]
) -> None:
    code = (
        f"import sys; sys.modules['py_nanotts'] = None\nfrom relay.cli import main; main({words})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "(py_nanotts is missing): `make setup` in a checkout" in done.stderr
    assert "Traceback" not in done.stderr
