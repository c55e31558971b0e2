"""A call is let go of between two turns, and taken up with what it has come to."""

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.budget import Prices, Tariff
from relay.core.records import CallEnded, ConsentNoted, DispositionChosen
from relay.core.tool_calls import NOT_TOLD
from tests.core.driver import Driver

LINES = (("assistant", "Hello!"), ("user", "A cleaning on Tuesday."))


def closed(driver: Driver) -> list[tuple[float, str]]:
    return [(at, c.disposition) for at, c in driver.log if isinstance(c, do.ClosePhone)]


def texts(commands: list[do.Command]) -> list[str]:
    return [c.text for c in commands if isinstance(c, do.AddText)]


# ---- let go of ------------------------------------------------------------------------------


def test_a_call_at_rest_is_let_go_of_at_once_and_has_no_outcome_yet() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.MoveAsked())
    assert closed(driver) == [(driver.now, "resume")]
    assert [row.disposition for row in driver.kept(DispositionChosen)] == ["resume"]
    driver.feed(on.PhoneClosed(1000))
    driver.wait(20)
    assert driver.call.phase.name == "ENDED"
    assert driver.kept(CallEnded) == []
    assert driver.sent(do.EndCall) == [do.EndCall()]


def test_what_is_chosen_says_after_how_many_returns() -> None:
    driver = Driver()
    driver.feed(on.CallResumed(LINES, returns=2))
    driver.start()
    driver.feed(on.MoveAsked())
    driver.wait(5)
    (row,) = driver.kept(DispositionChosen)
    assert (row.disposition, row.returns) == ("resume", 2)


@pytest.mark.parametrize("heard", [LINES, ()], ids=["goes on", "is greeted again"])
def test_how_long_the_first_greeting_took_moves_along(heard: tuple) -> None:
    """It is what the caller waited, whichever process says so in the end."""
    driver = Driver()
    driver.feed(on.CallResumed(heard, greeting_ms=420))
    driver.start()
    driver.wait(2)
    driver.feed(on.PhoneClosed(1000))
    driver.wait(20)
    assert driver.kept(CallEnded)[0].greeting_ms == 420


def test_a_greeting_that_was_heard_leaves_behind_how_long_it_took() -> None:
    driver = Driver()
    driver.start()
    assert driver.kept(ConsentNoted)[-1].greeting_ms is None
    driver.wait(1.5)
    assert driver.kept(ConsentNoted)[-1].greeting_ms == 0


def test_the_agent_is_heard_out_first() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 1500)
    driver.feed(on.MoveAsked())
    assert closed(driver) == []
    driver.wait(2)
    assert [how for _, how in closed(driver)] == ["resume"]
    assert driver.sent(do.ClearPhone) == []


def test_what_the_caller_says_is_answered_first() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.feed(on.MoveAsked())
    driver.hear(0.5)
    assert closed(driver) == []
    driver.feed(on.SpeechStopped("u1", 2000), on.InputCommitted("u1"))
    assert closed(driver) == [], "its words are still to come"
    driver.feed(on.CallerTranscribed("u1", "Tuesday."))
    assert closed(driver) == [], "an answer is owed"
    driver.agent_says("a1", 500)
    driver.wait(1)
    assert [how for _, how in closed(driver)] == ["resume"]


def test_a_write_that_runs_is_waited_for() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "book_appointment", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.feed(on.MoveAsked())
    driver.wait(0.5)
    assert closed(driver) == []
    driver.feed(on.ToolFinished("c1", "{}", outcome="booked"))
    assert closed(driver) == [], "the caller has not heard of it"
    driver.agent_says("a2", 400, response="r2")
    driver.wait(1)
    assert [how for _, how in closed(driver)] == ["resume"]


def test_no_turn_is_waited_for_longer_than_a_few_seconds() -> None:
    driver = Driver(move_within_s=4.0)
    driver.greeted()
    driver.agent_says("a1", 20_000)
    asked_at = driver.now
    driver.feed(on.MoveAsked())
    driver.wait(3.9)
    assert driver.sent(do.ClearPhone) == []
    driver.wait(0.2)
    assert driver.sent(do.ClearPhone)
    driver.wait(3)
    ((at, how),) = closed(driver)
    assert how == "resume"
    assert 4.99 <= at - asked_at <= 5.2, "the clip was heard out"
    assert any("clip_one_moment" in sent.mark for sent in driver.sent(do.SendAudio))
    assert driver.call.statistics().barge_ins == 0, "nobody interrupted"


def test_a_move_that_is_asked_twice_is_asked_once() -> None:
    driver = Driver(move_within_s=4.0)
    driver.greeted()
    driver.agent_says("a1", 20_000)
    driver.feed(on.MoveAsked())
    driver.wait(3)
    driver.feed(on.MoveAsked())
    driver.wait(1.2)
    assert driver.sent(do.ClearPhone)


def test_a_call_that_leaves_goes_where_it_was_going() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.AgentAudio("r1", "a1", bytes(8 * 30_000), -20.0))
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "end_call", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.feed(on.MoveAsked())
    driver.wait(4.2)
    assert [how for _, how in closed(driver)] == ["hang_up"]
    driver.feed(on.PhoneClosed(1000))
    driver.wait(20)
    assert len(driver.kept(CallEnded)) == 1


def test_whoever_rings_meanwhile_is_not_wanted_any_more() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.HumanRinging("h1"), on.MoveAsked())
    driver.wait(1)
    assert closed(driver) == [], "they may answer any moment"
    driver.wait(6)
    assert driver.sent(do.DropHuman) == [do.DropHuman("h1")]
    assert [how for _, how in closed(driver)] == ["resume"]


@pytest.mark.parametrize("there_is_one", [True, False])
def test_a_call_that_had_gone_to_the_larger_model_dials_it_again(there_is_one: bool) -> None:
    driver = taken_up(on.CallResumed(LINES, hard=True), hard_model=there_is_one)
    assert driver.sent(do.DialModel) == [do.DialModel(hard=there_is_one)]


@pytest.mark.parametrize("when", ["before start", "while greeting"])
def test_a_call_that_has_hardly_begun_is_moved_as_well(when: str) -> None:
    driver = Driver(clip_ms=6000)
    if when == "before start":
        driver.feed(on.MoveAsked())
    driver.start()
    driver.feed(on.MoveAsked())
    driver.wait(12)
    assert [how for _, how in closed(driver)] == ["resume"]


# ---- taken up -------------------------------------------------------------------------------


def taken_up(past: on.CallResumed, why: str = "moved", **policy: object) -> Driver:
    driver = Driver(**policy)
    driver.feed(past)
    driver.feed(on.PhoneStarted("MZ2", "CA1", parameters={"why": why}))
    return driver


def test_the_longest_call_is_no_longer_for_having_moved() -> None:
    driver = taken_up(on.CallResumed(LINES, elapsed_s=585.0), max_call_s=600.0)
    driver.feed(on.ModelOpened("s1"), on.ModelReady())
    driver.wait(1.5)
    driver.agent_says("a1", 500)
    driver.wait(20)
    ((at, how),) = closed(driver)
    assert how == "hang_up"
    assert 15 <= at < 17.5
    driver.feed(on.PhoneClosed(1000))
    driver.wait(5)
    (ended,) = driver.kept(CallEnded)
    assert ended.reason == "max_call"
    assert 600_000 <= ended.duration_ms < 605_000


def test_what_it_has_cost_counts_against_its_cap_and_is_not_paid_twice() -> None:
    prices = Prices(model=Tariff("m", audio_out=1_000_000))
    driver = taken_up(on.CallResumed(LINES, spent=9_500), prices=prices, max_call_micro_usd=10_000)
    assert driver.call.spent == 0
    driver.feed(on.ModelOpened("s1"), on.ModelReady())
    driver.wait(1.5)
    assert "This call must end very soon. Say so, and wrap up in one sentence, now." in texts(
        driver.sent(do.AddText)
    )


def test_the_model_is_told_what_functions_returned_and_what_nobody_knows() -> None:
    driver = taken_up(
        on.CallResumed(
            LINES,
            tools=(
                ("list_slots", "{}", "ok", '{"slots":[9]}'),
                ("book_appointment", '{"at":9}', "running", ""),
                ("lookup_hours", "{}", "error", "…"),
            ),
            outcomes=("booked",),
            notices=("A cleaning at nine",),
        )
    )
    told = texts(driver.feed(on.ModelOpened("s1"), on.ModelReady()))
    assert 'list_slots({}) has returned: {"slots":[9]}' in told
    assert f'book_appointment({{"at":9}}) has returned: {NOT_TOLD}' in told
    assert not any("lookup_hours" in text for text in told)
    driver.feed(on.PhoneStopped())
    driver.wait(20)
    (ended,) = driver.kept(CallEnded)
    assert (ended.outcome, ended.summary) == ("booked", "A cleaning at nine")


def test_a_call_that_was_answered_before_counts_as_answered() -> None:
    driver = taken_up(on.CallResumed(LINES, answers=2))
    driver.feed(on.PhoneStopped())
    driver.wait(20)
    assert driver.kept(CallEnded)[0].outcome == "resolved"


def test_no_clip_of_another_stream_is_overwritten() -> None:
    driver = taken_up(on.CallResumed(LINES))
    assert any(":clip_back_3001:" in sent.mark for sent in driver.sent(do.SendAudio))
