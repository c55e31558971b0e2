"""The ledger's laws, as a state machine driven at random, and a few cases by hand."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from relay.core.commands import SendAudio
from relay.core.playout import Heard, Playout
from tests.core.driver import TIMES

MS = 8


def audio(commands: list) -> bytes:
    return b"".join(c.mulaw for c in commands if isinstance(c, SendAudio))


def marks(commands: list) -> list[str]:
    return [c.mark for c in commands if isinstance(c, SendAudio)]


def test_the_first_chunk_is_two_frames_and_those_far_ahead_are_the_longest() -> None:
    playout = Playout(lead_ms=500, refill_ms=100)
    playout.add("a", bytes(1000 * MS), -20.0)
    commands = playout.release(0.0)
    sizes = [len(c.mulaw) // MS for c in commands if isinstance(c, SendAudio)]
    assert sizes == [40, 100, 100, 100, 200]
    assert marks(commands) == [f"0:a:{ms}" for ms in (40, 140, 240, 340, 540)]
    assert playout.next_release == pytest.approx(0.14), "when there is room for two"
    assert playout.release(0.13) == []
    assert marks(playout.release(0.141)) == ["0:a:740"]


def test_a_line_that_is_ahead_falls_before_it_is_filled_and_is_then_filled_at_once() -> None:
    playout = Playout(lead_ms=1300, refill_ms=300)
    playout.add("a", bytes(5000 * MS), -20.0)
    playout.release(0.0)
    until = 1.34
    for _ in range(5):
        due = playout.next_release
        assert due == pytest.approx(until - 1.0), "a second is always left"
        assert playout.release(due - 0.001) == []
        sizes = [len(c.mulaw) // MS for c in playout.release(due)]  # type: ignore[union-attr]
        assert sizes == [200, 200]
        until += 0.4


def test_what_comes_while_the_line_is_ahead_waits_for_the_next_refill() -> None:
    playout = Playout(lead_ms=1300, refill_ms=300)
    playout.add("a", bytes(1240 * MS), -20.0)
    playout.release(0.0)
    assert playout.next_release is None
    playout.add("a", bytes(200 * MS), -20.0)
    assert playout.release(0.1) == []
    assert playout.next_release == pytest.approx(0.24)
    assert marks(playout.release(0.241)) == ["0:a:1440"]


def test_half_of_a_short_lead_is_always_left() -> None:
    playout = Playout(lead_ms=400, refill_ms=300)
    playout.add("a", bytes(1000 * MS), -20.0)
    playout.release(0.0)
    assert playout.next_release == pytest.approx(0.44 - 0.2)


def test_the_sound_of_a_clip_is_shared_by_all_who_say_it() -> None:
    clip = bytes(8000 * MS)
    tracemalloc.start()
    ledgers = [Playout() for _ in range(10)]
    for playout in ledgers:
        playout.add("a", clip, -20.0, local=True)
        playout.release(0.0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 3 * len(clip)


def test_a_chunk_is_as_loud_as_the_loudest_that_is_in_it() -> None:
    playout = Playout(lead_ms=2000)
    for level_db in (-40.0, -10.0, -30.0):
        playout.add("a", bytes(120 * MS), level_db)
    playout.release(0.0)  # 40 ms, 100, 100, and 100
    levels = [playout.level_db(at, 1) for at in (0.02, 0.09, 0.19, 0.29)]
    assert levels == [-40.0, -10.0, -10.0, -30.0]


def test_no_more_than_the_lead_is_ahead_of_the_ear() -> None:
    playout = Playout(lead_ms=300)
    playout.add("a", bytes(5000 * MS), -20.0)
    playout.end("a", 0.0)
    sent, now = 0, 0.0
    while playout.next_release is not None:
        now = max(now, playout.next_release)
        sent += len(audio(playout.release(now))) // MS
        assert sent - now * 1000 <= 300 + 100 + 1e-6
    assert sent == 5000


def test_a_trickle_waits_for_a_chunk_but_not_until_the_line_runs_dry() -> None:
    playout = Playout()
    playout.add("a", bytes(40 * MS), -20.0)
    assert len(audio(playout.release(0.0))) == 40 * MS
    playout.add("a", bytes(300 * MS), -20.0)
    playout.release(0.0)  # 340 ms on the line
    playout.add("a", bytes(10 * MS), -20.0)
    assert not playout.release(0.05)
    assert playout.next_release == pytest.approx(0.14)
    assert len(audio(playout.release(0.15))) == 10 * MS


def test_items_are_said_in_order_and_the_second_waits_for_the_first() -> None:
    playout = Playout()
    playout.add("a", b"a" * 100 * MS, -20.0)
    playout.add("b", b"b" * 100 * MS, -20.0)
    assert set(audio(playout.release(0.0))) == {ord("a")}
    assert not playout.release(0.2)
    playout.end("a", 0.2)
    assert set(audio(playout.release(0.2))) == {ord("b")}


def test_heard_is_the_last_echo_and_the_time_since_up_to_the_next_mark() -> None:
    playout = Playout()
    playout.add("a", bytes(1000 * MS), -20.0)
    playout.release(0.0)
    assert playout.heard_ms("a", 0.5) == 0  # no echo, no proof
    playout.echoed("0:a:40", 1.0)
    assert playout.heard_ms("a", 1.03) == 70
    assert playout.heard_ms("a", 1.5) == 140  # never beyond the next mark


def test_an_echo_that_is_told_late_counts_from_when_it_came() -> None:
    playout = Playout()
    playout.add("a", bytes(1000 * MS), -20.0)
    playout.release(0.0)
    playout.echoed("0:a:40", 1.03, 0.03)
    assert playout.heard_ms("a", 1.03) == 70


def test_the_mark_that_ends_an_item_is_awaited_once_all_of_it_is_on_its_way() -> None:
    playout = Playout()
    playout.add("a", bytes(100 * MS), -20.0)
    playout.add("b", bytes(100 * MS), -20.0)
    playout.release(0.0)
    assert playout.awaited == "", "more of it may come"
    playout.end("a", 0.0)
    assert playout.awaited == "0:a:100"
    playout.release(0.0)
    playout.end("b", 0.0)
    assert playout.awaited == "0:a:100", "one after the other"
    playout.echoed("0:a:100", 0.1)
    assert playout.awaited == "0:b:100"
    playout.cut(0.1)
    assert playout.awaited == ""


def test_a_lost_mark_costs_nothing_once_a_later_one_echoes() -> None:
    playout = Playout()
    playout.add("a", bytes(320 * MS), -20.0)
    playout.end("a", 0.0)
    playout.release(0.0)
    assert playout.echoed("0:a:320", 0.33) == [Heard("a", 320, 320, local=False)]
    assert playout.quiet()


def test_marks_that_never_come_are_given_up_unproven() -> None:
    playout = Playout(mark_patience_s=2.0)
    playout.add("a", bytes(100 * MS), -20.0)
    playout.end("a", 0.0)
    playout.release(0.0)
    assert playout.settle(2.0) == []
    assert playout.settle_at == pytest.approx(2.1)
    assert playout.settle(2.1) == [Heard("a", 100, 100, local=False, proven=False)]


def test_echoes_after_a_cut_prove_nothing() -> None:
    playout = Playout()
    playout.add("a", bytes(1000 * MS), -20.0)
    names = marks(playout.release(0.0))
    playout.echoed(names[0], 0.04)
    (cut,) = playout.cut(0.07)
    assert (cut.heard_ms, cut.complete) == (70, False)
    assert all(playout.echoed(name, 0.1) is None for name in names[1:])
    assert playout.add("a", b"late", -20.0) is False


def test_an_item_that_may_go_on_is_interrupted_even_if_all_of_it_was_heard() -> None:
    playout = Playout()
    playout.add("a", bytes(20 * MS), -20.0)
    playout.release(0.0)
    playout.echoed("0:a:20", 0.02)
    (cut,) = playout.cut(0.5)
    assert (cut.heard_ms, cut.received_ms, cut.interrupted) == (20, 20, True)


def test_the_level_on_the_line_follows_what_is_played_not_what_is_queued() -> None:
    playout = Playout()
    playout.add("a", bytes(200 * MS), -30.0)
    playout.add("a", bytes(800 * MS), -10.0)
    playout.release(0.0)
    assert playout.level_db(0.01, 400) == -30.0
    assert playout.level_db(0.5, 400) == -10.0
    assert playout.level_db(9.0, 400) == -100.0


class Ledger(RuleBasedStateMachine):
    """Random audio, time, echoes (late, lost, doubled, made up), cuts. The laws hold throughout."""

    @initialize(lead=st.sampled_from([100, 400, 1300]), refill=st.sampled_from([100, 300, 900]))
    def open(self, lead: int, refill: int) -> None:
        self.playout = Playout(lead_ms=lead, refill_ms=refill)
        self.now = 0.0
        self.received: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}
        self.over: dict[str, Heard] = {}
        self.ended: set[str] = set()
        self.pending: list[str] = []
        self.stale: list[str] = []
        self.heard_before: dict[str, int] = {}
        self.count = 0

    def take(self, commands: list) -> None:
        for sent in commands:
            item = sent.mark.split(":")[1]
            assert item not in self.over, "a part of a cut item was sent"
            self.sent[item] = self.sent.get(item, b"") + sent.mulaw
            assert sent.mark.endswith(f":{len(self.sent[item]) // MS}")
            self.pending.append(sent.mark)

    def finish(self, items: list[Heard] | None) -> None:
        for item in items or []:
            assert item.item_id not in self.over, "an item ended twice"
            assert 0 <= item.heard_ms <= len(self.sent.get(item.item_id, b"")) // MS
            assert item.received_ms == len(self.received[item.item_id]) // MS
            self.over[item.item_id] = item

    @rule(n=st.integers(0, 5), size=st.integers(1, 12_000), level=st.floats(-60, 0))
    def audio_comes(self, n: int, size: int, level: float) -> None:
        item = f"i{n}"
        data = bytes((self.count + k) % 251 for k in range(size))
        self.count += size
        taken = self.playout.add(item, data, level)
        assert taken == (item not in self.over and item not in self.ended)
        if taken:
            self.received[item] = self.received.get(item, b"") + data

    @rule(n=st.integers(0, 5))
    def item_ends(self, n: int) -> None:
        item = f"i{n}"
        if item in self.received and item not in self.ended | self.over.keys():
            self.ended.add(item)
            self.received[item] += b"\xff" * (-len(self.received[item]) % MS)
        self.finish(self.playout.end(item, self.now))

    @rule(ms=st.integers(0, 700))
    def time_passes(self, ms: int) -> None:
        self.now += ms / 1000
        self.take(self.playout.release(self.now))
        due = self.playout.next_release
        assert due is None or due > self.now, "release left something undone"

    @precondition(lambda self: self.pending)
    @rule(skip=st.integers(0, 3))
    def mark_echoes(self, skip: int) -> None:
        index = min(skip, len(self.pending) - 1)
        name = self.pending[index]
        awaited = self.playout.awaited
        assert awaited in ("", *self.pending)
        ends = awaited in self.pending[: index + 1]
        self.stale += self.pending[: index + 1]
        del self.pending[: index + 1]
        heard = self.playout.echoed(name, self.now)
        assert heard is not None
        assert bool(heard) == ends, "only the mark that is awaited, or what is behind it, ends one"
        self.finish(heard)

    @rule(data=st.data())
    def stale_mark_echoes(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.stale, "9:i0:20", "junk"]))
        before = self.snapshot()
        assert self.playout.echoed(name, self.now) is None
        assert self.snapshot() == before

    @rule()
    def marks_are_given_up(self) -> None:
        given_up = self.playout.settle(self.now)
        if self.playout.settle_at is None:
            self.stale += self.pending
            self.pending.clear()
        self.finish(given_up)

    @rule()
    def caller_cuts(self) -> None:
        epoch = self.playout.epoch
        self.finish(self.playout.cut(self.now))
        assert self.playout.epoch == epoch + 1
        assert self.playout.quiet()
        self.stale += self.pending
        self.pending.clear()

    def snapshot(self) -> tuple:
        heard = tuple(self.playout.heard_ms(f"i{n}", self.now) for n in range(6))
        return heard, self.playout.quiet(), self.playout.next_release, self.playout.epoch

    @invariant()
    def heard_sent_received(self) -> None:
        if not hasattr(self, "playout"):
            return
        for item, received in self.received.items():
            sent = self.sent.get(item, b"")
            assert received.startswith(sent), "what was sent is not what was received"
            heard = self.playout.heard_ms(item, self.now)
            assert heard <= len(sent) // MS <= len(received) // MS
            if item not in self.over:
                assert heard >= self.heard_before.get(item, 0), "the ear forgot"
                self.heard_before[item] = heard


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=80 * TIMES, stateful_step_count=40, deadline=None)
