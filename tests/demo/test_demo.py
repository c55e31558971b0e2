"""The whole demo, as a person runs it; and what it shows of the model."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest

from relay.demo.model_process import told, voice_lost
from relay.sim.elevenlabs import Provider
from relay.sim.realtime_session import Logged

SEED = 4
LIMIT_S = 600  # a tenth of a demo's speed still shows what went wrong


def test_a_run_ends_well_and_leaves_its_recordings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relay", "demo", "--seed", str(SEED)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--seed {SEED}" in done.stdout
    assert "FAIL" not in done.stdout
    assert done.stdout.count("control, must not hold") == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo-call-1.wav",
        "demo-call-2-human.wav",
        "demo-call-2.wav",
        "demo-call-3-human.wav",
        "demo-call-3.wav",
        "demo-call-4.wav",
    ]
    for path in tmp_path.iterdir():
        with wave.open(str(path)) as recording:
            assert recording.getnchannels() == 2
            assert recording.getframerate() == 8000
            assert recording.getnframes() > 8000 * 10


# ---- what the model lets know ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "event", "line"),
    [
        (
            "server",
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "transcript": "yes please",
            },
            ("recognised", "yes please"),
        ),
        (
            "server",
            {"type": "response.output_audio_transcript.done", "transcript": "Goodbye."},
            ("agent", "Goodbye."),
        ),
        (
            "server",
            {
                "type": "response.output_item.done",
                "item": {"type": "function_call", "name": "end_call", "arguments": "{}"},
            },
            ("tool", "end_call {}"),
        ),
        (
            "client",
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "output": '{"status":"ending"}'},
            },
            ("result", '{"status":"ending"}'),
        ),
        (
            "client",
            {"type": "conversation.item.truncate", "audio_end_ms": 1200},
            ("truncated", "the model forgets what came after 1200 ms"),
        ),
    ],
)
def test_an_audience_is_told_what_matters(
    by: str, event: dict[str, object], line: tuple[str, str]
) -> None:
    assert list(told(Logged(0.0, by, event))) == [line]


def test_an_audience_is_spared_the_rest() -> None:
    message = {"type": "response.output_item.done", "item": {"type": "message"}}
    text = {"type": "conversation.item.create", "item": {"type": "message"}}
    assert not list(told(Logged(0.0, "server", message)))
    assert not list(told(Logged(0.0, "client", text)))
    assert not list(told(Logged(0.0, "server", {"type": "session.updated"})))


@pytest.mark.parametrize(
    ("connections", "response", "lost"),
    [
        (1, {"output_modalities": ["text"]}, False),
        (1, {"metadata": {"purpose": "rest"}}, True),
        (0, {"metadata": {"purpose": "turn"}}, False),
    ],
)
def test_a_second_voice_that_was_lost_is_a_complaint(connections, response, lost) -> None:
    logged = Logged(0.0, "client", {"type": "response.create", "response": response})
    assert voice_lost(logged, Provider(connections=connections)) is lost
