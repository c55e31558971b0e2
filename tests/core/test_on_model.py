"""What the model's session brings: no answer of its is a reason for silence, nor for two."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.phases import Phase
from tests.core.driver import MS, Driver, of

BUSY = on.ModelErrored("conversation_already_has_active_response", "…")


@pytest.fixture
def driver() -> Driver:
    driver = Driver(hard_model=True)
    driver.greeted()
    driver.caller_says("u1")
    return driver


def calls(driver: Driver, name: str, n: int, *, ms: int = 0) -> list[do.Command]:
    """A response that calls a function, and says something before if ms."""
    response = f"r{n}"
    out = driver.feed(on.ResponseStarted(response, "turn"))
    if ms:
        out += driver.feed(on.AgentAudio(response, f"a{n}", bytes(ms * MS), -20.0))
        out += driver.feed(on.AgentAudioEnded(response, f"a{n}"))
    out += driver.feed(on.FunctionCalled(response, f"f{n}", f"c{n}", name, "{}"))
    return out + driver.feed(on.ResponseEnded(response, "completed"))


def take_over(driver: Driver) -> list[do.Command]:
    driver.wait(0.1)
    return driver.feed(on.ModelOpened(), on.ModelReady())


# ---- a server that is busy with something else --------------------------------------------------


def test_a_server_that_is_always_busy_is_asked_now_and_then_and_given_up(driver: Driver) -> None:
    began, asked = driver.now, 1
    while not driver.sent(do.CloseModel) and driver.now < began + 30:
        if len(driver.sent(do.CreateResponse)) == asked:
            asked += 1
            driver.feed(BUSY)
        driver.wait(0.05)
    assert driver.sent(do.CloseModel) == [do.CloseModel("model_stalled")]
    assert driver.now - began == pytest.approx(6.0, abs=0.6)
    assert asked <= 14, "not as fast as the line allows"
    assert of(take_over(driver), do.CreateResponse) == [do.CreateResponse("turn")]


def test_a_server_that_is_busy_for_a_moment_answers_once(driver: Driver) -> None:
    driver.feed(BUSY, BUSY)
    driver.wait(0.6)
    driver.agent_says("a1", 500)
    driver.wait(5)
    assert len(driver.sent(do.CreateResponse)) == 3
    assert not driver.sent(do.CloseModel)


def test_a_refusal_of_what_was_not_asked_for_asks_for_nothing(driver: Driver) -> None:
    driver.agent_says("a1", 500)
    driver.wait(1)
    driver.feed(BUSY)
    driver.wait(2)
    assert len(driver.sent(do.CreateResponse)) == 1


def test_a_wish_that_was_dropped_leaves_the_next_one_its_time(driver: Driver) -> None:
    driver.feed(BUSY, BUSY)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.hear(0.4)
    driver.hear(8.0, -70.0)
    driver.feed(on.SpeechStopped("u2", 14_000), on.InputCommitted("u2"))
    assert not driver.sent(do.CloseModel)
    assert len(driver.sent(do.CreateResponse)) == 3


# ---- the larger model ---------------------------------------------------------------------------


def test_who_asks_for_the_larger_model_and_is_it_goes_on_itself(driver: Driver) -> None:
    calls(driver, "ask_larger_model", 1)
    take_over(driver)
    asked = len(driver.sent(do.CreateResponse))
    calls(driver, "ask_larger_model", 2, ms=500)
    assert "no larger model" in driver.sent(do.PostToolOutput)[-1].output
    assert len(driver.sent(do.CreateResponse)) == asked + 1
    assert len(driver.sent(do.DialModel)) == 2


def test_no_larger_model_is_dialled_for_who_is_leaving() -> None:
    driver = Driver(hard_model=True, max_call_s=5.0, overtime_s=0.0)
    driver.greeted()
    driver.caller_says("u1")
    calls(driver, "lookup_hours", 1)
    driver.feed(on.ToolFinished("c1", "{}", ok=False))
    calls(driver, "lookup_hours", 2)
    driver.until(5.1)
    assert driver.call.phase is Phase.LEAVING
    driver.feed(on.ToolFinished("c2", "{}", ok=False))
    driver.wait(5)
    assert len(driver.sent(do.DialModel)) == 1
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "max_call")]


def test_the_last_words_of_who_has_gone_are_not_lost_to_the_larger_model() -> None:
    driver = Driver(hard_model=True)
    driver.greeted()
    driver.caller_says("u1", words=None)
    calls(driver, "lookup_hours", 1)
    driver.feed(on.ToolFinished("c1", "{}", ok=False))
    calls(driver, "lookup_hours", 2)
    driver.feed(on.PhoneClosed())
    driver.feed(on.ToolFinished("c2", "{}", ok=False))
    driver.wait(0.5)
    assert of(driver.feed(on.CallerTranscribed("u1", "Are you open?")), do.Keep)


# ---- functions ----------------------------------------------------------------------------------


def test_a_model_that_calls_what_there_is_not_again_and_again_is_taken_for_a_stall(
    driver: Driver,
) -> None:
    for n in (1, 2):
        calls(driver, "no_such_thing", n)
    assert do.CloseModel("model_stalled") in driver.sent(do.CloseModel)


def test_what_a_greeting_that_broke_off_called_upon_is_answered() -> None:
    driver = Driver(live="Hi.")
    driver.start()
    driver.feed(on.ResponseStarted("r1", "greeting"))
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "end_call", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    assert [c.call_id for c in driver.sent(do.PostToolOutput)] == ["c1"]
    driver.wait(2)
    driver.caller_says("u1")
    calls(driver, "end_call", 2, ms=500)
    assert driver.call.phase is Phase.LEAVING, "and nothing stands in the way of another"


@pytest.mark.parametrize("ok", [False, True])
def test_a_result_that_comes_between_two_sessions_is_told_to_the_second_once(
    driver: Driver, ok: bool
) -> None:
    calls(driver, "book_appointment", 1)
    driver.feed(on.ModelClosed(1006))
    output = '{"id":7}' if ok else '{"error":"taken"}'
    driver.feed(on.ToolFinished("c1", output, ok=ok))
    assert not [c for c in driver.sent(do.AddText) if output in c.text], "there is nobody to tell"
    told = [c.text for c in of(take_over(driver), do.AddText) if output in c.text]
    assert told == [f"book_appointment({{}}) has returned: {output}"]


# ---- silences -----------------------------------------------------------------------------------


def test_a_model_that_falls_silent_in_mid_sentence_is_followed_before_the_line_is_long_dry(
    driver: Driver,
) -> None:
    driver.feed(on.ResponseStarted("r1"), on.AgentAudio("r1", "a1", bytes(1000 * MS), -20.0))
    silent_since = driver.now + 1.0
    driver.until(silent_since + 3.1)
    assert do.CloseModel("model_stalled") in driver.sent(do.CloseModel)
    sounds = [at for at, c in driver.log if isinstance(c, do.SendAudio) and at > silent_since]
    assert min(sounds) - silent_since <= 3.1


def test_who_asked_us_to_wait_is_asked_once_whether_they_are_still_there() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"))
    calls(driver, "wait_for_caller", 1)
    driver.wait(150)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "idle")]


def test_words_that_were_lost_long_ago_have_no_successor_hear_all_again() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.agent_says("a1", 500)
    driver.hear(8.0, -70.0)
    driver.caller_says("u2")
    driver.agent_says("a2", 500, response="r2")
    driver.hear(3.0, -70.0)
    driver.feed(on.ModelClosed(1006))
    assert driver.call.statistics().held_audio_ms < 1000


def test_an_answer_that_is_owed_is_asked_for_though_words_were_lost_long_ago() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.agent_says("a1", 500)
    driver.wait(9)
    driver.caller_says("u2")
    driver.feed(on.ModelClosed(1006))
    assert of(take_over(driver), do.CreateResponse) == [do.CreateResponse("turn")]
