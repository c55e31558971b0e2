"""A caller who waits hears something in time, whatever the model does, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay.core import commands as do
from relay.core import events as on
from tests.core.driver import HUSH, MS, Driver, of

DEAD_AIR_S = 3.5
#: The caller's last word, before the server's patience was over; and how much of it the ear misses.
HOLD_S, FRAME_S = 0.5, 0.02


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.greeted()
    return driver


def sounds(driver: Driver) -> list[tuple[float, float]]:
    """When something was to be heard: from, until."""
    spans: list[tuple[float, float]] = []
    for at, command in driver.log:
        if not isinstance(command, do.SendAudio):
            continue
        length_s = len(command.mulaw) / MS / 1000
        if spans and at <= spans[-1][1] + FRAME_S:
            spans[-1] = (spans[-1][0], spans[-1][1] + length_s)
        else:
            spans.append((at, at + length_s))
    return spans


def begins(driver: Driver, since: float) -> list[float]:
    """When sound began, since a time."""
    return [begin for begin, _ in sounds(driver) if begin >= since]


def longest_s(driver: Driver, since: float) -> float:
    """The longest silence since a time, in which nobody was to speak but us."""
    ends = [since, *(end for _, end in sounds(driver) if end > since)]
    starts = [*begins(driver, since), driver.now]
    return max(start - end for end, start in zip(ends, starts, strict=True))


def lose(driver: Driver) -> list[do.Command]:
    return driver.feed(on.ModelClosed(reason="it answers no ping"))


def come_back(driver: Driver) -> list[do.Command]:
    return driver.feed(on.ModelOpened("sess_2"), on.ModelReady())


def test_an_answer_that_is_slow_is_not_spoken_over(driver: Driver) -> None:
    driver.caller_says("u1")
    silent_at = driver.now - HOLD_S
    driver.wait(2.5)
    assert begins(driver, silent_at) == []
    driver.agent_says("a1", 500)
    driver.wait(8)
    assert len(begins(driver, silent_at)) == 1


def test_an_answer_to_a_turn_that_a_server_pondered_has_its_time(driver: Driver) -> None:
    """Whether a turn is over may take semantic VAD as long as a caller is to wait at all."""
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(1.0)
    silent_at = driver.now
    driver.hear(4.0, HUSH)
    driver.feed(on.SpeechStopped("u1", 6000), on.InputCommitted("u1"))
    driver.wait(1.4)
    assert begins(driver, silent_at) == []
    driver.wait(0.2)
    assert len(begins(driver, silent_at)) == 1


def asked(_driver: Driver) -> None:
    """Not even `response.created`."""


def started(driver: Driver) -> None:
    driver.feed(on.ResponseStarted("r1", "turn"))


def writes(driver: Driver) -> None:
    """An answer that is not spoken yet, as when a function's arguments are long."""
    started(driver)
    for n in range(20):
        driver.wait(0.4)
        driver.feed(on.AgentTranscribed("r1", f"a{n}", ""))


@pytest.mark.parametrize("then", [asked, started, writes])
def test_whoever_waits_for_an_answer_hears_that_it_takes_a_moment(
    driver: Driver, then: Callable[[Driver], None]
) -> None:
    driver.caller_says("u1")
    silent_at = driver.now - HOLD_S
    then(driver)
    driver.until(silent_at + 9)
    assert begins(driver, silent_at)[0] == pytest.approx(silent_at + DEAD_AIR_S, abs=FRAME_S)
    assert longest_s(driver, silent_at) <= DEAD_AIR_S + FRAME_S


def test_a_turn_that_is_never_committed_is_waited_for_by_a_caller_all_the_same(
    driver: Driver,
) -> None:
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(1.0)
    silent_at = driver.now
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u1", 2800))
    driver.until(silent_at + 3.6)
    assert begins(driver, silent_at) == [pytest.approx(silent_at + DEAD_AIR_S, abs=FRAME_S)]
    assert do.RetellAudio not in map(type, come_back(driver)), "it is no successor"
    lose(driver)
    out = come_back(driver) + driver.wait(2)
    assert len(of(out, do.AppendAudio)) >= 75, "all of it is told again"


def test_a_long_wait_for_the_rate_limit_is_none_in_silence(driver: Driver) -> None:
    driver.caller_says("u1")
    silent_at = driver.now - HOLD_S
    driver.feed(on.ResponseStarted("r1", "turn"))
    over = on.ResponseEnded(
        "r1",
        "failed",
        error_code="rate_limit_exceeded",
        error_message="Rate limit reached. Please try again in 9.8s.",
    )
    driver.feed(over)
    driver.wait(9.7)
    assert len(driver.sent(do.CreateResponse)) == 1
    driver.wait(1.0)
    driver.agent_says("a2", 500, response="r2")
    assert len(driver.sent(do.CreateResponse)) == 2
    driver.wait(3)
    assert longest_s(driver, silent_at) <= DEAD_AIR_S + FRAME_S
    assert len(begins(driver, silent_at)) == 4, "at once, twice, and the answer"


def test_who_was_just_told_is_not_told_again_when_the_session_is_lost(driver: Driver) -> None:
    driver.caller_says("u1")
    silent_at = driver.now - HOLD_S
    driver.until(silent_at + 3.6)
    assert not of(lose(driver), do.SendAudio)
    driver.until(silent_at + 9)
    assert len(begins(driver, silent_at)) == 2
    assert longest_s(driver, silent_at) <= DEAD_AIR_S + FRAME_S


def test_a_session_lost_while_the_caller_speaks_is_not_told_them_over_their_words(
    driver: Driver,
) -> None:
    spoken_at = driver.now
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(2.0)
    lose(driver)
    driver.hear(1.0)
    silent_at = driver.now
    assert begins(driver, spoken_at) == []
    driver.hear(3.6, HUSH)
    assert begins(driver, silent_at) == [pytest.approx(silent_at + DEAD_AIR_S, abs=2 * FRAME_S)]


@pytest.mark.parametrize("notices", [True, False])
def test_a_voice_of_which_a_lost_session_never_told_is_heard_by_the_next_one(
    driver: Driver, notices: bool
) -> None:
    """It froze before the caller spoke, so that nobody but our own ear has noticed them."""
    driver.hear(1.0)
    silent_at = driver.now
    driver.hear(2.0, HUSH)
    out = lose(driver)
    assert of(out, do.SendAudio), "one moment"
    out = come_back(driver) + driver.hear(1.0, HUSH)
    assert len(of(out, do.AppendAudio)) >= 150, "all of it is told"
    if notices:
        driver.feed(on.SpeechStarted("u1", 0), on.SpeechStopped("u1", 1800))
        driver.feed(on.InputCommitted("u1"), on.CallerTranscribed("u1", "When?"))
        driver.hear(2.0, HUSH)
        wished = ["turn"]
    else:
        driver.hear(2.0, HUSH)
        wished = ["go_on"]
    assert [each.purpose for each in driver.sent(do.CreateResponse)] == wished
    driver.hear(1.0, HUSH)
    assert longest_s(driver, silent_at) <= DEAD_AIR_S + FRAME_S


def test_a_noise_that_a_living_session_takes_for_nobody_is_waited_for_by_nobody(
    driver: Driver,
) -> None:
    heard = len(driver.played)
    driver.hear(1.0)
    driver.hear(8.0, HUSH)
    assert len(driver.played) == heard


def test_a_wish_that_comes_out_of_a_long_silence_has_its_time(driver: Driver) -> None:
    """Who pressed a key has only begun to wait."""
    driver.wait(6)
    driver.feed(on.KeyPressed("1"), on.KeyPressed("2"))
    driver.wait(1.3)
    wished_at = driver.now - 0.1
    assert driver.sent(do.CreateResponse) == [do.CreateResponse("keys")]
    driver.wait(5)
    assert begins(driver, wished_at) == [pytest.approx(wished_at + DEAD_AIR_S, abs=FRAME_S)]


def test_a_function_is_part_of_one_wait(driver: Driver) -> None:
    """Its filler counts as well, and a quick one begins no new patience."""
    driver.caller_says("u1")
    silent_at = driver.now - HOLD_S
    driver.wait(0.8)
    started(driver)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.wait(0.6)
    driver.feed(on.ToolFinished("c1", "{}"))
    driver.until(silent_at + 6)
    assert begins(driver, silent_at) == [pytest.approx(silent_at + DEAD_AIR_S, abs=FRAME_S)]


def test_who_is_leaving_is_not_asked_to_wait(driver: Driver) -> None:
    driver.caller_says("u1")
    driver.feed(on.ModelClosed(3000, "invalid_api_key"))
    silent_at = driver.now
    driver.wait(20)
    assert len(begins(driver, silent_at)) == 1, "the apology"
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_refused")]
