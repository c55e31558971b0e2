"""Who yields to whom: suspicion, proof, and noises that are forgotten."""

from __future__ import annotations

import math

import pytest

from relay.core import commands as do
from relay.core import events as on
from tests.core.driver import HUSH, LOUD, MS, Driver, of

BREATH = 30  # rises in 20 ms


def talked_over(ms: int = 8000) -> Driver:
    """A call in which the agent has been speaking for a second."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", ms)
    driver.wait(1.0)
    return driver


def breathe(driver: Driver, seconds: float) -> list:
    out: list = []
    for _ in range(round(seconds * 50)):
        out += driver.wait(0.02)
        out += driver.feed(on.CallerAudio("AAAA", 20, LOUD, BREATH))
    return out


def ends(driver: Driver, item: str, words: str) -> list:
    """The server hears half a second of silence, commits, and says what the words were."""
    out = driver.hear(0.5, HUSH)
    out += driver.feed(on.SpeechStopped(item, 60_000), on.InputCommitted(item))
    return out + driver.feed(on.CallerTranscribed(item, words))


def test_a_cough_over_the_agent_is_played_through_and_forgotten():
    driver = talked_over()
    driver.feed(on.SpeechStarted("u2", 3000))
    out = breathe(driver, 0.4) + ends(driver, "u2", "")
    assert of(out, do.ClearPhone) == []
    assert of(out, do.DeleteItem) == [do.DeleteItem("u2")]
    assert of(driver.wait(10), do.CreateResponse) == []


def test_a_vowel_after_the_cough_cuts():
    driver = talked_over()
    driver.feed(on.SpeechStarted("u2", 3000))
    breathe(driver, 0.2)
    driver.hear(0.1, HUSH)
    assert of(driver.hear(0.2), do.ClearPhone) == [do.ClearPhone()]


def test_a_suspicion_that_comes_late_finds_the_proof_already_there():
    driver = talked_over()
    assert of(driver.hear(0.2) + driver.hear(0.2, HUSH), do.ClearPhone) == []
    assert of(driver.feed(on.SpeechStarted("u2", 3000)), do.ClearPhone) == [do.ClearPhone()]


def test_a_suspicion_that_comes_too_late_needs_a_new_proof():
    driver = talked_over()
    driver.hear(0.2)
    driver.hear(0.6, HUSH)
    assert of(driver.feed(on.SpeechStarted("u2", 3000)), do.ClearPhone) == []


def test_long_speech_cuts_though_the_server_has_not_noticed():
    driver = talked_over()
    assert of(driver.hear(0.38), do.ClearPhone) == []
    assert of(driver.hear(0.04), do.ClearPhone) == [do.ClearPhone()]
    assert of(driver.hear(2.0), do.ClearPhone) == []  # there is nothing more to cut
    assert of(driver.feed(on.SpeechStarted("u2", 3000)), do.ClearPhone) == []


def test_long_speech_alone_is_none_while_nothing_is_said():
    driver = Driver()
    driver.greeted()
    assert of(driver.hear(2.0), do.ClearPhone) == []
    assert driver.call.statistics().barge_ins == 0


def test_who_has_the_floor_and_goes_on_cuts_what_is_said_meanwhile():
    """The server keeps one utterance open, and a clip begins in the middle of it."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(
        on.ResponseStarted("r1", "turn"),
        on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"),
        on.SpeechStarted("u2", 3000),
    )
    assert of(driver.hear(3.0), do.ClearPhone), "the filler was cut"


@pytest.mark.parametrize(("words", "answered"), [("", False), ("Yes, please.", True)])
def test_a_noise_in_silence_waits_for_its_words(words, answered):
    driver = Driver()
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1500))
    out = breathe(driver, 0.3) + driver.hear(0.5, HUSH)
    out += driver.feed(on.SpeechStopped("u1", 60_000), on.InputCommitted("u1"))
    assert of(out, do.CreateResponse) == []
    out = driver.feed(on.CallerTranscribed("u1", words))
    assert bool(of(out, do.CreateResponse)) is answered
    assert bool(of(out, do.DeleteItem)) is not answered


def test_words_that_could_not_be_written_down_are_answered_all_the_same():
    driver = Driver()
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1500))
    breathe(driver, 0.3)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u1", 60_000), on.InputCommitted("u1"))
    out = driver.feed(on.CallerTranscribed("u1", "", failed=True))
    assert of(out, do.CreateResponse)
    assert of(out, do.DeleteItem) == []


def test_a_voice_that_was_learnt_makes_a_television_deaf_to_the_server():
    """The server takes the television for speech; 20 dB below the caller, it is not ours."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 8000)
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 3000))
    out = driver.hear(3.0, LOUD - 20) + ends(driver, "u2", "")
    assert of(out, do.ClearPhone) == []
    assert of(out, do.DeleteItem) == [do.DeleteItem("u2")]


# ---- how long callers wait ------------------------------------------------------------------


def test_an_answer_is_waited_for_from_the_end_of_speech_to_its_first_sound():
    driver = Driver()
    driver.greeted()
    for item, wait_s in (("1", 0.25), ("2", 2.0)):
        driver.caller_says(f"u{item}", words=None)
        driver.feed(on.ResponseStarted(f"r{item}"))
        driver.wait(wait_s)
        for _ in range(3):  # only the first sound of an answer ends the wait
            driver.feed(on.AgentAudio(f"r{item}", f"a{item}", bytes(800), LOUD))
            driver.wait(0.1)
        driver.feed(on.AgentAudioEnded(f"r{item}", f"a{item}"))
        driver.feed(on.ResponseEnded(f"r{item}", "completed"))
        driver.wait(1.0)
    assert driver.call.statistics().answers_s == pytest.approx((0.25, 2.0))


def test_what_the_agent_goes_on_saying_is_no_answer_to_a_noise_over_it():
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"), on.AgentAudio("r1", "a1", bytes(64_000), LOUD))
    driver.wait(1.0)
    before = driver.call.statistics().answers_s
    driver.feed(on.SpeechStarted("u2", 3000))
    breathe(driver, 0.4)
    ends(driver, "u2", "")
    driver.feed(on.AgentAudio("r1", "a1", bytes(800), LOUD))
    assert len(before) == 1
    assert driver.call.statistics().answers_s == before


# ---- one answer to what was said ------------------------------------------------------------


def looking_up() -> Driver:
    """A call in which the agent is looking something up, without a word."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(
        on.ResponseStarted("r1", "turn"),
        on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"),
        on.ResponseEnded("r1", "completed"),
    )
    return driver


def asked(driver: Driver) -> list[str]:
    return [create.purpose for create in driver.sent(do.CreateResponse)]


def test_a_result_that_comes_while_the_caller_speaks_is_told_in_the_answer_to_that():
    driver = looking_up()
    driver.hear(0.06)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.hear(0.6)
    driver.feed(on.ToolFinished("c1", "{}"))
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u2", 6500))
    assert asked(driver) == ["turn"], "its item is about to come"
    driver.feed(on.InputCommitted("u2"))
    assert asked(driver) == ["turn", "tool"]
    driver.agent_says("a2", 500, response="r2")
    driver.wait(3)
    assert asked(driver) == ["turn", "tool"]


def test_who_is_not_committed_loses_the_floor():
    driver = looking_up()
    driver.hear(0.06)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.hear(0.6)
    driver.feed(on.SpeechStopped("u2", 6500), on.ToolFinished("c1", "{}"))
    assert asked(driver) == ["turn"]
    driver.wait(1.1)
    assert asked(driver) == ["turn", "tool"]


def test_quiet_words_are_not_answered_twice():
    driver = looking_up()
    driver.hear(0.1, -45.0)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.hear(0.6, -45.0)
    driver.feed(on.SpeechStopped("u2", 6500), on.InputCommitted("u2"))
    driver.wait(0.1)
    driver.feed(on.ToolFinished("c1", "{}"))
    assert asked(driver) == ["turn", "tool"]
    driver.feed(on.CallerTranscribed("u2", "Are you there?"))
    driver.agent_says("a2", 500, response="r2")
    driver.wait(3)
    assert asked(driver) == ["turn", "tool"]


def test_what_a_lost_session_said_is_nothing_that_the_next_one_could_forget():
    """It would be told of an item that it has never had."""
    driver = talked_over()
    driver.feed(on.ModelClosed(1006))
    out = driver.hear(0.6)
    assert of(out, do.ClearPhone)
    assert not of(out, do.TruncateItem) + of(out, do.DeleteItem)


def test_nor_is_what_the_last_session_said_while_a_human_is_rung():
    driver = talked_over()
    driver.feed(on.HumanRinging("h1"), on.ModelClosed(3000))
    out = driver.feed(on.HumanAccepted("h1"))
    assert of(out, do.ClearPhone)
    assert not of(out, do.TruncateItem) + of(out, do.DeleteItem)


def test_who_answers_quietly_that_they_are_still_there_is_asked_again():
    driver = Driver()
    driver.greeted()
    driver.wait(12)
    driver.hear(0.1, -45.0)
    driver.feed(on.SpeechStarted("u1", 5000))
    driver.hear(0.6, -45.0)
    driver.feed(on.SpeechStopped("u1", 6500), on.InputCommitted("u1"))
    driver.feed(on.CallerTranscribed("u1", "Yes, I am."))
    driver.agent_says("a1", 500)
    driver.wait(17)
    asked = {sent.mark for sent in driver.sent(do.SendAudio) if "clip_still_there" in sent.mark}
    assert len({name.split(":")[1] for name in asked}) == 2
    assert not driver.sent(do.ClosePhone)


@pytest.mark.parametrize(
    ("seconds", "told"), [(8.0, "You may come on Tuesday at nine."), (1.0, "You may")]
)
def test_a_new_session_learns_what_was_still_being_said_as_far_as_it_was_heard(seconds, told):
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 8000, text="You may come on Tuesday at nine.")
    driver.wait(1.0)
    driver.feed(on.ModelClosed(1006))
    driver.wait(0.5)
    driver.feed(on.ModelOpened("s2"), on.ModelReady())
    driver.wait(seconds)
    driver.caller_says("u2")
    said = [text.text for text in driver.sent(do.AddText) if text.role == "assistant"]
    assert said[-1] == told
    assert said.count(told) == 1


# ---- what is to last, and who may be objecting ----------------------------------------------


QUIET = -45.0  # speech that is no proven voice


def about_to_book(ms: int = 2000) -> Driver:
    """The agent is telling what it will book, for so long, and is about to call for it."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"))
    if ms:
        driver.feed(on.AgentAudio("r1", "a1", bytes(ms * MS), LOUD), on.AgentAudioEnded("r1", "a1"))
    return driver


def books(driver: Driver, call_id: str = "c1", response: str = "r1", arguments: str = "{}") -> list:
    out = driver.feed(on.FunctionCalled(response, "f1", call_id, "book_appointment", arguments))
    return out + driver.feed(on.ResponseEnded(response, "completed"))


def murmurs(driver: Driver, item: str = "u2", seconds: float = 0.8) -> list:
    driver.feed(on.SpeechStarted(item, 9000))
    return driver.hear(seconds, QUIET)


def commits(driver: Driver, item: str = "u2") -> list:
    return driver.feed(on.SpeechStopped(item, 10_000)) + driver.feed(on.InputCommitted(item))


def booking_with_a_murmur() -> Driver:
    """The speech has ended while somebody may have been saying something over its end."""
    driver = about_to_book()
    books(driver)
    driver.wait(1.5)
    murmurs(driver)
    assert driver.call.alert_db == math.inf, "nobody speaks any more"
    return driver


def test_a_write_waits_for_the_words_of_who_may_be_objecting_and_is_not_done_then():
    driver = booking_with_a_murmur()
    commits(driver)
    assert not driver.sent(do.RunTool)
    out = driver.feed(on.CallerTranscribed("u2", "No, wait."))
    (output,) = of(out, do.PostToolOutput)
    assert "interrupted" in output.output
    assert of(out, do.CreateResponse) == [do.CreateResponse("turn")]
    driver.wait(6)
    assert not driver.sent(do.RunTool)


def test_words_over_speech_that_goes_on_stop_the_write_behind_it():
    driver = about_to_book(6000)
    books(driver)
    driver.wait(1.0)
    murmurs(driver)
    commits(driver)
    out = driver.feed(on.CallerTranscribed("u2", "No, wait."))
    assert not of(out, do.ClearPhone)
    assert of(out, do.PostToolOutput)
    driver.wait(8)
    assert not driver.sent(do.RunTool)


def test_a_write_is_done_once_it_is_known_that_it_was_a_noise():
    driver = booking_with_a_murmur()
    commits(driver)
    assert not driver.sent(do.RunTool)
    assert of(driver.feed(on.CallerTranscribed("u2", "")), do.RunTool)


def test_a_write_waits_for_a_noise_no_longer_than_its_time():
    driver = booking_with_a_murmur()
    began = driver.now - 0.3  # when the speech had been heard
    driver.hear(6, QUIET)
    ran = [at for at, c in driver.log if isinstance(c, do.RunTool)]
    assert ran == [pytest.approx(began + 3.0, abs=0.05)]


def test_a_write_waits_for_words_that_never_come_no_longer_than_its_time():
    driver = booking_with_a_murmur()
    commits(driver)
    driver.wait(2.7)
    assert driver.sent(do.RunTool)


def test_a_write_without_speech_before_it_waits_as_well():
    driver = about_to_book(0)
    murmurs(driver)
    assert not of(books(driver), do.RunTool)
    commits(driver)
    driver.feed(on.CallerTranscribed("u2", "No, wait."))
    assert driver.sent(do.PostToolOutput)
    assert not driver.sent(do.RunTool)


def test_a_write_that_the_model_asks_for_in_spite_of_the_words_is_done():
    """A television murmurs on: it stops a booking once, not for ever."""
    driver = booking_with_a_murmur()
    commits(driver)
    driver.feed(on.CallerTranscribed("u2", "And now the weather."))
    driver.feed(on.ResponseStarted("r2"))
    murmurs(driver, "u3")
    assert of(books(driver, "c2", "r2"), do.RunTool)


def test_who_was_heard_once_may_object_to_the_next_booking_as_well():
    driver = booking_with_a_murmur()
    commits(driver)
    driver.feed(on.CallerTranscribed("u2", "No, Wednesday."))
    driver.feed(on.ResponseStarted("r2"))
    murmurs(driver, "u3")
    books(driver, "c2", "r2", '{"day":"wednesday"}')
    commits(driver, "u3")
    driver.feed(on.CallerTranscribed("u3", "No, at ten."))
    driver.wait(4)
    assert not driver.sent(do.RunTool)


def test_the_words_of_the_wish_itself_are_no_objection_however_late():
    driver = Driver()
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1500))
    driver.hear(0.6, QUIET)
    commits(driver, "u1")
    driver.wait(2.1)
    driver.agent_says("a1", 2000, done=False)
    books(driver)
    out = driver.feed(on.CallerTranscribed("u1", "Book me in on Tuesday."))
    assert not of(out, do.PostToolOutput)
    driver.wait(1.9)
    assert not driver.sent(do.RunTool)
    driver.wait(0.2)
    assert driver.sent(do.RunTool), "nobody objects"


def test_words_that_got_lost_long_ago_hold_nothing_up():
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 3000)
    driver.wait(1)
    murmurs(driver, "u2")
    commits(driver, "u2")  # its words never come
    driver.wait(5)
    driver.caller_says("u3")
    driver.feed(on.ResponseStarted("r2"))
    assert of(books(driver, response="r2"), do.RunTool)
