"""What the caller's line brings: who is still there is not left alone, and no key gets lost."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.phases import Phase
from tests.core.driver import HUSH, MS, Driver, of


def leaving(driver: Driver) -> None:
    """The agent says goodbye, and wants to hang up when that was heard."""
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 1000, text="Goodbye.", done=False)
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "end_call", "{}"))
    driver.feed(on.ResponseEnded("r1", "completed"))
    assert driver.call.phase is Phase.LEAVING


def pressed(commands: list[do.Command]) -> list[str]:
    return [c.text for c in of(commands, do.AddText) if c.role == "user" and "pressed" in c.text]


# ---- a goodbye that is taken back ------------------------------------------------------------


@pytest.mark.parametrize("by_key", [False, True])
def test_who_stays_when_the_model_is_gone_goes_to_a_human(*, by_key: bool) -> None:
    driver = Driver()
    leaving(driver)
    driver.feed(on.ModelClosed(1006))
    if by_key:
        driver.feed(on.KeyPressed("4"))
    else:
        driver.hear(0.6)
        assert driver.sent(do.ClearPhone), "they are heard over the goodbye"
    told = driver.wait(5)
    assert of(told, do.ClosePhone) == [do.ClosePhone("fallback", "model_lost")]
    assert not of(told, do.AddText), "there is nobody to tell"
    assert len(driver.played) > 2000 * MS, "the apology"


def test_who_stays_while_a_session_is_replaced_is_told_of_to_the_next_one() -> None:
    driver = Driver(hard_model=True)
    leaving(driver)
    driver.call._state.link.succeed(driver.now, lost=False)
    driver.wait(0.1)
    assert not of(driver.feed(on.KeyPressed("4")), do.AddText)
    driver.feed(on.ModelOpened())
    ready = driver.feed(on.ModelReady())
    assert any("went on speaking" in c.text for c in of(ready, do.AddText))


def test_a_key_takes_a_hang_up_back_and_a_lone_zero_rings_then() -> None:
    driver = Driver()
    leaving(driver)
    driver.wait(1.2)
    driver.feed(on.KeyPressed("0"))
    assert driver.call.phase is Phase.TALKING
    assert [c.name for c in of(driver.wait(1.5), do.RunTool)] == ["transfer_to_human"]
    assert not driver.sent(do.ClosePhone)


def test_a_key_takes_nothing_back_that_cannot_be() -> None:
    driver = Driver(max_call_s=5.0)
    driver.greeted()
    driver.until(5.1)
    driver.feed(on.KeyPressed("4"))
    driver.wait(5)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("hang_up", "max_call")]


# ---- keys -----------------------------------------------------------------------------------


def test_keys_into_the_greeting_are_known_to_a_model_that_is_ready_later() -> None:
    driver = Driver()
    driver.start(ready=False)
    driver.feed(on.KeyPressed("4"))
    driver.wait(1.5)
    driver.feed(on.ModelOpened())
    ready = driver.feed(on.ModelReady())
    assert pressed(ready) == ["(The caller pressed the keys: 4)"]
    assert of(ready, do.CreateResponse), "and they are answered"


def test_keys_between_two_sessions_are_known_to_the_second() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.ModelClosed(1006), on.KeyPressed("4"))
    assert not pressed(driver.wait(1.5))
    driver.feed(on.ModelOpened())
    ready = driver.feed(on.ModelReady())
    assert pressed(ready) == ["(The caller pressed the keys: 4)"]
    assert len(of(ready, do.CreateResponse)) == 1


def test_who_presses_a_key_is_still_there() -> None:
    driver = Driver()
    driver.greeted()
    driver.until(11.5)  # they are asked whether they are
    driver.feed(on.KeyPressed("4"))
    driver.wait(1.5)
    played = len(driver.played)
    driver.agent_says("a1", 500)
    driver.wait(12)
    assert len(driver.played) == played + (500 + 1000) * MS, "they are asked anew"
    assert driver.call.phase is Phase.TALKING


def test_a_call_is_not_moved_while_somebody_presses_keys() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.KeyPressed("4"), on.MoveAsked())
    assert driver.call.phase is Phase.TALKING
    assert pressed(driver.wait(1.5)), "they got through"
    driver.agent_says("a1", 500)
    driver.wait(1)
    assert driver.sent(do.ClosePhone) == [do.ClosePhone("resume", "moved")]


# ---- somebody whom only we have heard ---------------------------------------------------------


def cut_short(**policy: object) -> Driver:
    """Something loud cuts the agent, and the server says nothing of it."""
    driver = Driver(**policy)
    driver.greeted()
    driver.caller_says("u1")
    driver.agent_says("a1", 8000)
    driver.wait(1.0)
    driver.hear(0.5)
    assert driver.sent(do.ClearPhone)
    return driver


def purposes(driver: Driver) -> list[str]:
    return [c.purpose for c in driver.sent(do.CreateResponse)]


def test_a_cut_of_which_nothing_comes_is_followed_by_the_agent_and_not_by_silence() -> None:
    driver = cut_short()
    driver.hear(1.5, HUSH)
    assert purposes(driver) == ["turn"]
    driver.hear(1.0, HUSH)
    assert purposes(driver) == ["turn", "go_on"]


def test_whoever_goes_on_speaking_is_heard_out() -> None:
    driver = cut_short()
    driver.hear(4.0)
    assert purposes(driver) == ["turn"]
    driver.hear(4.5, HUSH)
    assert purposes(driver) == ["turn", "go_on"]


def test_whom_the_server_hears_after_all_is_answered_once() -> None:
    driver = cut_short()
    driver.caller_says("u2")
    driver.agent_says("a2", 500, response="r2")
    driver.hear(5.0, HUSH)
    assert purposes(driver) == ["turn", "turn"]


def test_a_noise_for_the_server_is_no_reason_for_silence_either() -> None:
    driver = cut_short()
    driver.hear(1.0, HUSH)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(1.5, HUSH)
    assert purposes(driver) == ["turn"], "it may become words"
    driver.feed(on.SpeechStopped("u2", 9900), on.InputCommitted("u2"))
    driver.feed(on.CallerTranscribed("u2", ""))
    driver.hear(2.5, HUSH)
    assert purposes(driver) == ["turn", "go_on"]


def test_a_television_is_not_talked_against_for_ever() -> None:
    driver = cut_short()
    for n in range(3):
        driver.hear(3.0, HUSH)
        if purposes(driver)[-1] == "go_on" and n == 0:
            driver.agent_says("a2", 8000, response="r2")
            driver.hear(1.0, HUSH)
            driver.hear(0.6)
    assert len(driver.sent(do.ClearPhone)) == 2
    assert purposes(driver) == ["turn", "go_on"]
    driver.hear(8.0, HUSH)
    assert driver.call._state.idle.prompted, "but it is asked who is there"


def test_nor_is_a_noise_that_the_server_hears_as_well() -> None:
    driver = cut_short()
    for n in (2, 3, 4):
        driver.hear(1.0, HUSH)
        driver.feed(on.SpeechStarted(f"u{n}", 9000 * n))
        driver.hear(0.5, HUSH)
        driver.feed(on.SpeechStopped(f"u{n}", 9000 * n + 800), on.InputCommitted(f"u{n}"))
        driver.feed(on.CallerTranscribed(f"u{n}", ""))
        driver.hear(3.0, HUSH)
        if n == 2:
            assert purposes(driver) == ["turn", "go_on"]
        driver.agent_says(f"a{n}", 8000, response=f"r{n}")
        driver.hear(1.0, HUSH)
        driver.hear(0.6)
    assert purposes(driver).count("go_on") == 1
