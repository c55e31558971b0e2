"""A human for the caller, who stays with the agent until there is one."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core import transfer
from relay.core.phases import Phase
from relay.core.records import CallEnded, DispositionChosen, ToolCalled, TranscriptLine
from tests.core.driver import MS, Driver, of


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words="A person, please.")
    return driver


def ask(driver: Driver) -> list:
    """The agent says that it will ring somebody, and does."""
    driver.agent_says("a1", 1000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "transfer_to_human", '{"reason":"x"}'))
    driver.feed(on.ResponseEnded("r1", "completed"))
    return driver.wait(1.2)


def rung(driver: Driver) -> None:
    """… and the telephone rings."""
    ask(driver)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished("c1", '{"status":"ringing"}'))


def said(commands: list) -> list[str]:
    return [command.text for command in of(commands, do.AddText)]


def test_a_human_is_rung_once_the_announcement_was_heard(driver: Driver) -> None:
    driver.agent_says("a1", 1000, done=False)
    commands = driver.feed(
        on.FunctionCalled("r1", "f1", "c1", "transfer_to_human", "{}"),
        on.ResponseEnded("r1", "completed"),
    )
    assert not of(commands, do.RunTool)
    assert [run.name for run in of(driver.wait(1.2), do.RunTool)] == ["transfer_to_human"]
    assert driver.call.phase is Phase.TALKING


def test_the_caller_who_changes_their_mind_meanwhile_rings_nobody(driver: Driver) -> None:
    driver.agent_says("a1", 3000, done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "transfer_to_human", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.caller_says("u2", words="No, wait!")
    driver.wait(5)
    assert not driver.sent(do.RunTool)


def test_while_it_rings_the_agent_goes_on_talking_and_the_human_is_told_what_about(
    driver: Driver,
) -> None:
    rung(driver)
    assert driver.sent(do.AskPrivately) == [do.AskPrivately("summary", transfer.SUMMARISE)]
    assert driver.sent(do.CreateResponse)[-1] == do.CreateResponse("tool")
    driver.feed(on.ResponseStarted("p1", "summary"))
    driver.agent_says("a2", 500, response="r2")
    commands = driver.feed(on.AgentWrote("p1", " Ann wants a cleaning. "))
    assert commands == [do.BriefHuman("h1", "Ann wants a cleaning.")]
    driver.feed(on.ResponseEnded("p1", "completed"))
    driver.wait(1)
    assert driver.call.statistics().answers == 2


def test_a_summary_that_fails_disturbs_nobody(driver: Driver) -> None:
    rung(driver)
    driver.agent_says("a2", 500, response="r2")
    driver.feed(on.ResponseStarted("p1", "summary"))
    commands = driver.feed(on.ResponseEnded("p1", "failed", error_code="server_error"))
    assert commands == []
    assert not driver.sent(do.BriefHuman)


def test_the_key_cuts_the_agent_short_and_the_caller_is_told_to_the_end(driver: Driver) -> None:
    rung(driver)
    driver.agent_says("a2", 5000, response="r2")
    driver.wait(1)
    began = driver.now
    commands = driver.feed(on.HumanAccepted("h1"))
    assert of(commands, do.ClearPhone)
    assert of(commands, do.TruncateItem)[0].item_id == "a2"
    driver.caller_says("u2", seconds=0.6, words="Hello?")  # does not stop it
    driver.wait(2)
    closed = [at for at, c in driver.log if isinstance(c, do.ClosePhone)]
    assert closed == [pytest.approx(began + 1.0, abs=0.05)]
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("join", "human_accepted")]
    driver.feed(on.PhoneClosed(1000))
    assert not driver.sent(do.DropHuman), "they are waiting for the caller"
    driver.wait(12)
    assert driver.kept(DispositionChosen)[0].disposition == "join"
    assert driver.kept(CallEnded)[0].outcome == "transferred"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("busy", "their line is busy"),
        ("no_answer", "nobody answered"),
        ("declined", "cannot take the call"),
        ("new_reason", "could not be reached"),
    ],
)
def test_the_agent_is_told_that_nobody_came(driver: Driver, reason: str, words: str) -> None:
    rung(driver)
    driver.agent_says("a2", 500, response="r2")
    driver.wait(1)
    commands = driver.feed(on.HumanLost("h1", reason))
    assert words in said(commands)[0]
    assert "take a message" in said(commands)[0]
    assert of(commands, do.CreateResponse) == [do.CreateResponse("transfer")]
    assert driver.call.phase is Phase.TALKING


def test_a_human_who_hangs_up_again_leaves_the_caller_with_the_agent(driver: Driver) -> None:
    rung(driver)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(0.4)
    commands = driver.feed(on.HumanLost("h1", "hung_up"))
    assert "they hung up" in said(commands)[0]
    driver.wait(5)
    assert not driver.sent(do.ClosePhone)
    assert driver.call.phase is Phase.TALKING


def test_never_mind(driver: Driver) -> None:
    rung(driver)
    driver.agent_says("a2", 500, response="r2")
    driver.wait(1)
    driver.caller_says("u2", words="Never mind.")
    driver.feed(on.ResponseStarted("r3", "turn"))
    driver.feed(on.FunctionCalled("r3", "f3", "c3", "cancel_transfer", "{}"))
    commands = driver.feed(on.ResponseEnded("r3", "completed"))
    assert of(commands, do.DropHuman) == [do.DropHuman("h1")]
    assert '"cancelled"' in of(commands, do.PostToolOutput)[0].output
    assert driver.feed(on.HumanAccepted("h1")) == [do.Note("stale_attempt", "h1")]
    driver.feed(on.ResponseStarted("r4", "turn"))
    driver.feed(on.FunctionCalled("r4", "f4", "c4", "cancel_transfer", "{}"))
    commands = driver.feed(on.ResponseEnded("r4", "completed"))
    assert "not_ringing" in of(commands, do.PostToolOutput)[0].output


def cancel(driver: Driver, call_id: str = "c3", response: str = "r3") -> list:
    driver.feed(on.ResponseStarted(response, "turn"))
    driver.feed(on.FunctionCalled(response, f"f_{call_id}", call_id, "cancel_transfer", "{}"))
    return driver.feed(on.ResponseEnded(response, "completed"))


def test_who_is_about_to_be_rung_is_not_wanted_either(driver: Driver) -> None:
    """The telephone network is asked, and has not answered yet."""
    ask(driver)
    driver.caller_says("u2", words="Never mind.")
    (output,) = of(cancel(driver), do.PostToolOutput)
    assert '"cancelled"' in output.output
    commands = driver.feed(on.HumanRinging("h1"))
    assert of(commands, do.DropHuman) == [do.DropHuman("h1")]
    assert not driver.sent(do.AskPrivately), "there is nobody to tell what it is about"
    assert driver.feed(on.HumanAccepted("h1")) == [do.Note("stale_attempt", "h1")]
    driver.feed(on.ToolFinished("c1", "{}"))
    driver.caller_says("u3", words="Or do.")
    driver.feed(on.ResponseStarted("r5", "turn"))
    driver.feed(on.FunctionCalled("r5", "f5", "c5", "transfer_to_human", "{}"))
    driver.feed(on.ResponseEnded("r5", "completed"), on.HumanRinging("h2"))
    assert driver.sent(do.DropHuman) == [do.DropHuman("h1")], "the next one is wanted"


@pytest.mark.parametrize("refused", ["cancelled", "not_rung"])
def test_who_called_off_the_human_of_their_key_is_not_told_that_nobody_came(
    driver: Driver, refused: str
) -> None:
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.5)
    (run,) = driver.sent(do.RunTool)
    driver.feed(on.ResponseStarted("r1", "turn"), on.ResponseEnded("r1", "cancelled"))
    driver.caller_says("u2", words="Never mind.")
    assert '"cancelled"' in of(cancel(driver), do.PostToolOutput)[0].output
    if refused == "cancelled":
        driver.feed(on.HumanRinging("h1"))
    commands = driver.feed(on.ToolFinished(run.call_id, "{}", refused=refused))
    assert said(commands) == [], "the function that called it off has said so already"


def test_the_key_rings_a_human_though_no_function_can_be_used_any_more() -> None:
    """The model is told to say so."""
    driver = Driver(max_tools_per_call=1)
    driver.greeted()
    driver.caller_says("u1", words="A person, please.")
    driver.feed(on.FunctionCalled("r1", "f0", "c0", "lookup_hours", "{}"))
    ask(driver)
    (refusal,) = driver.sent(do.PostToolOutput)
    assert "pressing 0 rings a person" in refusal.output
    driver.feed(on.KeyPressed("0"))
    assert [run.name for run in of(driver.wait(1.5), do.RunTool)] == ["transfer_to_human"]


@pytest.mark.parametrize("by_key", [True, False])
def test_who_wants_a_human_after_all_gets_the_one_who_is_about_to_be_rung(
    driver: Driver, by_key: bool
) -> None:
    ask(driver)
    cancel(driver)
    if by_key:
        driver.feed(on.KeyPressed("0"))
        driver.wait(1.3)
    else:
        driver.feed(on.ResponseStarted("r4", "tool"))
        driver.feed(on.FunctionCalled("r4", "f4", "c4", "transfer_to_human", "{}"))
    driver.feed(on.HumanRinging("h1"))
    assert not driver.sent(do.DropHuman)
    assert driver.feed(on.HumanAccepted("h1")), "the caller is on the way to them"


@pytest.mark.parametrize("how", ["hang_up", "goodbye"])
def test_no_telephone_rings_for_a_caller_who_leaves(driver: Driver, how: str) -> None:
    rung(driver)
    if how == "hang_up":
        driver.feed(on.PhoneStopped())
    else:
        driver.agent_says("a2", 500, response="r2")
        driver.feed(on.ResponseStarted("r3", "turn"))
        driver.feed(on.FunctionCalled("r3", "f3", "c3", "end_call", "{}"))
        driver.feed(on.ResponseEnded("r3", "completed"))
    assert driver.sent(do.DropHuman) == [do.DropHuman("h1")]
    driver.wait(20)
    assert driver.kept(CallEnded)[0].outcome == "resolved"


def test_while_nobody_speaks_the_caller_hears_that_it_still_rings(driver: Driver) -> None:
    rung(driver)
    driver.agent_says("a2", 500, response="r2")
    driver.wait(0.5)
    quiet_from, played = driver.now, len(driver.played)
    driver.wait(27)
    lines = [at for at, c in driver.log if isinstance(c, do.SendAudio) and "clip_hold" in c.mark]
    assert (len(driver.played) - played) == 3 * 1000 * MS
    assert lines[0] == pytest.approx(quiet_from + 8, abs=0.2)
    assert not driver.sent(do.ClosePhone), "it is not the caller who is idle"


# ---- without the model ----------------------------------------------------------------------


def test_a_lone_zero_rings_a_human_without_the_model() -> None:
    driver = Driver()
    driver.start(ready=False)
    driver.wait(1.5)
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.1)
    assert not driver.sent(do.RunTool)
    driver.wait(0.3)
    (run,) = driver.sent(do.RunTool)
    assert run.name == "transfer_to_human"
    driver.feed(on.HumanRinging("h1"), on.ToolFinished(run.call_id, "{}"))
    assert not driver.sent(do.PostToolOutput), "the model has called nothing"
    assert not driver.sent(do.AskPrivately)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("join", "human_accepted")]
    assert [row.status for row in driver.kept(ToolCalled)] == ["running", "ok"]


def test_a_zero_into_the_greeting_rings_at_once_and_lets_it_be_heard_out() -> None:
    driver = Driver(clip_ms=4000)
    driver.start()
    driver.wait(0.3)
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.3)
    (run,) = driver.sent(do.RunTool)
    assert not driver.sent(do.ClearPhone)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished(run.call_id, "{}"))
    driver.wait(7)
    assert driver.call.phase is Phase.TALKING
    assert driver.call.statistics().notice_heard
    driver.feed(on.HumanLost("h1", "busy"))
    assert driver.sent(do.CreateResponse)[-1].purpose == "transfer", "the agent goes on"


def test_a_zero_while_it_rings_rings_no_second_time(driver: Driver) -> None:
    rung(driver)
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.5)
    assert len(driver.sent(do.RunTool)) == 1


def test_a_zero_while_a_telephone_is_about_to_ring_rings_no_second_one(driver: Driver) -> None:
    ask(driver)
    assert len(driver.sent(do.RunTool)) == 1
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.5)
    assert len(driver.sent(do.RunTool)) == 1


def test_who_begins_to_ring_while_the_caller_leaves_is_let_go(driver: Driver) -> None:
    """Else the line that is dialled next would be busy, with us."""
    ask(driver)
    driver.feed(on.ModelClosed(3000, "invalid_api_key"))
    driver.feed(on.HumanRinging("h1"), on.ToolFinished("c1", "{}"))
    driver.wait(3)
    kinds = [type(c) for _, c in driver.log if isinstance(c, do.DropHuman | do.ClosePhone)]
    assert kinds == [do.DropHuman, do.ClosePhone]


@pytest.mark.parametrize(
    ("finished", "why"),
    [
        ({"refused": "closed"}, "nobody is there at this hour"),
        ({"refused": "not_rung"}, "the telephone network did not take the call"),
        ({"refused": "loop"}, "the caller is the person"),
        ({"ok": False}, "the telephone network did not take the call"),
    ],
)
def test_a_zero_that_rings_nobody_comes_back_to_the_agent_who_is_told_why(
    driver: Driver, finished: dict, why: str
) -> None:
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.5)
    (run,) = driver.sent(do.RunTool)
    commands = driver.feed(on.ToolFinished(run.call_id, "{}", **finished))
    assert why in said(commands)[0]


def test_a_model_that_is_lost_for_good_while_it_rings_waits_for_the_human(driver: Driver) -> None:
    rung(driver)
    driver.feed(on.ModelClosed(3000, "invalid_api_key"))
    driver.wait(10)
    assert not driver.sent(do.ClosePhone)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(2)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("join", "human_accepted")]


def test_and_if_nobody_comes_then_the_voicemail_does(driver: Driver) -> None:
    rung(driver)
    driver.feed(on.ModelClosed(3000, "invalid_api_key"))
    driver.wait(10)
    driver.feed(on.HumanLost("h1", "no_answer"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("voicemail", "no_answer")]
    driver.feed(on.PhoneClosed(1000))
    driver.wait(12)
    assert driver.kept(CallEnded)[0].outcome == "failed"


def test_news_wait_for_a_session_that_is_being_replaced(driver: Driver) -> None:
    rung(driver)
    driver.feed(on.ModelClosed(1006))
    commands = driver.feed(on.HumanLost("h1", "busy"))
    assert not of(commands, do.AddText)
    driver.wait(0.5)
    commands = driver.feed(on.ModelOpened("s2"), on.ModelReady())
    assert any("their line is busy" in text for text in said(commands))
    driver.wait(3)
    assert driver.sent(do.CreateResponse)[-1].purpose == "turn"


def test_a_human_comes_though_the_caller_is_leaving_for_want_of_one() -> None:
    driver = Driver(ready_within_s=5.0)
    driver.start(ready=False)
    driver.wait(1.5)
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.4)
    (run,) = driver.sent(do.RunTool)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished(run.call_id, "{}"))
    driver.wait(4)  # the model did not come
    assert not driver.sent(do.ClosePhone)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone)[0].disposition == "join"


# ---- a call that comes back -----------------------------------------------------------------

STORY = (("assistant", "Hello!"), ("user", "A person, please."))


def resumed(why: str = "human_dropped", **policy: object) -> Driver:
    driver = Driver(**policy)
    driver.feed(on.CallResumed(STORY))
    driver.feed(on.PhoneStarted("MZ2", "CA1", parameters={"caller": "+15550001", "why": why}))
    return driver


def test_a_call_that_comes_back_is_not_greeted_again() -> None:
    driver = resumed()
    assert any("clip_back" in c.mark for c in driver.sent(do.SendAudio))
    commands = driver.feed(on.ModelOpened("s1"), on.ModelReady())
    texts = said(commands)
    assert texts[:2] == ["Hello!", "A person, please."]
    assert any("has hung up at once" in text for text in texts)
    driver.wait(1.5)
    assert driver.sent(do.CreateResponse) == [do.CreateResponse("turn")]
    assert driver.call.statistics().notice_heard


def test_why_it_came_back_may_be_unknown() -> None:
    driver = resumed(why="")
    commands = driver.feed(on.ModelOpened("s1"), on.ModelReady())
    assert any("The line broke" in text for text in said(commands))


def test_its_lines_go_on_behind_the_first_ones() -> None:
    driver = resumed()
    driver.feed(on.ModelOpened("s1"), on.ModelReady())
    driver.wait(1.5)
    driver.agent_says("a1", 500)
    driver.wait(1)
    positions = [r.position for r in driver.kept(TranscriptLine) if r.item_id == "a1"]
    assert positions == [3 * 1000 + 1], "behind whatever two lines and their gaps took up"


def test_a_call_whose_notice_was_not_heard_begins_anew() -> None:
    driver = Driver()
    driver.feed(on.CallResumed(()))
    driver.start()
    assert any("clip_greeting" in c.mark for c in driver.sent(do.SendAudio))
    assert not driver.call.statistics().notice_heard
