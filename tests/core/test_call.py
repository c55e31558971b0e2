"""What a caller hears, what the model is told and what is written, call by call."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.phases import TRANSITIONS, Phase
from relay.core.records import CallEnded, CallOpened, SpendAdded, ToolCalled, TranscriptLine
from tests.core.driver import HUSH, MS, Driver, of


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ---- greeting -------------------------------------------------------------------------------


def test_the_greeting_goes_out_before_the_model_is_dialled(driver: Driver) -> None:
    commands = driver.start(ready=False)
    kinds = [type(c) for c in commands]
    assert kinds[0] is do.SendAudio
    assert kinds.index(do.SendAudio) < kinds.index(do.DialModel)
    assert driver.kept(CallOpened)[0].caller == "+15550001"


def test_the_model_learns_what_the_caller_heard_then_what_the_caller_said(driver: Driver) -> None:
    driver.start(ready=False)
    driver.hear(0.1)
    commands = driver.feed(on.ModelOpened(), on.ModelReady())
    assert [type(c) for c in commands] == [
        do.ConfigureModel,
        do.AddText,
        *[do.AppendAudio] * 5,
    ]
    assert commands[1] == do.AddText("assistant", "The greeting clip.")


def test_held_audio_is_bounded_and_the_oldest_goes_first(driver: Driver) -> None:
    driver = Driver(hold_audio_ms=60)
    driver.start(ready=False)
    for n in range(5):
        driver.wait(0.02)
        driver.feed(on.CallerAudio(f"frame{n}", 20, HUSH))
    driver.feed(on.ModelOpened(), on.ModelReady())
    assert [c.audio for c in driver.sent(do.AppendAudio)] == ["frame2", "frame3", "frame4"]
    assert driver.call.statistics().dropped_audio_ms == 40


def test_a_hello_into_the_greeting_neither_cuts_it_nor_gets_an_answer(driver: Driver) -> None:
    driver = Driver(clip_ms=3000)
    driver.start()
    driver.caller_says("u1", 0.5, words="Hello?")
    driver.wait(5)
    assert not driver.sent(do.ClearPhone)
    assert not driver.sent(do.CreateResponse)


def test_a_question_into_the_greeting_is_answered_after_its_mark(driver: Driver) -> None:
    driver = Driver(clip_ms=4000)
    driver.start()
    driver.caller_says("u1", 1.5)
    assert not driver.sent(do.CreateResponse)
    driver.wait(5)
    at = next(at for at, c in driver.log if isinstance(c, do.CreateResponse))
    assert at == pytest.approx(4.0, abs=0.05)
    assert not driver.sent(do.ClearPhone)


def test_nothing_is_written_of_what_was_said_before_the_notice(driver: Driver) -> None:
    driver = Driver(echo=False, clip_ms=2000)
    driver.start()
    driver.caller_says("u1", 1.0, words="My secret.")
    driver.wait(1)
    driver.feed(on.PhoneClosed())
    driver.wait(5)
    assert not driver.kept(TranscriptLine)
    assert driver.kept(CallEnded)[0].notice_heard is False


def test_a_mark_that_is_lost_does_not_prove_the_notice(driver: Driver) -> None:
    driver = Driver(echo=False)
    driver.start()
    driver.wait(4)
    assert driver.call.phase is Phase.TALKING
    driver.caller_says("u1")
    driver.feed(on.PhoneClosed())
    assert not driver.kept(TranscriptLine)


# ---- turns ----------------------------------------------------------------------------------


def test_a_turn_from_speech_to_a_heard_answer(driver: Driver) -> None:
    driver.greeted()
    commands = driver.caller_says("u1", words="When do you open?")
    assert of(commands, do.CreateResponse) == [do.CreateResponse("turn")]
    driver.agent_says("a1", 2000, text="We open at nine.")
    driver.wait(3)
    lines = driver.kept(TranscriptLine)
    assert [(x.speaker, x.heard_text, x.interrupted) for x in lines] == [
        ("agent", "The greeting clip.", False),
        ("caller", "When do you open?", False),
        ("agent", "We open at nine.", False),
    ]
    assert [x.position for x in lines] == [0, 1, 2]
    assert len(driver.played) == (1000 + 2000) * MS


def test_one_response_at_a_time_and_the_wish_is_kept(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(
        on.ModelErrored("conversation_already_has_active_response", "wait"),
    )
    # The refused wish goes out again at once, since no other response is known to be active.
    assert len(driver.sent(do.CreateResponse)) == 2
    driver.feed(on.ResponseStarted("r0", ""))
    driver.caller_says("u2")
    assert len(driver.sent(do.CreateResponse)) == 2
    driver.feed(on.ResponseEnded("r0", "cancelled"))
    assert len(driver.sent(do.CreateResponse)) == 3


def test_an_incomplete_response_is_continued(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 500, done=False)
    commands = driver.feed(on.ResponseEnded("r1", "incomplete", "max_output_tokens"))
    assert of(commands, do.CreateResponse) == [do.CreateResponse("continue")]


def test_a_rate_limited_response_waits_as_told_and_the_caller_hears_so(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    played = len(driver.played)
    driver.feed(
        on.ResponseEnded(
            "r1",
            "failed",
            error_code="rate_limit_exceeded",
            error_message="Rate limit reached. Please try again in 3.5s. See …",
        )
    )
    asked_at = driver.now
    assert len(driver.played) > played
    driver.wait(3.4)
    assert len(driver.sent(do.CreateResponse)) == 1
    driver.wait(0.2)
    retry = [at for at, c in driver.log if c == do.CreateResponse("retry")]
    assert retry == [pytest.approx(asked_at + 3.5, abs=0.01)]


def test_two_failures_in_a_row_go_to_a_human(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    for response in ("r1", "r2"):
        driver.feed(on.ResponseStarted(response), on.ResponseEnded(response, "failed"))
        driver.wait(2)
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "response_failed")]
    assert driver.played.endswith(bytes(1000 * MS))


def test_speech_that_is_no_proven_voice_is_answered_even_if_its_words_never_come(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(0.5, -60.0)
    driver.feed(on.SpeechStopped("u1", 2500), on.InputCommitted("u1"))
    assert not driver.sent(do.CreateResponse)
    driver.wait(1.9)
    assert not driver.sent(do.CreateResponse)
    driver.wait(0.2)
    assert driver.sent(do.CreateResponse) == [do.CreateResponse("turn")]
    driver.feed(on.CallerTranscribed("u1", "So there were words."))
    driver.wait(1)
    assert len(driver.sent(do.CreateResponse)) == 1


def test_a_server_that_owns_the_turns_is_not_asked_for_them(driver: Driver) -> None:
    driver = Driver(server_turns=True)
    driver.greeted()
    driver.caller_says("u1")
    assert not driver.sent(do.CreateResponse)
    driver.agent_says("a1", 500)
    call_function(driver, "lookup_hours", "r2")
    driver.feed(on.ToolFinished("c1", "{}"))
    assert driver.sent(do.CreateResponse) == [do.CreateResponse("tool")]


# ---- barge-in -------------------------------------------------------------------------------


def test_confirmed_speech_cuts_and_the_model_forgets_what_was_not_heard(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 8000, text="one two three four five six seven eight")
    driver.wait(2.0)
    commands = driver.hear(0.1) + driver.feed(on.SpeechStarted("u2", 9000)) + driver.hear(0.3)
    assert len(of(commands, do.ClearPhone)) == 1
    (truncate,) = of(commands, do.TruncateItem)
    cut_at = next(at for at, c in driver.log if isinstance(c, do.ClearPhone))
    began = next(at for at, c in driver.log if isinstance(c, do.CreateResponse))
    assert truncate.item_id == "a1"
    assert truncate.audio_end_ms == pytest.approx((cut_at - began) * 1000, abs=20)
    assert not of(commands, do.CancelResponse)  # the response was long done
    line = driver.kept(TranscriptLine)[-1]
    assert line.interrupted
    assert line.heard_text == "one two"


def test_a_cut_in_mid_response_cancels_it_and_drops_what_still_comes(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"), on.AgentAudio("r1", "a1", bytes(3000 * MS), -20.0))
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.3)
    assert driver.sent(do.CancelResponse) == [do.CancelResponse("r1")]
    played = len(driver.played)
    driver.feed(
        on.AgentAudio("r1", "a1", bytes(1000 * MS), -20.0),
        on.AgentAudio("r1", "a2", bytes(1000 * MS), -20.0),
        on.ResponseEnded("r1", "cancelled", "client_cancelled"),
    )
    driver.wait(2)
    assert len(driver.played) == played


def test_an_item_that_was_never_started_is_deleted(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 3000, done=False)
    driver.feed(on.AgentAudio("r1", "a2", bytes(2000 * MS), -20.0), on.AgentAudioEnded("r1", "a2"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.3)
    assert [c.item_id for c in driver.sent(do.TruncateItem)] == ["a1"]
    assert driver.sent(do.DeleteItem) == [do.DeleteItem("a2")]


def test_noise_over_the_agent_neither_cuts_nor_stays_in_the_conversation(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 4000)
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.3, -48.0)  # the server's VAD was fooled; our meter is not
    driver.feed(on.SpeechStopped("u2", 10_000), on.InputCommitted("u2"))
    driver.feed(on.CallerTranscribed("u2", ""))
    driver.wait(4)
    assert not driver.sent(do.ClearPhone)
    assert driver.sent(do.DeleteItem) == [do.DeleteItem("u2")]
    assert len(driver.sent(do.CreateResponse)) == 1


def test_our_own_echo_does_not_cut(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 6000)  # at -20 dBFS
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(1.0, -35.0)
    assert not driver.sent(do.ClearPhone)


def test_nothing_unheard_nothing_cut(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 500)
    driver.wait(1.0)
    driver.caller_says("u2")
    assert not driver.sent(do.ClearPhone)
    assert not driver.sent(do.TruncateItem)
    assert not driver.sent(do.CancelResponse)


def test_speech_before_the_first_audio_cancels_the_response_that_was_thinking(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.3)
    commands = driver.feed(on.ResponseStarted("r1", "turn"))
    assert of(commands, do.CancelResponse) == [do.CancelResponse("r1")]


def test_a_stale_mark_changes_nothing(driver: Driver) -> None:
    driver.greeted()
    before = driver.call.statistics()
    for name in ("7:a1:100", "0:a1:100", "nonsense", "0::", "0:a1:x", ":::"):
        assert driver.feed(on.MarkEchoed(name)) == [do.Note("stale_mark", name)]
    assert driver.call.statistics() == before


# ---- functions ------------------------------------------------------------------------------


def call_function(driver: Driver, name: str, response: str = "r1", call_id: str = "c1") -> list:
    out = driver.feed(on.ResponseStarted(response, "turn"))
    out += driver.feed(on.FunctionCalled(response, "f1", call_id, name, '{"day":"monday"}'))
    return out + driver.feed(on.ResponseEnded(response, "completed"))


def test_a_read_runs_at_once_and_its_answer_is_spoken(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    commands = call_function(driver, "lookup_hours")
    assert of(commands, do.RunTool) == [do.RunTool("c1", "lookup_hours", '{"day":"monday"}')]
    commands = driver.feed(on.ToolFinished("c1", '{"open":[]}'))
    assert of(commands, do.PostToolOutput) == [do.PostToolOutput("c1", '{"open":[]}')]
    assert of(commands, do.CreateResponse) == [do.CreateResponse("tool")]
    assert [row.status for row in driver.kept(ToolCalled)] == ["running", "ok"]


def test_several_functions_in_one_response_make_one_answer(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(
        on.ResponseStarted("r1"),
        on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"),
        on.FunctionCalled("r1", "f2", "c2", "lookup_hours", "{}"),
        on.ToolFinished("c1", "{}"),
        on.ResponseEnded("r1", "completed"),
    )
    assert len(driver.sent(do.CreateResponse)) == 1
    driver.feed(on.ToolFinished("c2", "{}"))
    assert len(driver.sent(do.CreateResponse)) == 2


def test_a_write_waits_until_the_speech_before_it_was_heard(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 2000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "book_appointment", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    began = driver.now
    driver.wait(3)
    ran = [at for at, c in driver.log if isinstance(c, do.RunTool)]
    assert ran == [pytest.approx(began + 2.0, abs=0.05)]


def test_a_cut_before_a_write_has_begun_prevents_it(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 4000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "book_appointment", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.wait(1)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.3)
    driver.wait(6)
    assert not driver.sent(do.RunTool)
    (output,) = driver.sent(do.PostToolOutput)
    assert "interrupted" in output.output
    assert driver.kept(ToolCalled)[-1].status == "cancelled"


def test_a_slow_tool_gets_a_filler_then_pending_then_its_late_result(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.wait(2)
    played = len(driver.played)
    call_function(driver, "lookup_hours")
    driver.wait(0.8)
    assert len(driver.played) > played  # "one moment"
    driver.wait(2.5)
    (output,) = driver.sent(do.PostToolOutput)
    assert "pending" in output.output
    assert driver.sent(do.CreateResponse)[-1] == do.CreateResponse("tool")
    driver.agent_says("a2", 500, response="r2")
    driver.wait(1)
    commands = driver.feed(on.ToolFinished("c1", '{"open":[]}'))
    (text,) = of(commands, do.AddText)
    assert '{"open":[]}' in text.text
    assert of(commands, do.CreateResponse) == [do.CreateResponse("tool")]


def test_an_unknown_function_is_answered_at_once(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    commands = call_function(driver, "launch_rocket")
    assert "unknown_function" in of(commands, do.PostToolOutput)[0].output
    assert of(commands, do.CreateResponse) == [do.CreateResponse("tool")]
    assert not of(commands, do.RunTool)


def test_a_repeated_function_call_is_answered_once(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    event = on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}")
    driver.feed(on.ResponseStarted("r1"), event, event)
    driver.feed(on.ToolFinished("c1", "{}"), on.ToolFinished("c1", "{}"))
    assert len(driver.sent(do.RunTool)) == 1
    assert len(driver.sent(do.PostToolOutput)) == 1


# ---- leaving --------------------------------------------------------------------------------


def goodbye(driver: Driver, name: str = "end_call") -> None:
    driver.greeted()
    driver.caller_says("u1", words="Bye.")
    driver.agent_says("a1", 1000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", name, '{"reason":"done"}'))
    driver.feed(on.ResponseEnded("r1", "completed"))


def test_a_goodbye_is_heard_to_its_end_before_the_call_is_ended(driver: Driver) -> None:
    goodbye(driver)
    began = driver.now
    driver.wait(5)
    closed = [at for at, c in driver.log if isinstance(c, do.ClosePhone)]
    assert closed == [pytest.approx(began + 1.0 + 1.5, abs=0.05)]
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]
    driver.feed(on.PhoneClosed(1000))
    assert isinstance(driver.log[-1][1], do.EndCall)
    (end,) = driver.kept(CallEnded)
    assert (end.outcome, end.reason) == ("resolved", "agent_ended")


def test_one_more_thing_takes_the_hang_up_back(driver: Driver) -> None:
    goodbye(driver)
    driver.wait(1.5)
    driver.caller_says("u2", words="Oh, one more thing.")
    assert driver.call.phase is Phase.TALKING
    assert driver.sent(do.CreateResponse)[-1] == do.CreateResponse("turn")
    driver.wait(5)
    assert not driver.sent(do.ClosePhone)


def test_other_keys_reach_the_model_as_text(driver: Driver) -> None:
    driver.greeted()
    for key in "407":
        driver.feed(on.KeyPressed(key))
        driver.wait(0.3)
    commands = driver.wait(1.5)
    assert [c.text for c in of(commands, do.AddText)] == ["(The caller pressed the keys: 407)"]
    assert of(commands, do.CreateResponse)


def test_silence_is_asked_about_and_then_left(driver: Driver) -> None:
    driver.greeted()
    played = len(driver.played)
    quiet_since = 1.0  # the greeting's end
    driver.until(quiet_since + 10.1)
    assert len(driver.played) > played
    driver.until(quiet_since + 40)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "idle")]
    at = next(at for at, c in driver.log if isinstance(c, do.ClosePhone))
    assert at == pytest.approx(quiet_since + 25 + 1 + 1 + 1.5, abs=0.2)


def test_the_longest_call_ends_with_words(driver: Driver) -> None:
    driver = Driver(max_call_s=5.0)
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 5000)
    driver.until(20)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "max_call")]
    assert len(driver.played) == (1000 + 5000 + 1000) * MS


def test_a_caller_who_fetches_a_calendar_is_left_in_peace(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1", words="Let me get my calendar.")
    driver.agent_says("a1", 1000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "wait_for_caller", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    (output,) = driver.sent(do.PostToolOutput)
    assert "waiting" in output.output
    played = len(driver.played)
    driver.wait(115)
    assert len(driver.played) - played <= 1000 * MS  # the agent's own words
    driver.caller_says("u2")
    driver.agent_says("a2", 1000, response="r2")
    driver.wait(15)
    assert driver.kept(TranscriptLine)[-1].generated_text == "The still_there clip."


def test_the_agent_may_wrap_up_in_its_own_words_before_the_end(driver: Driver) -> None:
    driver = Driver(max_call_s=100.0, idle_prompt_s=500.0)
    driver.greeted()
    driver.until(71)
    at = [at for at, c in driver.log if c == do.CreateResponse("wrap_up")]
    assert at == [pytest.approx(70.0, abs=0.1)]


def test_a_question_for_a_number_gets_a_longer_hold_until_it_is_answered(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 500, text="What is your number, please?")
    assert driver.sent(do.SetTurnSilence) == [do.SetTurnSilence(1100)]
    driver.wait(1)
    driver.caller_says("u2", words="Four one five …")
    driver.agent_says("a2", 500, response="r2", text="Thank you. Your number is noted.")
    assert driver.sent(do.SetTurnSilence)[1:] == [do.SetTurnSilence(500)]


def test_a_harder_call_goes_to_the_larger_model(driver: Driver) -> None:
    driver = Driver(hard_model=True)
    driver.greeted()
    driver.caller_says("u1")
    call_function(driver, "ask_larger_model")
    assert driver.sent(do.DialModel)[1:] == [do.DialModel(hard=True)]
    assert do.CreateResponse("turn") in come_back(driver)


def test_two_failed_functions_in_a_row_go_to_the_larger_model_once(driver: Driver) -> None:
    driver = Driver(hard_model=True)
    driver.greeted()
    driver.caller_says("u1")
    for n in ("1", "2"):
        call_function(driver, "lookup_hours", f"r{n}", f"c{n}")
        driver.feed(on.ToolFinished(f"c{n}", "{}", ok=False))
    assert driver.sent(do.DialModel)[1:] == [do.DialModel(hard=True)]
    come_back(driver)
    call_function(driver, "lookup_hours", "r3", "c3")
    driver.feed(on.ToolFinished("c3", "{}", ok=False))
    assert len(driver.sent(do.DialModel)) == 2


# ---- faults ---------------------------------------------------------------------------------


def test_a_model_that_cannot_be_reached_is_apologised_for_and_a_human_takes_over(
    driver: Driver,
) -> None:
    driver.start(ready=False)
    driver.feed(on.ModelClosed(reason="refused"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_unreachable")]
    assert len(driver.played) == 2000 * MS  # the greeting and the apology, to their ends


def test_a_model_that_never_gets_ready_is_given_up(driver: Driver) -> None:
    driver.start(ready=False)
    driver.feed(on.ModelOpened())
    driver.wait(7)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_unreachable")]
    assert do.CloseModel("model_unreachable") in driver.sent(do.CloseModel)


def refuse_every_dial(driver: Driver, until: float) -> int:
    """The model cannot be had any more after its first session. Returns how often it was tried."""
    refused = 1
    while driver.now < until:
        while refused < len(driver.sent(do.DialModel)):
            refused += 1
            driver.feed(on.ModelClosed(reason="refused"))
        driver.wait(0.05)
    return refused - 1


def test_a_model_lost_for_good_lets_the_sentence_finish_and_goes_to_a_human(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"), on.AgentAudio("r1", "a1", bytes(2000 * MS), -20.0))
    lost_at = driver.now
    driver.feed(on.ModelClosed(1006))
    assert refuse_every_dial(driver, driver.now + 8) == 4
    dials = [at - lost_at for at, c in driver.log if isinstance(c, do.DialModel)][1:]
    assert dials == pytest.approx([0.0, 0.25, 0.75, 1.75], abs=0.15)
    # greeting, the sentence, one moment, apology
    assert len(driver.played) == (1000 + 2000 + 1000 + 1000) * MS
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_unreachable")]


# ---- succession -----------------------------------------------------------------------------


def come_back(driver: Driver) -> list[do.Command]:
    return driver.feed(on.ModelOpened("sess_2"), on.ModelReady())


def test_a_successor_is_told_what_was_heard_and_answers_what_was_asked(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1", words="When do you open?")
    driver.agent_says("a1", 2000, text="We open at nine.")
    driver.wait(3)
    driver.caller_says("u2", words="And on Sunday?")
    driver.feed(on.ModelClosed(1006))
    assert len(driver.sent(do.DialModel)) == 2
    commands = come_back(driver)
    told = [(c.role, c.text) for c in of(commands, do.AddText)]
    assert told[:4] == [
        ("assistant", "The greeting clip."),
        ("user", "When do you open?"),
        ("assistant", "We open at nine."),
        ("user", "And on Sunday?"),
    ]
    assert told[4][0] == "system"
    assert of(commands, do.CreateResponse) == [do.CreateResponse("turn")]


def test_words_that_nobody_understood_yet_are_heard_by_the_successor(driver: Driver) -> None:
    driver.greeted()
    driver.hear(2.0, HUSH)
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(1.5)
    driver.feed(on.ModelClosed(1006))
    driver.hear(0.5)
    commands = come_back(driver) + driver.wait(1.0)
    # The 600 ms before it was suspected (its onset is in there), the speech, and what followed.
    assert len(of(commands, do.AppendAudio)) == 30 + 75 + 25


def frame(name: str) -> on.CallerAudio:
    return on.CallerAudio(name, 20, HUSH)


def passed(name: str, frames: int = 5) -> on.CallerPassed:
    return on.CallerPassed(name.encode(), [(20, HUSH, 0)] * frames)


def test_what_the_model_was_told_at_once_is_kept_and_not_told_again(driver: Driver) -> None:
    driver.start(ready=False)
    assert not driver.call.hears_at_once, "there is no model yet"
    driver.feed(frame("one"), on.ModelOpened(), on.ModelReady())
    assert driver.call.hears_at_once, "it has been told what was held"
    assert driver.feed(passed("two")) == []
    assert driver.feed(frame("three")) == [do.AppendAudio("three")]
    driver.greeted()
    driver.feed(on.ModelClosed(1006))
    assert not driver.call.hears_at_once
    driver.feed(passed("four"))  # to the one that was about to close
    told = [
        c
        for c in come_back(driver) + driver.wait(1.0)
        if isinstance(c, do.AppendAudio | do.RetellAudio)
    ]
    assert told[-3:] == [
        do.RetellAudio(b"two"),
        do.AppendAudio("three"),
        do.RetellAudio(b"four"),
    ], "the successor hears it all"
    assert driver.call.hears_at_once


def test_nothing_goes_on_at_once_while_a_successor_is_told_what_it_missed(driver: Driver) -> None:
    driver.greeted()
    driver.hear(1.0, HUSH)
    driver.feed(on.ModelClosed(1006))
    come_back(driver)
    assert not driver.call.hears_at_once, "that would overtake what it is still to be told"
    driver.wait(1.0)
    assert driver.call.hears_at_once
    driver.feed(on.PhoneStopped())
    assert not driver.call.hears_at_once, "there is nobody to hear"


def test_an_idle_loss_is_not_heard(driver: Driver) -> None:
    driver.greeted()
    played = len(driver.played)
    driver.feed(on.ModelClosed(1001))
    come_back(driver)
    driver.wait(5)
    assert len(driver.played) == played
    assert not driver.sent(do.CreateResponse)
    assert not driver.sent(do.ClosePhone)


def test_a_result_that_was_under_way_reaches_the_successor_as_text(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    call_function(driver, "book_appointment")
    driver.feed(on.ModelClosed(1006))
    come_back(driver)
    commands = driver.feed(on.ToolFinished("c1", '{"booked":true}', outcome="booked"))
    assert not of(commands, do.PostToolOutput)
    assert '{"booked":true}' in of(commands, do.AddText)[0].text


def test_a_booking_that_stands_is_known_to_the_successor(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    call_function(driver, "book_appointment")
    driver.feed(on.ToolFinished("c1", '{"booked":true}'))
    driver.feed(on.ModelClosed(1006))
    assert any('{"booked":true}' in c.text for c in of(come_back(driver), do.AddText))


def test_a_second_loss_within_a_minute_goes_to_a_human_and_a_later_one_does_not(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.feed(on.ModelClosed(1006))
    come_back(driver)
    driver.until(driver.now + 5)
    driver.feed(on.ModelClosed(1006))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_lost")]
    other = Driver(idle_prompt_s=500.0)
    other.greeted()
    other.feed(on.ModelClosed(1006))
    come_back(other)
    other.wait(70)
    other.feed(on.ModelClosed(1006))
    come_back(other)
    other.wait(5)
    assert not other.sent(do.ClosePhone)


def test_an_old_session_is_replaced_between_two_turns(driver: Driver) -> None:
    driver = Driver(session_s=20.0, max_call_s=3600.0)
    driver.greeted()
    driver.wait(5)
    driver.caller_says("u1")
    driver.agent_says("a1", 16_000)  # still speaking when the session gets old
    driver.wait(13)
    assert len(driver.sent(do.DialModel)) == 1
    driver.wait(6)
    assert len(driver.sent(do.DialModel)) == 2
    assert not driver.sent(do.ClearPhone)


def test_a_goodbye_survives_the_loss_of_the_model(driver: Driver) -> None:
    goodbye(driver)
    driver.feed(on.ModelClosed(1006))
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_a_stalled_model_is_bridged_and_then_given_up(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    played = len(driver.played)
    driver.wait(4.5)
    assert len(driver.played) > played
    driver.wait(4)
    assert do.CloseModel("model_stalled") in driver.sent(do.CloseModel)
    assert of(come_back(driver), do.CreateResponse) == [do.CreateResponse("turn")]
    driver.wait(12)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_stalled")]


def say_nothing(driver: Driver, response: str, *, message: bool = False) -> list[do.Command]:
    """A response that is completed, and of which there is nothing to be heard."""
    out = driver.feed(on.ResponseStarted(response, "turn"))
    if message:
        item = f"a_{response}"
        out += driver.feed(on.AgentAudioEnded(response, item))
        out += driver.feed(on.AgentTranscribed(response, item, ""))
    return out + driver.feed(on.ResponseEnded(response, "completed"))


@pytest.mark.parametrize("message", [False, True])
def test_an_answer_that_says_nothing_is_asked_for_again(driver: Driver, message: bool) -> None:
    driver.greeted()
    driver.caller_says("u1")
    asked_at = driver.now
    commands = say_nothing(driver, "r1", message=message)
    assert of(commands, do.CreateResponse) == [do.CreateResponse("retry")]
    assert driver.now == asked_at, "the caller need not hear of it"
    driver.agent_says("a2", 500, response="r2")
    driver.wait(2)
    assert len(driver.sent(do.CreateResponse)) == 2
    assert driver.call.statistics().answers == 1


def test_answers_that_say_nothing_are_taken_for_a_stall(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    say_nothing(driver, "r1")
    played = len(driver.played)
    say_nothing(driver, "r2")
    driver.wait(0.5)
    assert len(driver.played) > played, "the caller hears that it takes a moment"
    assert do.CloseModel("model_stalled") in driver.sent(do.CloseModel)
    assert of(come_back(driver), do.CreateResponse) == [do.CreateResponse("turn")]
    say_nothing(driver, "r3")
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_stalled")]
    assert len(driver.sent(do.CreateResponse)) == 3, "no more is paid for"


def test_a_result_that_is_not_told_is_asked_for_again(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    call_function(driver, "lookup_hours")
    driver.feed(on.ToolFinished("c1", "{}"))
    assert of(say_nothing(driver, "r2"), do.CreateResponse) == [do.CreateResponse("retry")]


def test_nothing_left_to_say_is_no_stall(driver: Driver) -> None:
    """A response was cut off by its length, and there is no more to come."""
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 500, done=False)
    driver.feed(on.ResponseEnded("r1", "incomplete", "max_output_tokens"))
    say_nothing(driver, "r2")
    driver.wait(1)
    assert len(driver.sent(do.CreateResponse)) == 2


def test_a_response_that_thinks_until_it_is_too_long_is_not_continued_for_ever(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.caller_says("u1")
    for response in ("r1", "r2"):
        driver.feed(on.ResponseStarted(response, "turn"))
        driver.feed(on.ResponseEnded(response, "incomplete", "max_output_tokens"))
    assert do.CloseModel("model_stalled") in driver.sent(do.CloseModel)
    assert len(driver.sent(do.CreateResponse)) == 2


def test_what_the_caller_says_meanwhile_is_answered_once(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.hear(0.06)
    driver.feed(on.SpeechStarted("u2", 5000))
    driver.feed(on.ResponseEnded("r1", "completed"))
    assert len(driver.sent(do.CreateResponse)) <= 2
    driver.hear(0.6)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u2", 6500), on.InputCommitted("u2"))
    before = len(driver.sent(do.CreateResponse))
    driver.feed(on.CallerTranscribed("u2", "Hello?"))
    driver.wait(1)
    assert len(driver.sent(do.CreateResponse)) == before


@pytest.mark.parametrize("code", ["insufficient_quota", "invalid_api_key"])
def test_a_fatal_error_is_not_waited_out(driver: Driver, code: str) -> None:
    driver.greeted()
    driver.feed(on.ModelErrored(code, "no"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_refused")]


def test_a_configuration_that_is_refused_is_fatal_and_a_benign_error_is_not(
    driver: Driver,
) -> None:
    driver.greeted()
    driver.feed(on.ModelErrored("response_cancel_not_active", "nothing to cancel"))
    assert driver.call.phase is Phase.TALKING
    other = Driver()
    other.start(ready=False)
    other.feed(on.ModelOpened(), on.ModelErrored("invalid_value", "no", f"{do.SETUP}_1"))
    other.wait(3)
    assert other.sent(do.ClosePhone) == [do.ClosePhone("fallback", "model_refused")]


@pytest.mark.parametrize("event_id", ["evt_2", ""])
def test_an_error_about_anything_else_does_not_keep_a_session_from_being_ready(
    driver: Driver, event_id: str
) -> None:
    driver.start(ready=False)
    driver.feed(on.ModelOpened(), on.ModelErrored("server_error", "sorry", event_id))
    driver.wait(3)
    driver.feed(on.ModelReady())
    driver.caller_says("u1")
    assert driver.sent(do.CreateResponse) == [do.CreateResponse("turn")]


def test_a_phone_that_floods_or_babbles_is_closed_with_a_reason(driver: Driver) -> None:
    driver.greeted()
    for _ in range(2000):
        driver.feed(on.CallerAudio("AAAA", 20, HUSH))
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("fallback", "phone_flood")]
    other = Driver()
    other.greeted()
    for _ in range(11):
        other.feed(on.PeerMisbehaved("phone", "bad_json"))
    assert other.sent(do.ClosePhone) == [do.ClosePhone("fallback", "phone_broken")]


def test_a_stream_that_never_starts_costs_nothing(driver: Driver) -> None:
    commands = driver.wait(6)
    assert [type(c) for c in commands] == [do.EndCall]


# ---- the end --------------------------------------------------------------------------------


def test_a_hang_up_waits_a_little_for_the_last_words(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.PhoneStopped())
    assert driver.call.phase is Phase.LAST_WORDS
    driver.feed(on.ResponseStarted("r1", "turn"), on.ResponseEnded("r1", "cancelled"))
    driver.wait(0.5)
    driver.feed(on.CallerTranscribed("u1", "Never mind."))
    assert driver.kept(TranscriptLine)[-1].heard_text == "Never mind."
    assert driver.call.phase is Phase.ENDED


def test_an_answer_that_was_asked_for_at_the_hang_up_is_cancelled_and_paid(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.PhoneStopped())
    assert driver.call.phase is Phase.LAST_WORDS
    commands = driver.feed(on.ResponseStarted("r1", "turn"))
    assert of(commands, do.CancelResponse) == [do.CancelResponse("r1")]
    driver.wait(0.1)
    driver.feed(on.ResponseEnded("r1", "cancelled", usage={"input_text": 900}))
    assert [row.ref for row in driver.kept(SpendAdded)] == ["words_u1", "r1"]
    assert driver.call.phase is Phase.ENDED


def test_an_answer_that_never_begins_holds_nobody_up_for_long(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.PhoneStopped())
    driver.wait(3.1)
    assert driver.call.phase is Phase.ENDED


def test_the_longest_time_cancels_the_answer_that_is_being_made() -> None:
    driver = Driver(max_call_s=20.0)
    driver.greeted()
    driver.until(19.9)
    driver.feed(on.ResponseStarted("r1", "turn"))
    assert of(driver.wait(0.2), do.CancelResponse) == [do.CancelResponse("r1")]


def test_who_is_waited_for_is_told_what_was_looked_up_all_the_same(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(
        on.ResponseStarted("r1", "turn"),
        on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"),
        on.FunctionCalled("r1", "f2", "c2", "wait_for_caller", "{}"),
        on.ToolFinished("c1", "{}"),
    )
    commands = driver.feed(on.ResponseEnded("r1", "completed"))
    assert [create.purpose for create in of(commands, do.CreateResponse)] == ["tool"]


def test_what_begins_only_after_its_cut_is_forgotten(driver: Driver) -> None:
    """Generation outruns the cancel: the model would remember words that nobody has heard."""
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.hear(0.06)
    driver.feed(on.SpeechStarted("u2", 5000))
    assert of(driver.hear(0.6), do.CancelResponse)
    commands = driver.feed(
        on.AgentAudio("r1", "a1", bytes(800 * MS), -20.0),
        on.AgentAudioEnded("r1", "a1"),
        on.AgentTranscribed("r1", "a1", "We are open until"),
        on.AgentTranscribed("r1", "a2", "five."),
    )
    assert not of(commands, do.DeleteItem), "it is still being made"
    commands = driver.feed(on.ResponseEnded("r1", "cancelled"))
    assert of(commands, do.DeleteItem) == [do.DeleteItem("a1"), do.DeleteItem("a2")]


def test_a_hang_up_without_words_pending_ends_at_once(driver: Driver) -> None:
    driver.greeted()
    commands = driver.feed(on.PhoneClosed(1006))
    assert [type(c) for c in commands][-3:] == [do.CloseModel, do.Keep, do.EndCall]
    assert driver.kept(CallEnded)[0].outcome == "abandoned"


def test_a_begun_booking_is_finished_although_the_caller_is_gone(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    call_function(driver, "book_appointment")
    driver.feed(on.PhoneClosed(1006))
    assert driver.call.phase is Phase.LAST_WORDS
    assert driver.sent(do.CloseModel)  # the booking needs no model, and the model costs money
    driver.feed(on.ToolFinished("c1", '{"booked":true}', outcome="booked"))
    (end,) = driver.kept(CallEnded)
    assert end.outcome == "booked"


def test_what_was_heard_at_the_hang_up_is_what_is_written(driver: Driver) -> None:
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 4000, text="one two three four")
    driver.wait(2)
    driver.feed(on.PhoneClosed(1006))
    line = driver.kept(TranscriptLine)[-1]
    assert line.heard_ms == pytest.approx(2000, abs=20)
    assert line.interrupted


def test_there_is_exactly_one_end(driver: Driver) -> None:
    driver.greeted()
    for _ in range(3):
        driver.feed(on.PhoneStopped(), on.PhoneClosed(1000), on.ModelClosed(1000))
        driver.wait(10)
    assert len(driver.sent(do.EndCall)) == 1
    assert len(driver.kept(CallEnded)) == 1
    assert driver.call.deadline is None


def test_every_phase_has_a_way_out() -> None:
    reachable = {Phase.ENDED}
    while more := {
        frm for (frm, _), to in TRANSITIONS.items() if to in reachable and frm not in reachable
    }:
        reachable |= more
    assert reachable == set(Phase)
