"""A clip's silence and its loudness."""

from __future__ import annotations

import pytest

from relay.audio import decode_ulaw, level_db
from relay.audio.frames import mulaw_ms, silence
from relay.shell.clip_sound import LEAD_MS, PEAK_DB, SPEECH_DB, TAIL_MS, finish
from relay.sim.ulaw import tone


def onset_ms(clip: bytes) -> int:
    return next(
        ms for ms in range(mulaw_ms(len(clip))) if level_db(clip[ms * 8 : ms * 8 + 8]) > -40
    )


@pytest.mark.parametrize("before", [100, 130, 400, 3000])
def test_a_tenth_of_a_second_of_silence_is_left_in_front(before: int) -> None:
    clip = finish(silence(before) + tone(500, 1000) + silence(900))
    assert abs(onset_ms(clip) - LEAD_MS) <= 10
    assert abs(mulaw_ms(len(clip)) - LEAD_MS - 1000 - TAIL_MS) <= 20
    assert len(clip) % 8 == 0


def test_what_has_no_silence_loses_nothing() -> None:
    assert mulaw_ms(len(finish(tone(500, 1000)))) == 1000


@pytest.mark.parametrize("db", [-45.0, -30.0, -12.0, -4.0])
def test_every_clip_is_as_loud_as_the_next(db: float) -> None:
    clip = finish(silence(300) + tone(500, 1000, db) + silence(500) + tone(500, 1000, db))
    loud = clip[LEAD_MS * 8 : LEAD_MS * 8 + 8000]
    assert level_db(loud) == pytest.approx(SPEECH_DB, abs=0.5)


def test_a_pause_is_no_reason_to_speak_up() -> None:
    paused = finish(tone(500, 1000, -10.0) + silence(5000) + tone(500, 1000, -10.0))
    assert level_db(paused[:8000]) == pytest.approx(SPEECH_DB, abs=0.5)


def test_nothing_is_driven_into_the_ceiling() -> None:
    peaky = tone(500, 3000, -46.0) + tone(500, 2, -4.0) + tone(500, 3000, -46.0)
    samples = memoryview(decode_ulaw(finish(peaky))).cast("h")
    assert max(abs(each) for each in samples) <= 32768 * 10 ** ((PEAK_DB + 0.5) / 20)


def test_silence_is_no_clip() -> None:
    assert finish(silence(2000)) == b""
    assert finish(b"") == b""
