"""What stands between `start` and the first turn: held audio, and who speaks first."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.core import commands as do
from relay.core import events as on
from relay.core.model_link import FLUSH_MS, FLUSH_PACE
from relay.core.records import CallEnded, TranscriptLine
from tests.core.driver import HUSH, Driver, of

FRAME_S = 0.02


def listen(driver: Driver, seconds: float, first: int = 0) -> int:
    """The caller's line for a while, each frame with its own number. Returns the next one."""
    frames = round(seconds / FRAME_S)
    for n in range(first, first + frames):
        driver.wait(FRAME_S)
        driver.feed(on.CallerAudio(f"frame{n}", 20, HUSH))
    return first + frames


def told(driver: Driver) -> list[tuple[float, int]]:
    """When the model was told which frame."""
    return [
        (at, int(command.audio.removeprefix("frame")))
        for at, command in driver.log
        if isinstance(command, do.AppendAudio)
    ]


# ---- what the caller said before the model was there ----------------------------------------


def test_what_was_held_is_told_in_order_with_what_is_said_meanwhile_behind_it() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 4.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    listen(driver, 3.0, said)
    assert [n for _, n in told(driver)] == list(range(350))


def test_what_was_held_is_told_at_four_times_the_speed_of_speech_at_most() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 4.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    ready_at = driver.now
    listen(driver, 3.0, said)
    for index, (at, _) in enumerate(told(driver), 1):
        assert index * 20 <= FLUSH_MS + (at - ready_at) * 1000 * FLUSH_PACE + 0.001
    # 4 s and what is said while they are told: a third more than 1 s.
    caught_up = next(at for (at, n), (_, m) in pairwise(told(driver)) if m == n + 1 and n >= 265)
    assert caught_up - ready_at == pytest.approx(4 / 3, abs=0.1)


def test_once_it_has_caught_up_the_model_hears_every_frame_at_once() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 1.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    said = listen(driver, 1.0, said)
    driver.wait(FRAME_S)
    assert driver.feed(on.CallerAudio(f"frame{said}", 20, HUSH)) == [do.AppendAudio(f"frame{said}")]


def test_a_session_that_dies_while_it_is_told_leaves_all_to_the_next_one() -> None:
    driver = Driver()
    driver.start(ready=False)
    said = listen(driver, 3.0)
    driver.feed(on.ModelOpened(), on.ModelReady())
    said = listen(driver, 0.2, said)
    driver.feed(on.ModelClosed(1006))
    said = listen(driver, 0.5, said)
    before = len(told(driver))
    assert before < said
    assert not of(driver.wait(0.02), do.AppendAudio)
    driver.feed(on.ModelOpened("sess_2"), on.ModelReady())
    driver.wait(2.0)
    assert [n for _, n in told(driver)[before:]] == list(range(said))


def test_a_caller_who_is_gone_is_not_told_to_anybody() -> None:
    driver = Driver()
    driver.start(ready=False)
    listen(driver, 3.0)
    driver.feed(on.ModelOpened(), on.ModelReady(), on.PhoneClosed())
    driver.wait(5)
    assert len(told(driver)) * 20 <= 2 * FLUSH_MS
    assert driver.sent(do.EndCall)


# ---- GREETING=live: the model speaks first --------------------------------------------------

WORDS = "Hello from the model."


def live(**policy: object) -> Driver:
    return Driver(live=WORDS, **policy)  # type: ignore[arg-type]


def ready(driver: Driver, after_s: float = 0.1) -> list[do.Command]:
    driver.start(ready=False)
    driver.wait(after_s)
    return driver.feed(on.ModelOpened(), on.ModelReady())


def greet(driver: Driver, ms: int = 1000, status: str = "completed") -> None:
    """The model's greeting, as fast as it makes it."""
    driver.feed(
        on.ResponseStarted("r0", "greeting"),
        on.AgentAudio("r0", "g0", bytes(8 * ms), -20.0),
        on.AgentAudioEnded("r0", "g0"),
        on.AgentTranscribed("r0", "g0", WORDS),
        on.ResponseEnded("r0", status, error_code="server_error"),
    )


def notice_heard(driver: Driver) -> bool:
    return driver.call.statistics().notice_heard


def test_a_live_greeting_is_dialled_asked_for_and_heard() -> None:
    driver = live()
    assert not of(driver.start(ready=False), do.SendAudio)
    assert driver.sent(do.DialModel)
    driver.wait(0.1)
    commands = driver.feed(on.ModelOpened(), on.ModelReady())
    (asked,) = of(commands, do.CreateResponse)
    assert asked.purpose == "greeting"
    assert asked.instructions.endswith(f"\n\n{WORDS}")
    assert not of(commands, do.AddText), "the model need not be told what it says itself"
    driver.wait(0.35)
    greet(driver)
    assert len(driver.played) > 0, "released in the same step"
    assert driver.call.phase.name == "GREETING"
    assert not notice_heard(driver)
    driver.wait(1.1)
    assert driver.call.phase.name == "TALKING"
    assert notice_heard(driver)
    assert bytes(driver.played) == bytes(8 * 1000)
    (line,) = driver.kept(TranscriptLine)
    assert (line.item_id, line.heard_text) == ("g0", WORDS)


def test_a_live_greeting_is_timed_and_answers_nothing() -> None:
    driver = live()
    ready(driver, 0.1)
    driver.wait(0.35)
    greet(driver)
    driver.wait(2)
    driver.feed(on.PhoneClosed())
    driver.wait(5)
    (ended,) = driver.kept(CallEnded)
    assert ended.greeting_ms == pytest.approx(450, abs=1)
    assert ended.outcome == "abandoned"


def test_the_conversation_goes_on_after_a_live_greeting() -> None:
    driver = live()
    ready(driver)
    greet(driver)
    driver.wait(1.5)
    driver.caller_says("u1")
    assert [c.purpose for c in driver.sent(do.CreateResponse)] == ["greeting", "turn"]
    driver.agent_says("a1", 500)
    driver.wait(2)
    assert driver.call.statistics().answers == 1


def test_nobody_cuts_a_live_greeting_and_a_hello_gets_no_answer() -> None:
    driver = live()
    ready(driver)
    driver.caller_says("u1", 0.5, words="Hello?")
    greet(driver, 3000)
    driver.caller_says("u2", 0.5, words="Hello?")
    driver.wait(5)
    assert not driver.sent(do.ClearPhone)
    assert len(driver.sent(do.CreateResponse)) == 1
    assert bytes(driver.played) == bytes(8 * 3000)


def test_a_model_that_is_not_ready_in_time_is_replaced_by_the_clip() -> None:
    driver = live()
    driver.start(ready=False)
    driver.wait(1.99)
    assert not driver.played
    driver.wait(0.02)
    assert driver.played
    driver.wait(1.5)
    assert notice_heard(driver)
    commands = driver.feed(on.ModelOpened(), on.ModelReady())
    assert of(commands, do.AddText) == [do.AddText("assistant", "The greeting clip.")]
    assert not driver.sent(do.CreateResponse), "one greeting is enough"


def test_a_model_that_was_ready_and_then_says_nothing_is_replaced_by_the_clip() -> None:
    driver = live()
    ready(driver, 1.5)
    driver.feed(on.ResponseStarted("r0", "greeting"))
    driver.wait(1.99)
    assert not driver.played
    commands = driver.wait(0.02)
    assert of(commands, do.CancelResponse) == [do.CancelResponse("r0")]
    assert of(commands, do.AddText) == [do.AddText("assistant", "The greeting clip.")]
    greet(driver)
    driver.wait(3)
    assert bytes(driver.played) == bytes(8 * 1000), "what comes late is not heard"
    assert notice_heard(driver)


def test_a_response_that_never_began_is_cancelled_when_it_does() -> None:
    driver = live()
    ready(driver)
    driver.wait(2.01)
    assert driver.played
    assert driver.feed(on.ResponseStarted("r0", "greeting"))[0] == do.CancelResponse("r0")


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
def test_a_greeting_that_breaks_off_does_not_count_and_the_clip_follows(status: str) -> None:
    driver = live()
    ready(driver)
    greet(driver, 400, status=status)
    driver.wait(0.45)
    assert not notice_heard(driver)
    driver.wait(1.5)
    assert notice_heard(driver)
    assert len(driver.played) == 8 * 1400
    assert not driver.sent(do.ClosePhone)
    assert len(driver.sent(do.CreateResponse)) == 1


def test_a_greeting_without_a_sound_is_none() -> None:
    driver = live()
    ready(driver)
    driver.feed(on.ResponseStarted("r0", "greeting"), on.ResponseEnded("r0", "completed"))
    assert driver.played
    driver.wait(1.5)
    assert notice_heard(driver)


def test_a_greeting_is_known_though_its_purpose_does_not_come_back() -> None:
    driver = live()
    ready(driver)
    driver.feed(
        on.ResponseStarted("r0", ""),
        on.AgentAudio("r0", "g0", bytes(8000), -20.0),
        on.AgentAudioEnded("r0", "g0"),
        on.ResponseEnded("r0", "completed"),
    )
    driver.wait(4)
    assert len(driver.played) == 8000
    assert notice_heard(driver)


def test_a_greeting_that_was_heard_before_its_response_was_over_counts_then() -> None:
    driver = live()
    ready(driver)
    driver.feed(
        on.ResponseStarted("r0", "greeting"),
        on.AgentAudio("r0", "g0", bytes(8000), -20.0),
        on.AgentAudioEnded("r0", "g0"),
    )
    driver.wait(1.5)
    assert driver.call.phase.name == "TALKING"
    assert not notice_heard(driver)
    driver.feed(on.ResponseEnded("r0", "completed"))
    assert notice_heard(driver)


def test_a_model_that_dies_while_it_greets_leaves_the_clip_to_it() -> None:
    driver = live()
    ready(driver)
    driver.feed(
        on.ResponseStarted("r0", "greeting"), on.AgentAudio("r0", "g0", bytes(8 * 400), -20.0)
    )
    driver.wait(0.1)
    driver.feed(on.ModelClosed(1006))
    driver.wait(0.5)
    driver.feed(on.ModelOpened("sess_2"), on.ModelReady())
    driver.wait(2)
    assert len(driver.played) == 8 * 1400
    assert notice_heard(driver)
    assert [c.purpose for c in driver.sent(do.CreateResponse)] == ["greeting"]


def test_a_model_that_cannot_be_had_is_no_reason_for_silence() -> None:
    driver = live()
    driver.start(ready=False)
    driver.feed(on.ModelClosed(1006, "no answer"))
    assert driver.played
    driver.wait(5)
    assert driver.sent(do.ClosePhone)[0].disposition == "fallback"


def test_the_zero_key_leads_to_a_human_before_anybody_has_greeted() -> None:
    driver = live()
    driver.start(ready=False)
    driver.feed(on.KeyPressed("0"))
    driver.wait(1.5)
    assert [run.name for run in driver.sent(do.RunTool)] == ["transfer_to_human"]
    driver.feed(on.HumanRinging("a1"), on.HumanAccepted("a1"))
    driver.wait(4)
    assert driver.sent(do.ClosePhone)[0].disposition == "join"


def test_a_caller_who_hangs_up_before_the_greeting_is_not_greeted() -> None:
    driver = live()
    driver.start(ready=False)
    driver.feed(on.PhoneClosed())
    driver.wait(5)
    assert not driver.played
    assert driver.kept(CallEnded)[0].greeting_ms is None
