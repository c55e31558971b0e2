"""Lines in the order in which they were said, whenever their words come."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import events as on
from relay.core.phases import Phase
from relay.core.playout import Heard
from relay.core.records import CallEnded, OwnerNotice, TranscriptLine
from relay.core.transcript import Transcript
from tests.core.driver import MS, Driver


class Rows:
    """What a store would hold of a transcript."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.transcript.open_gate()
        self.rows: dict[str, TranscriptLine] = {}

    def take(self, rows: list[TranscriptLine]) -> None:
        self.rows |= {row.item_id: row for row in rows}

    def says(self, item: str, previous: str | None = None) -> None:
        """The caller says something: heard by the VAD, committed."""
        self.transcript.caller_spoke(item, 1.0)
        self.take(self.transcript.caller_committed(item, previous))

    def words(self, item: str) -> None:
        self.take(self.transcript.caller_words(item, f"{item}!", 9.0))

    def agent(self, item: str, *, clip: bool = False) -> None:
        self.transcript.agent_spoke(item, 2.0, f"{item}." if clip else None)
        if not clip:
            self.take(self.transcript.agent_words(item, f"{item}."))
        self.take(self.transcript.agent_heard(Heard(item, 100, 100, clip)))

    @property
    def order(self) -> list[str]:
        return [row.item_id for row in sorted(self.rows.values(), key=lambda row: row.position)]

    @property
    def retold(self) -> list[str]:
        return [text[:-1] for _, text in self.transcript.retell()]


@pytest.mark.parametrize("order", list(itertools.permutations(["u1", "u2", "u3"])))
def test_words_come_in_any_order_and_stand_where_they_were_said(order: tuple[str, ...]) -> None:
    rows = Rows()
    rows.says("u1")
    rows.says("u2", "u1")
    rows.agent("a1")
    rows.says("u3", "a1")
    for item in order:
        rows.words(item)
    assert rows.order == rows.retold == ["u1", "u2", "a1", "u3"]


def test_an_utterance_stands_behind_the_item_that_its_commit_names() -> None:
    rows = Rows()
    rows.transcript.caller_spoke("u1", 1.0)  # began before the agent did, committed after
    rows.agent("a1")
    rows.take(rows.transcript.caller_committed("u1", "a1"))
    rows.words("u1")
    assert rows.order == ["a1", "u1"]


def test_an_item_that_a_commit_names_keeps_its_place_until_its_sound_comes() -> None:
    rows = Rows()
    rows.says("u1", "a1")
    rows.words("u1")
    rows.agent("a1")
    assert rows.order == rows.retold == ["a1", "u1"]


def test_a_line_makes_room_for_one_that_was_said_before_it() -> None:
    rows = Rows()
    rows.says("u1")
    rows.words("u1")
    rows.agent("a1")
    rows.agent("clip_one_moment_1", clip=True)
    rows.says("u2", "u1")
    rows.words("u2")
    assert rows.order == rows.retold == ["u1", "u2", "a1", "clip_one_moment_1"]


def test_a_clip_is_no_item_of_the_model_s_and_makes_no_room() -> None:
    rows = Rows()
    rows.agent("a1")
    rows.agent("clip_one_moment_1", clip=True)
    rows.says("u1", "a1")
    rows.words("u1")
    assert rows.order == ["a1", "clip_one_moment_1", "u1"]


def test_words_without_speech_or_commit_stand_at_the_end() -> None:
    rows = Rows()
    rows.says("u1")
    rows.words("u1")
    rows.words("u7")
    assert rows.order == ["u1", "u7"]


def test_a_commit_that_is_repeated_or_of_nothing_changes_nothing() -> None:
    rows = Rows()
    rows.says("u1")
    rows.says("u2", "u1")
    assert rows.transcript.caller_committed("u1", "u2") == []
    assert rows.transcript.caller_committed("u9", "u1") == []
    rows.words("u1")
    rows.words("u2")
    assert rows.order == ["u1", "u2"]


def test_what_was_said_before_the_notice_never_comes_back_by_making_room() -> None:
    rows = Rows()
    rows.transcript.gate_open = False
    rows.says("u1")
    rows.agent("a1")
    rows.words("u1")
    rows.words("u0")
    rows.transcript.open_gate()
    rows.says("u2", "u1")
    rows.words("u2")
    assert rows.order == ["u2"]
    assert rows.transcript.first_words() == "u2!"


@given(st.data())
def test_whatever_comes_when_the_chain_is_kept(data: st.DataObject) -> None:
    """A random conversation, its words in any order: always in the chain's order."""
    rows, chain = Rows(), []
    waiting: list[str] = []
    for number in range(data.draw(st.integers(1, 12))):
        item = f"i{number}"
        if data.draw(st.booleans()):
            rows.says(item, chain[-1] if chain else None)
            waiting.append(item)
        else:
            rows.agent(item)
        chain.append(item)
        if waiting and data.draw(st.booleans()):
            rows.words(waiting.pop(data.draw(st.integers(0, len(waiting) - 1))))
    for item in data.draw(st.permutations(waiting)):
        rows.words(item)
    assert rows.order == chain
    positions = [row.position for row in rows.rows.values()]
    assert len(set(positions)) == len(positions)


# ---- in a call ------------------------------------------------------------------------------


def test_last_words_may_come_late_out_of_order_and_failed() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.caller_says("u2", words=None)
    driver.caller_says("u3", words=None)
    driver.feed(on.PhoneStopped())
    driver.feed(on.ResponseStarted("r1", "turn"), on.ResponseEnded("r1", "cancelled"))
    driver.wait(1.0)
    driver.feed(on.CallerTranscribed("u3", "Goodbye."))
    driver.wait(1.0)
    driver.feed(on.CallerTranscribed("u1", "", failed=True))
    assert driver.call.phase is Phase.LAST_WORDS
    driver.wait(0.9)
    driver.feed(on.CallerTranscribed("u2", "Never mind."))
    assert driver.call.phase is Phase.ENDED
    lines = [line for line in driver.kept(TranscriptLine) if line.speaker == "caller"]
    told = [line.heard_text for line in sorted(lines, key=lambda line: line.position)]
    assert told == ["[inaudible]", "Never mind.", "Goodbye."]


def test_words_that_come_too_late_are_not_waited_for() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words=None)
    driver.feed(on.PhoneStopped())
    driver.wait(3.1)
    assert driver.call.phase is Phase.ENDED
    assert driver.feed(on.CallerTranscribed("u1", "Hello?")) == []


def summary(driver: Driver) -> str:
    driver.feed(on.PhoneStopped())
    driver.wait(4)
    (end,) = driver.kept(CallEnded)
    return str(end.summary)


def test_a_call_is_summed_up_by_what_was_done_or_else_by_what_was_wanted() -> None:
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words="When are\nyou open?")
    assert summary(driver) == "When are you open?"
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1", words="A cleaning, please.")
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"))
    driver.feed(on.ToolFinished("c1", "{}", outcome="booked", notice="Cleaning for Ann"))
    assert summary(driver) == "Cleaning for Ann"


@pytest.mark.parametrize(("told_as", "ref"), [("", "c1"), ("c0", "c0")])
def test_the_owner_is_told_by_the_request_that_had_it_done(told_as: str, ref: str) -> None:
    driver = Driver()
    driver.greeted()
    driver.feed(on.ResponseStarted("r1", "turn"))
    driver.feed(on.FunctionCalled("r1", "f1", "c1", "lookup_hours", "{}"))
    driver.feed(on.ToolFinished("c1", "{}", notice="Cleaning for Ann", told_as=told_as))
    assert [notice.ref for notice in driver.kept(OwnerNotice)] == [ref]


def test_nothing_is_summed_up_of_a_call_whose_notice_was_not_heard() -> None:
    driver = Driver(echo=False)
    driver.start()
    driver.caller_says("u1", words="My name is Bond.")
    assert summary(driver) == ""


def test_of_a_text_that_goes_on_behind_the_cut_no_more_was_heard_than_before() -> None:
    """What the model still made while the cut was under way is in its text, and in no ear."""
    driver = Driver()
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1"), on.AgentAudio("r1", "a1", bytes(2000 * MS), -20.0))
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u2", 9000))
    driver.hear(0.4)
    driver.feed(on.AgentAudio("r1", "a1", bytes(6000 * MS), -20.0))
    words = " ".join(str(n % 10) for n in range(80))  # ten a second
    driver.feed(on.AgentTranscribed("r1", "a1", words), on.ResponseEnded("r1", "cancelled"))
    row = driver.kept(TranscriptLine)[-1]
    assert (row.item_id, row.interrupted) == ("a1", True)
    assert 1000 < row.heard_ms < 1200
    assert 10 <= len(row.heard_text.split()) <= 12
