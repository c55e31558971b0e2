"""Frames that a call is told of in batches, after they have gone on: the same as one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import commands as do
from relay.core import events as on
from tests.core.driver import HUSH, LOUD, Driver

FRAME_S = 0.02
FRAMES = st.lists(
    st.tuples(st.sampled_from([LOUD, -30.0, -45.0, HUSH, -100.0]), st.integers(0, 40)),
    min_size=1,
    max_size=60,
)
SIZES = st.lists(st.integers(1, 8), min_size=60, max_size=60)


def interrupted() -> Driver:
    """The agent speaks, and the server suspects that the caller does."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("item_1", 8000)
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 5000))
    return driver


def one_by_one(frames: list[tuple[float, int]]) -> Driver:
    driver = interrupted()
    for level_db, rises in frames:
        driver.wait(FRAME_S)
        driver.feed(on.CallerAudio("AAAA", 20, level_db, rises))
    return driver


def in_batches(frames: list[tuple[float, int]], sizes: list[int]) -> Driver:
    driver, at = interrupted(), 0
    for size in sizes:
        batch = frames[at : at + size]
        at += size
        driver.wait(FRAME_S * len(batch))
        if batch:
            mulaw = bytes(160 * len(batch))
            told = [(20, level_db, rises) for level_db, rises in batch]
            driver.feed(on.CallerPassed(mulaw, told))
    return driver


def cuts(driver: Driver) -> list[float]:
    return [at for at, command in driver.log if isinstance(command, do.ClearPhone)]


@given(FRAMES, SIZES)
def test_a_batch_is_heard_as_its_frames_would_be(frames, sizes):
    one, many = one_by_one(frames), in_batches(frames, sizes)
    assert len(cuts(one)) == len(cuts(many))
    for at, later in zip(cuts(one), cuts(many), strict=True):
        assert at <= later <= at + 8 * FRAME_S, "by its batch at the latest"
    if not cuts(one):
        heard, told = one.call._state.talk.caller.ear, many.call._state.talk.caller.ear
        assert told.floor_db == pytest.approx(heard.floor_db)
        assert told.voiced_ms(many.now) == heard.voiced_ms(one.now)
    kept, held = one.call._state.link, many.call._state.link
    assert kept.held_ms <= held.held_ms < kept.held_ms + 8 * 20


@given(FRAMES)
def test_no_quieter_frame_than_the_core_is_alert_to_would_be_a_voice(frames):
    """For what is told late: else a caller would be yielded to by a batch's time later."""
    driver = interrupted()
    for level_db, rises in frames:
        alert_db = driver.call.alert_db
        ear = driver.call._state.talk.caller.ear
        voiced = ear.frame(driver.now, 20, level_db, -100.0, rises)
        assert level_db > alert_db or not voiced
        driver.now += FRAME_S


def test_nothing_is_in_a_hurry_while_nobody_could_be_interrupted():
    driver = Driver()
    driver.greeted()
    assert driver.call.alert_db == math.inf
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    assert driver.call.alert_db < LOUD, "an answer that is being made can be taken back"
    driver.agent_says("item_1", 2000)
    assert driver.call.alert_db < LOUD


def test_a_caller_who_speaks_faster_than_time_is_no_telephone():
    driver = Driver()
    driver.greeted()
    for _ in range(200):
        driver.feed(on.CallerPassed(bytes(1280), [(20, HUSH, 0)] * 8))
    driver.wait(5)
    assert [each.reason for each in driver.sent(do.ClosePhone)] == ["phone_flood"]
