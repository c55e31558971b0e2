"""A second voice, as the core knows it: held places, exact cuts, and what is left unsaid."""

from __future__ import annotations

from typing import Any

from relay.core import commands as do
from relay.core import events as on
from relay.core.budget import Prices, Tariff
from relay.core.records import SpendAdded, TranscriptLine
from relay.core.voicing import REST, Rest
from tests.core.driver import MS, Driver, of

TEXT = "Nine to five. Or later. "


def driver(**policy: Any) -> Driver:
    return Driver(second_voice=True, **policy)


def writes(call: Driver, text: str = TEXT, response: str = "r1", item: str = "w1") -> list:
    """A whole response of text, faster than any voice."""
    out = call.feed(on.ResponseStarted(response, "turn"))
    out += call.feed(on.AgentText(response, item, text))
    out += call.feed(on.AgentWrote(response, text.strip(), item))
    return out + call.feed(on.ResponseEnded(response, "completed"))


def sounds(call: Driver, ms: int, *words: tuple[int, int], item: str = "w1") -> list:
    return call.feed(on.WordsTimed(item, words), on.AgentAudio("r1", item, bytes(ms * MS), -20.0))


def asked(**policy: Any) -> Driver:
    call = driver(**policy)
    call.greeted()
    call.caller_says("u1")
    return call


# ---- the way to the ear ---------------------------------------------------------------------


def test_a_call_opens_its_voice_and_asks_for_text() -> None:
    call = asked()
    assert len(call.sent(do.OpenVoice)) == 1
    assert call.sent(do.CreateText) == [do.CreateText("turn")]
    assert call.sent(do.CreateResponse) == []


def test_without_one_nothing_of_it_is_ever_said() -> None:
    call = Driver()
    call.greeted()
    call.caller_says("u1")
    writes(call)
    assert call.sent(do.OpenVoice) == call.sent(do.SayText) == []


def test_sentences_are_said_as_they_come_and_the_last_one_is_the_last() -> None:
    call = asked()
    writes(call)
    assert call.sent(do.SayText) == [
        do.SayText("r1", "w1", TEXT),
        do.SayText("r1", "w1", "", last=True),
    ]


def test_what_is_not_yet_spoken_is_not_yet_said() -> None:
    """The response is over, there is no sound yet: still somebody is about to speak."""
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"))
    call.feed(on.AgentText("r1", "w1", "Booked. "))
    call.feed(on.AgentWrote("r1", "Booked.", "w1"))
    call.feed(on.FunctionCalled("r1", "f1", "c1", "book_appointment", "{}"))
    call.feed(on.ResponseEnded("r1", "completed"))
    assert of(call.wait(0.5), do.RunTool) == []
    sounds(call, 400, (8, 400))
    assert of(call.feed(on.AgentAudioEnded("r1", "w1")), do.RunTool) == []
    assert len(of(call.wait(1.0), do.RunTool)) == 1


def test_text_that_is_written_for_us_is_not_said() -> None:
    call = asked()
    call.feed(on.ResponseStarted("p1", "summary"), on.AgentText("p1", "w9", "A cleaning."))
    assert call.sent(do.SayText) == []


def test_each_sentence_is_paid_for_once() -> None:
    call = driver(prices=Prices(voice=Tariff("flash", characters=50_000)))
    call.greeted()
    call.caller_says("u1")
    writes(call)
    (row,) = (row for row in call.kept(SpendAdded) if row.kind == "voice")
    assert row.ref == f"voice_w1_{len(TEXT)}"
    assert (row.model, row.input_text, row.micro_usd) == ("flash", len(TEXT), 50 * len(TEXT))


# ---- the cut --------------------------------------------------------------------------------


def test_a_cut_item_is_written_again_as_it_was_heard() -> None:
    call = asked()
    writes(call)
    sounds(call, 1200, (5, 300), (8, 500), (14, 1000), (17, 1200))
    call.wait(0.55)
    out = call.caller_says("u2")
    assert of(out, do.TruncateItem) == []
    assert of(out, do.DeleteItem) == [do.DeleteItem("w1")]
    (again,) = of(out, do.AddText)
    assert (again.role, again.text) == ("assistant", "Nine to")
    assert of(out, do.DropText) == [do.DropText("w1")]
    line = next(row for row in call.kept(TranscriptLine) if row.item_id == "w1")
    assert (line.generated_text, line.heard_text) == (TEXT.strip(), "Nine to")
    assert line.interrupted


def test_half_a_word_was_not_heard() -> None:
    call = asked()
    writes(call)
    sounds(call, 1200, (5, 1200))
    call.wait(0.4)
    out = call.caller_says("u2")
    assert of(out, do.DeleteItem) == [do.DeleteItem("w1")]
    assert of(out, do.AddText) == []


def test_sound_that_comes_after_the_cut_is_not_played() -> None:
    call = asked()
    writes(call)
    sounds(call, 600, (5, 300))
    call.wait(0.3)
    call.caller_says("u2")
    assert of(sounds(call, 600, (14, 900)) + call.wait(1.0), do.SendAudio) == []


def test_what_was_heard_to_its_end_is_left_as_it_is() -> None:
    call = asked()
    writes(call)
    sounds(call, 500, (len(TEXT), 500))
    call.feed(on.AgentAudioEnded("r1", "w1"))
    call.wait(2.0)
    out = call.caller_says("u2")
    assert of(out, do.DeleteItem) == of(out, do.ClearPhone) == []


def test_of_what_a_lost_session_wrote_the_next_one_is_told_what_was_heard() -> None:
    call = asked()
    writes(call)
    sounds(call, 3000, (5, 300), (len(TEXT), 3000))
    call.wait(0.5)
    call.feed(on.ModelClosed(1006))
    out = call.caller_says("u2")
    assert of(out, do.DeleteItem) == [], "the next one has no such item"
    assert of(out, do.AddText) == [do.AddText("assistant", "Nine", "heard_1")]


# ---- the voice is gone ----------------------------------------------------------------------


def test_a_voice_that_says_nothing_for_a_second_is_given_up() -> None:
    call = asked()
    writes(call)
    out = call.wait(0.99)
    assert of(out, do.CloseVoice) == []
    out = call.wait(0.02)
    assert "voice_lost" in call.notes()
    assert of(out, do.CloseVoice) == [do.CloseVoice()]
    assert of(out, do.DeleteItem) == [do.DeleteItem("w1")]
    (rest,) = of(out, do.CreateResponse)
    assert rest.purpose == REST
    assert rest.instructions.endswith(TEXT.strip())


def test_a_model_that_writes_slowly_is_no_fault_of_the_voices() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Nine to five. "))
    sounds(call, 900, (14, 900))
    call.wait(3.0)
    assert "voice_lost" not in call.notes()


def test_what_was_said_is_heard_and_only_the_rest_is_said_again() -> None:
    call = asked()
    writes(call)
    sounds(call, 1200, (5, 300), (8, 500), (14, 1000))
    out = call.feed(on.VoiceLost("closed", "1006"))
    assert of(out, do.DeleteItem) == [do.DeleteItem("w1")]
    assert [each.text for each in of(out, do.AddText)] == ["Nine to five."]
    (rest,) = of(out, do.CreateResponse)
    assert rest.instructions.endswith("\n\nOr later.")
    call.wait(2.0)
    line = [row for row in call.kept(TranscriptLine) if row.item_id == "w1"][-1]
    assert (line.heard_text, line.interrupted) == ("Nine to five.", True)


def test_a_cut_after_that_still_tells_the_model_what_was_heard() -> None:
    call = asked()
    writes(call)
    sounds(call, 1200, (5, 300), (8, 500), (14, 1000))
    (again,) = of(call.feed(on.VoiceLost("closed")), do.AddText)
    call.wait(0.45)
    out = call.caller_says("u2")
    assert of(out, do.DeleteItem) == [do.DeleteItem(again.item_id)]
    assert [each.text for each in of(out, do.AddText)] == ["Nine to"]


def test_the_rest_waits_for_the_text_to_be_whole() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Nine to five. "))
    assert of(call.feed(on.VoiceLost("quota")), do.DeleteItem) == []
    call.feed(on.AgentText("r1", "w1", "Or later. "), on.AgentWrote("r1", TEXT.strip(), "w1"))
    (rest,) = of(call.feed(on.ResponseEnded("r1", "completed")), do.CreateResponse)
    assert rest.instructions.endswith("Nine to five. Or later.")


def test_a_write_waits_for_the_rest_to_be_heard() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "I book it. "))
    call.feed(on.FunctionCalled("r1", "f1", "c1", "book_appointment", "{}"))
    call.feed(on.VoiceLost("quota"), on.ResponseEnded("r1", "completed"))
    call.feed(on.ResponseStarted("r2", REST))
    assert call.sent(do.RunTool) == []
    call.agent_says("a2", 500, response="r2", text="I book it.")
    assert call.sent(do.RunTool) == []
    call.wait(1.0)
    assert len(call.sent(do.RunTool)) == 1


def test_what_was_wished_for_comes_behind_the_rest() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "One moment. "))
    call.feed(on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"))
    call.feed(on.ToolFinished("c1", "{}"), on.VoiceLost("quota"))
    call.feed(on.ResponseEnded("r1", "completed"))
    call.agent_says("a2", 300, response="r2", text="One moment.")
    assert [each.purpose for each in call.sent(do.CreateResponse)] == [REST, "tool"]


def test_a_goodbye_that_nobody_says_is_said_by_a_clip() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Bye. "))
    call.feed(
        on.AgentWrote("r1", "Bye.", "w1"), on.FunctionCalled("r1", "f", "c", "end_call", "{}")
    )
    call.feed(on.ResponseEnded("r1", "completed"))
    assert call.call.phase.name == "LEAVING"
    call.feed(on.VoiceLost("quota"))
    call.wait(4.0)
    assert [row.item_id for row in call.kept(TranscriptLine)][-1].startswith("clip_goodbye")
    assert len(call.sent(do.ClosePhone)) == 1


def test_a_goodbye_whose_voice_was_lost_while_it_was_written_is_said_by_a_clip() -> None:
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Bye. "))
    call.feed(on.VoiceLost("quota"), on.AgentWrote("r1", "Bye.", "w1"))
    call.feed(on.FunctionCalled("r1", "f", "c", "end_call", "{}"))
    call.feed(on.ResponseEnded("r1", "completed"))
    call.wait(4.0)
    assert [row.item_id for row in call.kept(TranscriptLine)][-1].startswith("clip_goodbye")
    assert len(call.sent(do.ClosePhone)) == 1, "and nobody waits for what is never said"


def test_a_cut_before_the_voice_has_said_anything_keeps_no_filler_back() -> None:
    call = asked(voice_patience_s=5.0)
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Let me look. "))
    call.feed(on.FunctionCalled("r1", "f", "c", "lookup_hours", "{}"))
    call.wait(0.8)
    call.hear(0.1)
    call.feed(on.SpeechStarted("u2", 5000))
    call.hear(0.3)
    call.hear(2.8, -70.0)
    assert [row.item_id for row in call.kept(TranscriptLine)][-1].startswith("clip_one_moment")


def test_a_loss_in_a_silence_is_mended_without_a_word() -> None:
    call = asked()
    call.wait(10.0)
    out = call.feed(on.VoiceLost("closed"))
    assert of(out, do.OpenVoice) == [do.OpenVoice()]
    assert "voice_lost" not in call.notes()


def test_a_refusal_is_taken_at_its_word() -> None:
    call = asked()
    call.wait(10.0)
    assert of(call.feed(on.VoiceLost("quota")), do.OpenVoice) == []
    call.caller_says("u2")
    assert "voice_lost" in call.notes()


def test_the_apology_is_heard_though_the_model_left_in_mid_sentence() -> None:
    """The voice finishes what it was given; what is said after it does not wait for ever."""
    call = asked()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Nine to five. "))
    out = call.feed(on.ModelErrored("insufficient_quota", "…"))
    assert of(out, do.SayText) == [do.SayText("r1", "w1", "", last=True)]
    sounds(call, 600, (14, 600))
    call.feed(on.AgentAudioEnded("r1", "w1"))
    call.wait(5.0)
    assert [row.disposition for row in call.sent(do.ClosePhone)] == ["fallback"]


# ---- what is owed ---------------------------------------------------------------------------


def test_what_is_owed_is_owed_until_it_begins() -> None:
    rest = Rest()
    assert not rest.owed
    rest.owe("One.")
    rest.owe("Two.")
    assert rest.ask().instructions.endswith("One. Two.")
    rest.started("r9", "turn")
    assert rest.text == "One. Two."
    rest.started("r1", REST)
    assert rest.owed
    rest.over("r9")
    assert rest.owed
    rest.over("r1")
    assert not rest.owed


def test_an_item_that_the_model_speaks_is_not_one_of_text_as_well() -> None:
    call = Driver()
    call.greeted()
    call.feed(on.AgentAudio("r1", "a1", b"", -20.0))
    call.feed(on.CallerTranscribed("u1", "Call 911!", alarming=True))
    call.feed(on.AgentText("r1", "a1", "Yes."), on.AgentWrote("r1", "Yes.", "a1"))
    assert call.sent(do.DeleteItem) == [do.DeleteItem("a1")]
