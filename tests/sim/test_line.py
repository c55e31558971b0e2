"""Timelines, lines and what a room adds."""

import io
import wave

import pytest
import trio

from relay.sim.line import Line, Timeline, stereo_wav
from relay.sim.room import Room
from relay.sim.ulaw import LINEAR, loudness_db, tone


def test_sound_queues_behind_sound_and_never_starts_in_the_past():
    line = Timeline()
    assert line.play(b"aa", 3) == 3
    assert line.play(b"bb", 4) == 5
    assert line.play(b"", 50) == 50
    assert line.play(b"c", 10) == 10
    assert line.read(0, 12) == b"\xff\xff\xffaabb\xff\xff\xffc\xff"
    assert line.spans == [(3, 7), (10, 11)]


@pytest.mark.parametrize(
    ("at", "spans", "dropped"),
    [
        (11, [(3, 7), (10, 11)], 0),
        (10, [(3, 7)], 1),
        (8, [(3, 7)], 3),
        (5, [(3, 5)], 6),
        (3, [], 8),
        (0, [], 11),
    ],
)
def test_cut(at, spans, dropped):
    line = Timeline()
    line.play(b"aabb", 3)
    line.play(b"c", 10)
    assert line.cut(at) == dropped
    assert (line.spans, line.end) == (spans, min(11, at))


@pytest.mark.parametrize(
    ("start", "end", "sound"),
    [
        (-2, 1, b"\xff\xffa"),
        (-5, -2, b"\xff" * 3),
        (2, 5, b"c\xff\xff"),
        (7, 9, b"\xff\xff"),
        (1, 1, b""),
    ],
)
def test_reading_beside_the_sound_is_silence(start, end, sound):
    line = Timeline()
    line.play(b"abc", 0)
    assert line.read(start, end) == sound


def test_gaps_are_holes_inside_speech():
    line = Timeline()
    for at in (0, 1000, 1160 + 80, 20_000):
        line.play(b"x" * 160, at)
    assert line.gaps(shorter_than_ms=200) == [(160, 1000), (1160, 1240)]
    assert line.gaps(shorter_than_ms=20) == [(1160, 1240)]


async def test_positions_are_times(autojump_clock):
    line = Line()
    for _ in range(1000):
        await trio.sleep(0.0201)
    assert line.sample() == round(20.1 * 8000)
    assert line.sample(line.time(123_457)) == 123_457


async def test_echo_is_what_was_heard_weaker_and_later(autojump_clock):
    line = Line(room=Room(echo_loss_db=20, echo_delay_ms=100))
    sound = tone(440, 100, -10)
    line.heard.play(sound, 0)
    assert line.spoken(0, 800) == b"\xff" * 800
    echo = line.spoken(800, 1600)
    assert loudness_db(echo) == pytest.approx(-30, abs=0.5)
    assert [LINEAR[c] for c in echo[100:110]] == pytest.approx(
        [LINEAR[c] / 10 for c in sound[100:110]], abs=40
    )
    assert loudness_db(line.spoken(1600, 2400)) == -100.0


async def test_voice_echo_and_noise_add_up(autojump_clock):
    line = Line(room=Room(echo_loss_db=6, echo_delay_ms=0, noise_db=-50, seed=3))
    assert loudness_db(line.spoken(0, 8000)) == pytest.approx(-50, abs=1)
    line.said.play(tone(300, 100, -20), 0)
    line.heard.play(tone(700, 100, -14), 0)
    assert loudness_db(line.spoken(0, 800)) == pytest.approx(-17, abs=0.7)
    assert line.spoken(0, 800) == line.spoken(0, 800)


def test_stereo_wav_has_the_caller_left():
    with wave.open(io.BytesIO(stereo_wav(b"\x80\x00", b"\x00"))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 2)
        frames = file.readframes(2)
    values = [int.from_bytes(frames[n : n + 2], "little", signed=True) for n in range(0, 8, 2)]
    assert values == [32124, -32124, -32124, 0]
