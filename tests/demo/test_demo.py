"""The whole demo, as a person runs it; and what it looks for in the play-out buffer."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest

from relay.demo.model import told
from relay.demo.run import Gap, gaps, sounds
from relay.sim.line import Line, Timeline
from relay.sim.pair import memory_pair
from relay.sim.realtime_session import Logged
from relay.sim.twilio_stream import StreamLeg
from relay.sim.ulaw import SILENCE, tone

SEED = 4
LIMIT_S = 240  # a tenth of a demo's speed still shows what went wrong


def test_a_run_ends_well_and_leaves_its_recordings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relay", "demo", "--seed", str(SEED)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--seed {SEED}" in done.stdout
    assert "FAIL" not in done.stdout
    assert done.stdout.count("control, must not hold") == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo-call-1.wav",
        "demo-call-2.wav",
    ]
    for path in tmp_path.iterdir():
        with wave.open(str(path)) as recording:
            assert recording.getnchannels() == 2
            assert recording.getframerate() == 8000
            assert recording.getnframes() > 8000 * 15


# ---- holes ----------------------------------------------------------------------------------


class Book:
    """A play-out buffer that is filled by hand."""

    def __init__(self) -> None:
        here, _ = memory_pair()
        self.leg = StreamLeg(here, Line())
        self.playout = self.leg.playout

    def speak(self, item: str, ms: int, at_ms: int, sound: bytes | None = None) -> None:
        mulaw = tone(440, ms) if sound is None else sound
        self.playout.media(mulaw, 8 * at_ms)
        self.playout.mark(f"0:{item}:{ms}", 8 * at_ms)


async def test_a_hole_in_an_item_is_found() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_1", 100, 130)
    assert list(gaps(book.leg)) == [Gap(30.0, 0.13)]


async def test_a_pause_between_items_is_none() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_2", 100, 130)
    assert list(gaps(book.leg)) == []


async def test_speech_without_a_hole_has_none() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_1", 100, 60)
    assert list(gaps(book.leg)) == []


async def test_a_longer_silence_in_an_item_is_not_heard() -> None:
    book = Book()
    book.speak("item_1", 100, 0, SILENCE * 800)
    book.speak("item_1", 100, 130, SILENCE * 400 + tone(440, 50))
    assert list(gaps(book.leg)) == []


async def test_what_a_clear_cut_off_is_no_hole() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.playout.clear(8 * 50)
    book.speak("item_1", 100, 130)
    assert list(gaps(book.leg)) == []


def test_sounds_are_told_apart_by_nothing_between_them() -> None:
    heard = Timeline()
    one, other = tone(440, 20), tone(880, 40)
    heard.play(one, 80)
    heard.play(other, 800)
    assert sounds(heard) == [one, other]


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
