"""How the agent hangs up: with all said that the caller waits for, and not on who wants more."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.phases import Phase
from tests.core.driver import MS, Driver, of


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    return driver


def responds(driver: Driver, n: int, *names: str, ms: int = 1000) -> list[do.Command]:
    """Response n speaks for so long, then calls these functions: c<n>_0 and so on."""
    response = f"r{n}"
    out = driver.feed(on.ResponseStarted(response, "turn"))
    if ms:
        out += driver.feed(on.AgentAudio(response, f"a{n}", bytes(ms * MS), -20.0))
        out += driver.feed(on.AgentAudioEnded(response, f"a{n}"))
    for index, name in enumerate(names):
        out += driver.feed(on.FunctionCalled(response, f"f{n}", f"c{n}_{index}", name, "{}"))
    return out + driver.feed(on.ResponseEnded(response, "completed"))


def answers(driver: Driver, call_id: str) -> list[str]:
    return [c.output for c in driver.sent(do.PostToolOutput) if c.call_id == call_id]


def purposes(commands: list[do.Command]) -> list[str]:
    return [c.purpose for c in of(commands, do.CreateResponse)]


# ---- what was called in the same breath ------------------------------------------------------


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("ms", [0, 1000])
def test_who_books_and_says_goodbye_tells_how_the_booking_went_before_the_line_drops(
    driver: Driver, ms: int, *, ok: bool
) -> None:
    responds(driver, 1, "book_appointment", "end_call", ms=ms)
    driver.wait(1.2)
    assert [c.call_id for c in driver.sent(do.RunTool)] == ["c1_0"]
    driver.wait(1.7)
    told = driver.feed(on.ToolFinished("c1_0", '{"id":7}', ok=ok))
    assert purposes(told) == ["tool"]
    assert len(answers(driver, "c1_0")) == len(answers(driver, "c1_1")) == 1
    responds(driver, 2, "end_call")
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]
    assert answers(driver, "c2_0") == ['{"status":"ending"}']


def test_a_goodbye_while_an_earlier_booking_runs_waits_for_its_end_however_slow(
    driver: Driver,
) -> None:
    responds(driver, 1, "book_appointment")
    driver.wait(1.2)
    driver.caller_says("u2", words="Thank you, goodbye.")
    responds(driver, 2, "end_call")
    driver.wait(3)
    assert "pending" in answers(driver, "c1_0")[0]
    responds(driver, 3, "end_call")
    driver.wait(3)
    assert not driver.sent(do.ClosePhone)
    told = driver.feed(on.ToolFinished("c1_0", '{"id":7}'))
    assert '{"id":7}' in of(told, do.AddText)[0].text
    assert purposes(told) == ["tool"]
    responds(driver, 4, "end_call")
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_what_was_looked_up_together_with_a_goodbye_is_told(driver: Driver) -> None:
    driver.feed(
        on.ResponseStarted("r1", "turn"),
        on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"),
        on.FunctionCalled("r1", "f2", "c2", "end_call", "{}"),
        on.ToolFinished("c1", '{"open":[]}'),
    )
    told = driver.feed(on.ResponseEnded("r1", "completed"))
    assert purposes(told) == ["tool"]
    assert driver.call.phase is Phase.TALKING


def test_who_says_goodbye_with_a_transfer_is_not_hung_up_on(driver: Driver) -> None:
    responds(driver, 1, "transfer_to_human", "end_call")
    driver.wait(1.2)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished("c1_0", '{"status":"ringing"}'))
    driver.wait(3)
    assert not driver.sent(do.DropHuman)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("join", "human_accepted")]


def test_a_function_that_there_is_not_keeps_nobody_on_the_line(driver: Driver) -> None:
    responds(driver, 1, "no_such_thing", "end_call")
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


# ---- who speaks over a goodbye ---------------------------------------------------------------


def speaks_over(driver: Driver, n: int, words: str = "And now the weather.") -> None:
    """Somebody speaks, for the server and for our own meter, and falls silent again."""
    driver.caller_says(f"w{n}", 0.8, words=words)


def test_a_television_cannot_take_goodbyes_back_for_ever(driver: Driver) -> None:
    for n in (1, 2, 3):
        assert not driver.sent(do.ClosePhone)
        responds(driver, n, "end_call")
        driver.wait(0.3)
        speaks_over(driver, n)
    driver.wait(1)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]
    assert len(driver.sent(do.ClearPhone)) == 2, "the last goodbye is heard to its end"


@pytest.mark.parametrize("dead", [True, False])
def test_nor_by_speaking_before_the_goodbye_is_whole(driver: Driver, *, dead: bool) -> None:
    """The response is cut, before the model has called end_call or just behind it."""
    for n in (1, 2, 3):
        assert driver.call.phase is Phase.TALKING
        wish = on.FunctionCalled(f"r{n}", "f", f"c{n}", "end_call", "{}")
        driver.feed(on.ResponseStarted(f"r{n}", "turn"))
        driver.feed(on.AgentAudio(f"r{n}", f"a{n}", bytes(1000 * MS), -20.0))
        if not dead:
            driver.feed(wish)
        driver.feed(on.SpeechStarted(f"w{n}", 5000 * n))
        driver.hear(0.3)
        if dead:
            driver.feed(wish)
        driver.feed(on.ResponseEnded(f"r{n}", "cancelled"))
        driver.feed(on.SpeechStopped(f"w{n}", 5000 * n + 900), on.InputCommitted(f"w{n}"))
    driver.hear(2.0)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]
    said = [len(c.mulaw) for c in driver.sent(do.SendAudio) if "clip_goodbye" in c.mark]
    assert sum(said) == 1000 * MS, "there is a goodbye, whole"
    assert [len(answers(driver, f"c{n}")) for n in (1, 2, 3)] == [1, 1, 1]


def test_who_has_one_more_thing_and_listens_to_the_answer_may_have_it_as_often_as_they_like(
    driver: Driver,
) -> None:
    for n in range(1, 12, 2):
        responds(driver, n, "end_call")
        driver.wait(1.2)
        speaks_over(driver, n, "Oh, one more thing.")
        responds(driver, n + 1)
        driver.wait(1.5)
        driver.caller_says(f"q{n}", words="Do you have parking?")
    assert driver.call.phase is Phase.TALKING


def test_who_says_wait_twice_in_a_row_is_waited_for(driver: Driver) -> None:
    for n, words in ((1, "Oh."), (2, "Wait!")):
        responds(driver, n, "end_call")
        driver.wait(0.5)
        speaks_over(driver, n, words)
    assert driver.call.phase is Phase.TALKING
    responds(driver, 3)
    driver.wait(1.5)
    driver.caller_says("u4", words="What about Sunday?")
    responds(driver, 4, "end_call")
    driver.wait(0.5)
    speaks_over(driver, 4, "And Monday?")
    assert driver.call.phase is Phase.TALKING


def test_a_goodbye_that_was_heard_is_no_answer_that_was_listened_to(driver: Driver) -> None:
    """The model may call end_call only when its words were heard already."""
    for n in (1, 2, 3):
        driver.feed(on.ResponseStarted(f"r{n}", "turn"))
        driver.feed(on.AgentAudio(f"r{n}", f"a{n}", bytes(500 * MS), -20.0))
        driver.feed(on.AgentAudioEnded(f"r{n}", f"a{n}"))
        driver.wait(0.7)
        driver.feed(on.FunctionCalled(f"r{n}", "f", f"c{n}", "end_call", "{}"))
        driver.feed(on.ResponseEnded(f"r{n}", "completed"))
        if n < 3:
            speaks_over(driver, n)
    driver.wait(0.1)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_an_emergency_is_heard_instead_of_the_last_goodbye(driver: Driver) -> None:
    for n in (1, 2):
        responds(driver, n, "end_call")
        driver.wait(0.3)
        speaks_over(driver, n)
    driver.feed(on.ResponseStarted("r3", "turn"))
    driver.feed(on.FunctionCalled("r3", "f", "c3", "end_call", "{}"))
    driver.feed(on.CallerTranscribed("w2", "Call 911!", alarming=True))
    driver.feed(on.ResponseEnded("r3", "cancelled"))
    driver.wait(2)
    assert driver.call.phase is Phase.TALKING
    assert "interrupted" in answers(driver, "c3")[0]


# ---- who speaks softly, or presses a key -----------------------------------------------------

SOFT = -45.0  # no proven voice


def murmurs(driver: Driver, item: str, words: str, *, failed: bool = False) -> list[do.Command]:
    """The server hears a second of something that our own meter does not take for a voice."""
    driver.feed(on.SpeechStarted(item, 20_000))
    driver.hear(1.0, SOFT)
    driver.hear(0.5, -70.0)
    driver.feed(on.SpeechStopped(item, 21_800), on.InputCommitted(item))
    driver.wait(0.4)
    return driver.feed(on.CallerTranscribed(item, words, failed))


@pytest.mark.parametrize("after_s", [0.3, 2.2])
def test_one_more_thing_may_be_said_softly(driver: Driver, after_s: float) -> None:
    responds(driver, 1, "end_call")
    driver.wait(after_s)
    told = murmurs(driver, "u2", "Oh, one more thing.")
    assert purposes(told) == ["turn"]
    driver.wait(3)
    assert driver.call.phase is Phase.TALKING


def test_a_noise_behind_a_goodbye_holds_nobody_up_for_long(driver: Driver) -> None:
    responds(driver, 1, "end_call")
    driver.wait(2.0)
    murmurs(driver, "u2", "")
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_nor_does_one_that_goes_on(driver: Driver) -> None:
    responds(driver, 1, "end_call")
    driver.wait(2.0)
    driver.feed(on.SpeechStarted("u2", 20_000))
    driver.hear(3.1, SOFT)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_the_words_of_the_goodbye_itself_take_nothing_back_however_late(driver: Driver) -> None:
    driver.agent_says("a0", 500, response="r0")
    driver.wait(1)
    driver.feed(on.SpeechStarted("u2", 20_000))
    driver.hear(1.0, SOFT)
    driver.feed(on.SpeechStopped("u2", 21_800), on.InputCommitted("u2"))
    driver.wait(2.1)  # it is answered without its words
    responds(driver, 1, "end_call")
    driver.feed(on.CallerTranscribed("u2", "That is all, thank you."))
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


def test_soft_words_before_the_goodbye_is_whole_are_answered(driver: Driver) -> None:
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.AgentAudio("r1", "a1", bytes(3000 * MS), -20.0))
    murmurs(driver, "u2", "Wait, and Sunday?")
    driver.feed(on.FunctionCalled("r1", "f", "c1", "end_call", "{}"))
    told = driver.feed(on.ResponseEnded("r1", "completed"))
    assert purposes(told) == ["turn"]
    assert len(answers(driver, "c1")) == 1


def test_a_television_in_the_next_room_takes_no_goodbyes_back_for_ever(driver: Driver) -> None:
    for n in (1, 2, 3):
        assert not driver.sent(do.ClosePhone)
        driver.feed(on.ResponseStarted(f"r{n}", "turn"))
        driver.feed(on.AgentAudio(f"r{n}", f"a{n}", bytes(3000 * MS), -20.0))
        murmurs(driver, f"w{n}", "And now the weather.")
        driver.feed(on.FunctionCalled(f"r{n}", "f", f"c{n}", "end_call", "{}"))
        driver.feed(on.ResponseEnded(f"r{n}", "completed"))
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "agent_ended")]


@pytest.mark.parametrize("settled", [True, False])
def test_keys_that_were_pressed_before_the_goodbye_is_whole_are_answered(
    driver: Driver, *, settled: bool
) -> None:
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.AgentAudio("r1", "a1", bytes(3000 * MS), -20.0), on.AgentAudioEnded("r1", "a1"))
    driver.feed(on.KeyPressed("4"))
    driver.wait(1.3 if settled else 0.5)
    driver.feed(on.FunctionCalled("r1", "f", "c1", "end_call", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.wait(4)
    assert purposes(driver.sent(do.CreateResponse)) == ["turn", "keys"]
    assert not driver.sent(do.ClosePhone)


def test_a_cry_for_a_human_just_before_a_goodbye_is_heard(driver: Driver) -> None:
    driver.feed(on.ResponseStarted("r1", "turn"), on.KeyPressed("0"))
    driver.wait(0.3)
    driver.feed(on.FunctionCalled("r1", "f", "c1", "end_call", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    driver.wait(2)
    assert [c.name for c in driver.sent(do.RunTool)] == ["transfer_to_human"]


# ---- the longest call ------------------------------------------------------------------------


def nearly_over(*names: str) -> Driver:
    """A call of which two seconds are left when the agent calls these functions."""
    driver = Driver(max_call_s=10.0)
    driver.greeted()
    driver.caller_says("u1")
    driver.until(8.0)
    responds(driver, 1, *names)
    return driver


def test_the_longest_call_lasts_until_it_is_told_how_the_booking_went() -> None:
    driver = nearly_over("book_appointment")
    driver.until(10.5)
    told = driver.feed(on.ToolFinished("c1_0", '{"id":7}'))
    assert purposes(told) == ["tool"]
    responds(driver, 2, ms=2000)
    driver.wait(6)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "max_call")]
    sounds = [(c.mark.split(":")[1][:12], len(c.mulaw) // MS) for c in driver.sent(do.SendAudio)]
    assert sum(ms for item, ms in sounds if item == "a2") == 2000
    assert sounds[-1][0] == "clip_wrap_up"


def test_and_until_the_human_who_is_rung_has_come() -> None:
    driver = nearly_over("transfer_to_human")
    driver.until(9.5)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished("c1_0", '{"status":"ringing"}'))
    responds(driver, 2)
    driver.until(25)
    driver.feed(on.HumanAccepted("h1"))
    driver.wait(3)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("join", "human_accepted")]


def test_but_no_longer_than_it_takes_to_reach_somebody() -> None:
    driver = nearly_over("transfer_to_human")
    driver.until(9.5)
    driver.feed(on.HumanRinging("h1"), on.ToolFinished("c1_0", '{"status":"ringing"}'))
    responds(driver, 2)
    driver.until(74.9)
    assert driver.call.phase is Phase.TALKING
    driver.until(84)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "max_call")]
    assert driver.sent(do.DropHuman)
