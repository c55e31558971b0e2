"""Speech that the server does not end: a dictation, a tape, a noise behind who has finished."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.phases import Phase
from relay.core.records import TranscriptLine
from tests.core.driver import HUSH, LOUD, MS, Driver, of

NOISE = -45.0


def speaking(seconds: float, *, noise_s: float = 0.0) -> Driver:
    """A caller speaks for so long, and then there is a noise, and the server tells no end of it."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 500)
    driver.wait(1.0)
    driver.hear(0.06)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.hear(seconds)
    driver.hear(noise_s, NOISE)
    return driver


def asked(driver: Driver) -> int:
    return len(driver.sent(do.CreateResponse))


def commits(driver: Driver, item: str = "u2", words: str | None = "Words.") -> list[do.Command]:
    """The server makes an item of what it was told to."""
    out = driver.feed(on.InputCommitted(item))
    if words is not None:
        out += driver.feed(on.CallerTranscribed(item, words))
    return out


def answers(driver: Driver, n: int, ms: int = 2000, *, ends: bool = False) -> None:
    driver.feed(on.ResponseStarted(f"r{n}", "turn"))
    driver.feed(on.AgentAudio(f"r{n}", f"a{n}", bytes(ms * MS), -20.0))
    driver.feed(on.AgentAudioEnded(f"r{n}", f"a{n}"))
    if ends:
        driver.feed(on.FunctionCalled(f"r{n}", "f", f"c{n}", "end_call", "{}"))
    driver.feed(on.ResponseEnded(f"r{n}", "completed"))


# ---- no pause at all -------------------------------------------------------------------------


def test_who_dictates_is_not_interrupted() -> None:
    driver = speaking(40)
    assert not driver.sent(do.CommitAudio)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u2", 46_000), on.InputCommitted("u2"))
    assert asked(driver) == 2


def test_a_tape_is_cut_in_on_and_hung_up_on() -> None:
    driver = speaking(45.3)
    at = [at for at, c in driver.log if isinstance(c, do.CommitAudio)]
    began = next(at for at, c in driver.log if isinstance(c, do.CreateResponse))
    assert at == [pytest.approx(began + 46.0, abs=1.5)]
    assert of(driver.wait(0), do.CreateResponse) == []
    told = [c.text for c in driver.sent(do.AddText) if "without a pause" in c.text]
    assert len(told) == 1
    assert asked(driver) == 1, "its item is about to come"
    assert of(commits(driver), do.CreateResponse) == [do.CreateResponse("turn")]
    answers(driver, 2, ends=True)
    driver.hear(6)
    assert not driver.sent(do.ClearPhone), "what was to be said was heard"
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_a_tape_to_which_the_agent_does_not_say_goodbye_is_left_as_a_silence_is() -> None:
    driver = speaking(45.3)
    commits(driver)
    answers(driver, 2)
    driver.hear(45)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "idle")]


@pytest.mark.parametrize("stopped", ["u2", "u3"])
def test_who_falls_silent_for_it_is_answered(stopped: str) -> None:
    """Whether the server ends what it once began, or what it has begun since."""
    driver = speaking(45.3)
    commits(driver)
    answers(driver, 2)
    driver.hear(1.0)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped(stopped, 54_000))
    commits(driver, "u3", "Yes, that is it.")
    assert asked(driver) == 3
    driver.wait(4)
    assert asked(driver) == 3
    lines = [line.heard_text for line in driver.kept(TranscriptLine) if line.speaker == "caller"]
    assert lines[-2:] == ["Words.", "Yes, that is it."]


def test_a_server_that_takes_the_rest_for_something_new_does_not_stop_the_agent() -> None:
    driver = speaking(45.3)
    commits(driver)
    driver.feed(on.SpeechStarted("u3", 51_000))
    driver.hear(0.5)
    answers(driver, 2)
    driver.hear(3)
    assert not driver.sent(do.ClearPhone) + driver.sent(do.CancelResponse)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u3", 56_000))
    commits(driver, "u3", "Yes, that is it.")
    assert asked(driver) == 3


def test_a_server_that_makes_no_item_of_it_is_asked_for_an_answer_all_the_same() -> None:
    driver = speaking(45.3)
    driver.feed(on.ModelErrored("input_audio_buffer_commit_empty", "no"))
    driver.hear(1.1)
    assert asked(driver) == 2
    answers(driver, 2)
    driver.hear(3)
    assert not driver.sent(do.ClearPhone)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u2", 56_000))
    commits(driver)
    assert asked(driver) == 3, "and for one when it ends"


def test_an_item_by_another_name_is_the_one_that_was_asked_for() -> None:
    driver = speaking(45.3)
    commits(driver, "u9")
    assert asked(driver) == 2
    assert driver.kept(TranscriptLine)[-1].heard_text == "Words."
    assert "commit_without_speech" not in driver.notes()


def test_what_is_said_in_a_pause_of_the_records_is_not_kept_under_a_name_that_comes_later() -> None:
    driver = speaking(45.3)
    driver.feed(on.PauseAsked())
    commits(driver)
    answers(driver, 2)
    driver.hear(3)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u3", 56_000), on.ResumeAsked())
    driver.wait(1)
    commits(driver, "u3", "4111 1111 1111 1111")
    lines = [line.heard_text for line in driver.kept(TranscriptLine)]
    assert not [text for text in lines if "4111" in text]


# ---- a noise behind the caller ----------------------------------------------------------------


def test_who_has_finished_before_a_noise_that_goes_on_is_answered() -> None:
    driver = speaking(1.0, noise_s=3.5)
    assert not driver.sent(do.CommitAudio)
    driver.hear(1.0, NOISE)
    assert len(driver.sent(do.CommitAudio)) == 1
    assert asked(driver) == 1
    commits(driver)
    assert asked(driver) == 2
    assert not [c for c in driver.sent(do.AddText) if "without a pause" in c.text]


def test_whoever_may_be_speaking_under_the_greeting_has_as_long_behind_it() -> None:
    driver = Driver(clip_ms=8000)
    driver.start()
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(1.0)
    driver.hear(8.0, -34.0)
    assert driver.call.phase is Phase.TALKING
    driver.hear(2.0, -34.0)
    assert not driver.sent(do.CommitAudio)
    driver.hear(2.5, -34.0)
    assert driver.sent(do.CommitAudio)


def test_and_so_is_what_they_say_next_in_that_noise() -> None:
    driver = speaking(1.0, noise_s=4.5)
    commits(driver)
    answers(driver, 2, 4000)
    driver.hear(1.0, NOISE)
    driver.hear(0.6)
    assert driver.sent(do.ClearPhone), "they may interrupt"
    driver.hear(4.5, NOISE)
    assert len(driver.sent(do.CommitAudio)) == 2
    commits(driver, "u3")
    assert asked(driver) == 3
    lines = [line for line in driver.kept(TranscriptLine) if line.speaker == "caller"]
    assert len(lines) == 3


def test_one_more_thing_in_a_noise_takes_a_hang_up_back() -> None:
    driver = speaking(1.0, noise_s=4.5)
    commits(driver)
    answers(driver, 2, 1000, ends=True)
    driver.hear(0.5, NOISE)
    driver.hear(0.6)
    assert driver.call.phase is Phase.TALKING


def test_a_noise_alone_is_forgotten_and_keeps_nobody_on_the_line() -> None:
    driver = Driver()
    driver.greeted()
    driver.hear(0.1, NOISE)
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(45.5, NOISE)
    assert len(driver.sent(do.CommitAudio)) == 1
    out = commits(driver, "u1", "")
    assert of(out, do.DeleteItem) == [do.DeleteItem("u1")]
    driver.hear(30, NOISE)
    assert not driver.sent(do.CreateResponse)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "idle")]


def test_nothing_is_committed_to_a_session_that_is_gone() -> None:
    driver = speaking(20)
    driver.feed(on.ModelClosed(1006))
    driver.hear(4)
    driver.feed(on.ModelOpened(), on.ModelReady())
    driver.hear(30, LOUD)
    assert not driver.sent(do.CommitAudio), "the next one has begun to hear nothing yet"
