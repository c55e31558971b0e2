"""What stands between `start` and the first turn: held audio, and who speaks first."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.model_link import FLUSH_MS, FLUSH_PACE
from tests.core.driver import HUSH, Driver, of

FRAME_S = 0.02


def listen(driver: Driver, seconds: float, first: int = 0) -> int:
    """The caller's line for a while, each frame with its own number. Returns the next one."""
    frames = round(seconds / FRAME_S)
    for n in range(first, first + frames):
        driver.wait(FRAME_S)
        driver.feed(on.CallerAudio(f"frame{n}", 20, HUSH))
    return first + frames


def told(driver: Driver) -> list[tuple[float, int]]:
    """When the model was told which frame."""
    return [
        (at, int(command.audio.removeprefix("frame")))
        for at, command in driver.log
        if isinstance(command, do.AppendAudio)
    ]


# ---- what the caller said before the model was there ----------------------------------------


def test_what_was_held_is_told_in_order_with_what_is_said_meanwhile_behind_it() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 4.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    listen(driver, 3.0, said)
    assert [n for _, n in told(driver)] == list(range(350))


def test_what_was_held_is_told_at_four_times_the_speed_of_speech_at_most() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 4.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    ready_at = driver.now
    listen(driver, 3.0, said)
    for index, (at, _) in enumerate(told(driver), 1):
        assert index * 20 <= FLUSH_MS + (at - ready_at) * 1000 * FLUSH_PACE + 0.001
    # 4 s and what is said while they are told: a third more than 1 s.
    caught_up = next(at for (at, n), (_, m) in pairwise(told(driver)) if m == n + 1 and n >= 265)
    assert caught_up - ready_at == pytest.approx(4 / 3, abs=0.1)


def test_once_it_has_caught_up_the_model_hears_every_frame_at_once() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 1.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    said = listen(driver, 1.0, said)
    driver.wait(FRAME_S)
    assert driver.feed(on.CallerAudio(f"frame{said}", 20, HUSH)) == [do.AppendAudio(f"frame{said}")]


def test_a_session_that_dies_while_it_is_told_leaves_all_to_the_next_one() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 3.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    said = listen(driver, 0.2, said)
    driver.feed(on.ModelClosed(1006))
    said = listen(driver, 0.5, said)
    before = len(told(driver))
    assert before < said
    assert not of(driver.wait(0.02), do.AppendAudio)
    driver.feed(on.ModelOpened("sess_2"), on.ModelReady())
    driver.wait(2.0)
    assert [n for _, n in told(driver)[before:]] == list(range(said))


def test_a_caller_who_is_gone_is_not_told_to_anybody() -> None:
    driver = Driver()
    driver.start(ready=False)
    listen(driver, 3.0)
    driver.feed(on.ModelOpened(), on.ModelReady(), on.PhoneClosed())
    driver.wait(5)
    assert len(told(driver)) * 20 <= 2 * FLUSH_MS
    assert driver.sent(do.EndCall)
