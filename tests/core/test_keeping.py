"""What of a call may be kept: never before the mark, never in a pause, never after a refusal."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import commands as do
from relay.core import events as on
from relay.core.keeping import GOES_ON, REFUSED
from relay.core.records import CallEnded, ConsentNoted, OwnerNotice, TranscriptLine
from tests.core.driver import HUSH, LOUD, Driver, of

RECORDING = (do.StartRecording, do.PauseRecording, do.ResumeRecording, do.DropRecording)
TEXAN = {"caller": "+12145550100", "country": "US", "state": "TX"}
STATES = {"plain": True, "consent_policy": "states", "business_state": "TX"}


def recorder(driver: Driver) -> list[str]:
    return [type(c).__name__ for _, c in driver.log if isinstance(c, RECORDING)]


def consent(driver: Driver) -> ConsentNoted:
    """What the row says in the end."""
    return driver.kept(ConsentNoted)[-1]


def hung_up(driver: Driver) -> Driver:
    driver.feed(on.PhoneStopped())
    driver.wait(20)
    return driver


def lines(driver: Driver) -> list[str]:
    return [row.item_id for row in driver.kept(TranscriptLine)]


# ---- the beginning --------------------------------------------------------------------------


def test_a_recording_starts_when_the_notice_was_heard_and_not_before() -> None:
    driver = Driver(record_calls=True)
    driver.start()
    driver.wait(0.95)
    assert recorder(driver) == []
    assert consent(driver).answer == "hung_up_before"
    driver.wait(0.1)
    assert recorder(driver) == ["StartRecording"]
    row = consent(driver)
    assert row.answer == "stayed"
    assert row.needed
    assert row.heard_at == pytest.approx(1.0, abs=0.05)
    assert row.notice_hash == sha256(b"The greeting clip.").hexdigest()
    driver.caller_says("u1")
    driver.agent_says("a1", 1000)
    driver.wait(2)
    assert recorder(hung_up(driver)) == ["StartRecording"]
    assert {"u1", "a1"} <= set(lines(driver))


def test_nothing_is_recorded_unless_it_is_set() -> None:
    driver = Driver()
    driver.greeted()
    assert recorder(hung_up(driver)) == []
    assert consent(driver).answer == "stayed"


def test_a_mark_that_is_lost_proves_nothing() -> None:
    driver = Driver(echo=False, record_calls=True)
    driver.start()
    driver.wait(20)
    assert recorder(hung_up(driver)) == []
    assert consent(driver).answer == "hung_up_before"
    assert consent(driver).heard_at is None


def test_a_mark_of_another_epoch_proves_nothing() -> None:
    driver = Driver(echo=False, record_calls=True)
    driver.start()
    (name, *_) = [sent.mark for sent in driver.sent(do.SendAudio)][-1:]
    driver.wait(1.2)
    driver.feed(on.MarkEchoed("7" + name), on.MarkEchoed("x"))
    assert recorder(driver) == []
    driver.feed(on.MarkEchoed([sent.mark for sent in driver.sent(do.SendAudio)][-1]))
    assert recorder(driver) == ["StartRecording"]


def test_who_hangs_up_in_the_notice_was_not_recorded() -> None:
    driver = Driver(record_calls=True)
    driver.start()
    driver.wait(0.5)
    assert recorder(hung_up(driver)) == []
    assert consent(driver).answer == "hung_up_before"
    assert driver.kept(CallEnded)[0].notice_heard is False


def test_who_need_not_hear_the_notice_is_greeted_without() -> None:
    driver = Driver(record_calls=True, **STATES)
    driver.start(**TEXAN)
    assert recorder(driver) == []
    driver.wait(1.5)
    assert recorder(driver) == ["StartRecording"], "once the greeting was heard"
    row = consent(driver)
    assert (row.answer, row.needed) == ("none_needed", False)
    assert (row.policy, row.caller_state, row.business_state) == ("states", "TX", "TX")
    assert row.notice_hash == sha256(b"Hello, from an AI.").hexdigest()
    told = [each.text for each in driver.sent(do.AddText) if each.role == "assistant"]
    assert told == ["Hello, from an AI."]


@pytest.mark.parametrize("parameters", [{**TEXAN, "state": "CA"}, {**TEXAN, "country": ""}, {}])
def test_who_must_hear_it_does(parameters: dict[str, str]) -> None:
    driver = Driver(**STATES)
    driver.start(**parameters)
    driver.wait(1.5)
    assert (consent(driver).answer, consent(driver).needed) == ("stayed", True)


def test_without_another_greeting_everybody_hears_the_notice() -> None:
    driver = Driver(**{**STATES, "plain": False})
    driver.start(**TEXAN)
    driver.wait(1.5)
    assert (consent(driver).answer, consent(driver).needed) == ("stayed", True)


# ---- the refusal ----------------------------------------------------------------------------


def refused_by_word(driver: Driver) -> None:
    driver.caller_says("u2", words=None)
    driver.feed(on.CallerTranscribed("u2", "Please don't record me.", refusing=True))


def test_a_refusal_by_word_stops_all_that_is_kept() -> None:
    driver = Driver(record_calls=True)
    driver.greeted()
    driver.caller_says("u1")
    before = len(driver.kept(TranscriptLine))
    refused_by_word(driver)
    assert recorder(driver) == ["StartRecording", "DropRecording"]
    assert REFUSED in [each.text for each in driver.sent(do.AddText)]
    driver.agent_says("a1", 1000)
    driver.wait(2)
    driver.caller_says("u3")
    refused_by_word(driver)
    driver.feed(on.RecordingRefused(), on.PauseAsked(), on.ResumeAsked())
    hung_up(driver)
    assert len(driver.kept(TranscriptLine)) == before
    assert recorder(driver) == ["StartRecording", "DropRecording"]
    row = consent(driver)
    assert row.answer == "declined"
    assert row.heard_at == pytest.approx(1.0, abs=0.05)
    ended = driver.kept(CallEnded)[0]
    assert (ended.summary, ended.notice_heard) == ("", True)


def test_a_refusal_over_the_notice_is_never_recorded() -> None:
    driver = Driver(record_calls=True)
    driver.start()
    driver.wait(0.3)
    driver.feed(on.CallerTranscribed("u1", "Don't record!", refusing=True))
    driver.wait(3)
    hung_up(driver)
    assert recorder(driver) == ["DropRecording"]
    assert lines(driver) == []
    assert consent(driver).answer == "declined"
    assert consent(driver).heard_at is not None


def test_the_last_words_may_be_a_refusal() -> None:
    driver = Driver(record_calls=True)
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.PhoneStopped())
    driver.feed(on.CallerTranscribed("u1", "Don't record this.", refusing=True))
    driver.wait(20)
    assert recorder(driver) == ["StartRecording", "DropRecording"]
    assert "u1" not in lines(driver)
    assert consent(driver).answer == "declined"


def test_an_emergency_after_a_refusal_quotes_nobody() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.RecordingRefused())
    driver.caller_says("u1", words=None)
    driver.feed(on.CallerTranscribed("u1", "Chest pain!", alarming=True))
    (notice,) = driver.kept(OwnerNotice)
    assert "Chest" not in notice.text


# ---- the pause ------------------------------------------------------------------------------


def test_what_is_said_in_a_pause_is_not_kept() -> None:
    driver = Driver(record_calls=True)
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.PauseAsked())
    driver.agent_says("a1", 200)
    driver.feed(on.CallerTranscribed("u1", "I want to pay.", False))
    driver.caller_says("u2", words="Four one one one.")
    driver.agent_says("a2", 1000, response="r2", text="I repeat: four one one one.")
    driver.wait(0.5)
    driver.feed(on.ResumeAsked())
    assert recorder(driver) == ["StartRecording", "PauseRecording"], "the agent still speaks"
    driver.wait(1.5)
    assert recorder(driver) == ["StartRecording", "PauseRecording", "ResumeRecording"]
    driver.caller_says("u3")
    hung_up(driver)
    assert "u1" in lines(driver)
    assert "u3" in lines(driver)
    assert not {"u2", "a1", "a2"} & set(lines(driver))


def test_a_pause_takes_an_utterance_that_has_begun() -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(0.3, LOUD)
    driver.feed(on.PauseAsked(), on.ResumeAsked())
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u1", 2300), on.InputCommitted("u1"))
    driver.feed(on.CallerTranscribed("u1", "4111"))
    assert lines(driver) == ["clip_greeting_1"]


def test_a_pause_ends_by_itself() -> None:
    driver = Driver(record_calls=True, pause_s=8.0)
    driver.greeted()
    driver.feed(on.PauseAsked())
    driver.wait(5)
    driver.feed(on.PauseAsked())
    driver.wait(5)
    assert recorder(driver) == ["StartRecording", "PauseRecording"], "the time began anew"
    driver.wait(4)
    assert recorder(driver) == ["StartRecording", "PauseRecording", "ResumeRecording"]
    assert GOES_ON in [each.text for each in driver.sent(do.AddText)]


def test_a_pause_within_the_greeting_puts_the_start_off() -> None:
    driver = Driver(record_calls=True)
    driver.start()
    driver.feed(on.PauseAsked())
    driver.wait(2)
    assert recorder(driver) == []
    driver.feed(on.ResumeAsked())
    assert recorder(driver) == ["StartRecording"]


def test_who_is_put_through_is_recorded_again() -> None:
    driver = Driver(record_calls=True)
    driver.greeted()
    driver.feed(on.HumanRinging("h1"), on.PauseAsked(), on.HumanAccepted("h1"))
    driver.wait(3)
    assert recorder(driver) == ["StartRecording", "PauseRecording", "ResumeRecording"]
    names = [type(command).__name__ for _, command in driver.log]
    assert names.index("ResumeRecording") < names.index("ClosePhone")


# ---- another stream of the same call --------------------------------------------------------

SAID = (("assistant", "Hello."), ("user", "Hi."))


def resumed(lines: tuple[tuple[str, str], ...], **past: str) -> Driver:
    driver = Driver(record_calls=True)
    driver.feed(on.CallResumed(lines, **past))  # type: ignore[arg-type]
    driver.start()
    driver.wait(3)
    return driver


def test_a_call_that_goes_on_is_not_recorded_twice() -> None:
    driver = resumed(SAID, consent="stayed", recording="RE1")
    assert recorder(driver) == []
    assert driver.kept(ConsentNoted) == [], "the row is there"
    driver.agent_says("a1", 200)
    driver.wait(1)
    driver.feed(on.PauseAsked(), on.ResumeAsked())
    assert recorder(driver) == ["PauseRecording", "ResumeRecording"]
    refused_by_word(driver)
    assert recorder(driver)[-1] == "DropRecording"
    assert consent(driver).answer == "declined"


@pytest.mark.parametrize("answer", ["declined", "unknown"])
def test_a_refusal_outlives_its_stream(answer: str) -> None:
    driver = resumed((), consent=answer)
    driver.caller_says("u1")
    hung_up(driver)
    assert recorder(driver) == []
    assert driver.kept(TranscriptLine) == []
    greeted = [c.text for c in driver.sent(do.AddText) if c.text == "The greeting clip."]
    assert bool(greeted) is (answer == "unknown"), "who has refused was greeted before"


def test_who_did_not_hear_the_notice_hears_it_anew() -> None:
    driver = resumed((), consent="hung_up_before")
    assert recorder(driver) == ["StartRecording"]
    assert consent(driver).answer == "stayed"


# ---- whatever happens in whatever order -----------------------------------------------------

STEPS = {
    "wait": lambda d: d.wait(0.4),
    "long": lambda d: d.wait(9),
    "speak": lambda d: d.caller_says(f"u{len(d.log)}", 0.4),
    "answer": lambda d: d.agent_says(f"a{len(d.log)}", 600, response=f"r{len(d.log)}"),
    "refuse": refused_by_word,
    "tool": lambda d: d.feed(on.RecordingRefused()),
    "pause": lambda d: d.feed(on.PauseAsked()),
    "resume": lambda d: d.feed(on.ResumeAsked()),
    "lost": lambda d: d.feed(on.ModelClosed(1006)),
    "stale": lambda d: d.feed(on.MarkEchoed("5:clip_greeting_1:1000")),
    "stop": lambda d: d.feed(on.PhoneStopped()),
}


@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=14),
    echo=st.booleans(),
    past=st.sampled_from(
        [
            None,
            on.CallResumed((), consent="declined"),
            on.CallResumed(SAID, consent="stayed", recording="RE1"),
            on.CallResumed(()),
        ]
    ),
)
def test_the_two_laws(steps: list[str], echo: bool, past: on.CallResumed | None) -> None:
    driver = Driver(echo=echo, record_calls=True, pause_s=8.0)
    if past:
        driver.feed(past)
    driver.start()
    for step in [*steps, "stop", "long", "long"]:
        STEPS[step](driver)
    states = ["recording" if past and past.recording else "off"]
    follows = {
        ("off", "StartRecording"): "recording",
        ("recording", "PauseRecording"): "paused",
        ("paused", "ResumeRecording"): "recording",
        **{(s, "DropRecording"): "dropped" for s in ("off", "recording", "paused")},
    }
    for name in recorder(driver):
        states.append(follows[states[-1], name])  # anything else is no order to be given
    starts = recorder(driver).count("StartRecording")
    assert starts <= (echo and not (past and past.consent))
    if starts:
        at = next(at for at, c in driver.log if isinstance(c, do.StartRecording))
        assert at >= 1.0, "the greeting is a second long"
    names = [(type(c).__name__, c) for _, c in driver.log]
    drops = [place for place, (name, _) in enumerate(names) if name == "DropRecording"]
    if past and past.consent == "declined":
        drops = [0]
    for place in drops:
        assert not of([c for _, c in names[place:]], do.StartRecording)
        kept = [c.record for c in of([c for _, c in names[place:]], do.Keep)]
        assert not [row for row in kept if isinstance(row, TranscriptLine)]
