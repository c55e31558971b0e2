"""Lengths of mu-law."""

from __future__ import annotations

import pytest

from relay.audio import SILENCE_DB, level_db
from relay.audio.frames import mulaw_ms, silence


@pytest.mark.parametrize(("n_bytes", "ms"), [(0, 0), (7, 0), (8, 1), (160, 20), (167, 20)])
def test_milliseconds_are_whole(n_bytes: int, ms: int) -> None:
    assert mulaw_ms(n_bytes) == ms


@pytest.mark.parametrize("ms", [0, 1, 20, 60_000])
def test_silence_is_as_long_as_asked_and_silent(ms: int) -> None:
    assert mulaw_ms(len(silence(ms))) == ms
    assert level_db(silence(ms)) == SILENCE_DB


def test_no_silence_is_shorter_than_none() -> None:
    assert silence(-5) == b""
