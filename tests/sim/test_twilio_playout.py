"""The play-out book: what was heard, and what an echoed mark is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sim.line import Timeline
from relay.sim.twilio_playout import MAX_BUFFERED, Playout


@pytest.fixture
def playout():
    return Playout(Timeline())


def names(marks):
    return [mark.name for mark in marks]


def test_a_mark_is_echoed_when_all_before_it_was_played(playout):
    playout.media(b"a" * 800, 100)
    playout.mark("first", 100)
    playout.media(b"b" * 800, 150)
    playout.mark("second", 160)
    assert playout.next_echo == 900
    assert playout.echoes(899) == []
    assert names(playout.echoes(900)) == ["first"]
    assert names(playout.echoes(5000)) == ["second"]
    assert not any(mark.discarded for mark in playout.marks)
    assert playout.next_echo is None


def test_a_mark_with_nothing_buffered_is_due_at_once(playout):
    playout.mark("empty", 70)
    assert names(playout.echoes(70)) == ["empty"]
    playout.media(b"a" * 8, 100)
    playout.mark("late", 200)
    assert names(playout.echoes(200)) == ["late"]


def test_clear_echoes_every_mark_at_once_but_knows_which_were_not_played(playout):
    playout.media(b"a" * 800, 0)
    playout.mark("played", 0)
    playout.media(b"b" * 800, 0)
    playout.mark("cut", 0)
    playout.mark("cut too", 0)
    playout.clear(1000)
    assert names(playout.echoes(1000)) == ["played", "cut", "cut too"]
    assert [mark.discarded for mark in playout.marks] == [False, True, True]
    assert bytes(playout.heard.audio) == b"a" * 800 + b"b" * 200


def test_what_was_played_of_a_stretch_is_exact(playout):
    playout.media(b"a" * 800, 0)
    playout.media(b"b" * 800, 0)
    assert playout.played(0, 1600, now=1000) == 1000
    assert playout.played(700, 900, now=750) == 50
    playout.clear(1000)
    assert playout.played(0, 1600, now=9999) == 1000
    playout.media(b"c" * 100, 1010)
    playout.clear(1400)
    playout.clear(1500)
    assert playout.played(0, 1700, now=9999) == 1100
    assert playout.played(1600, 1700, now=1060) == 50


def test_a_late_chunk_leaves_a_hole(playout):
    playout.media(b"a" * 160, 0)
    playout.media(b"b" * 160, 240)
    assert playout.heard.gaps() == [(160, 240)]
    assert [chunk.start for chunk in playout.chunks] == [0, 240]


def test_ten_minutes_fit_and_no_more(playout):
    assert playout.media(b"a" * MAX_BUFFERED, 0) == 0
    assert playout.media(b"b" * 10, 0) == 10
    assert playout.media(b"b" * 10, 4) == 6
    assert playout.received == MAX_BUFFERED + 4


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 400)),
        st.tuples(st.just("media"), st.integers(0, 600)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_laws_of_the_buffer(steps):
    """Every received byte is heard once or cut; every mark comes back once, in order, when due."""
    playout, now, echoed, received = Playout(Timeline()), 0, [], bytearray()
    for number, (what, size) in enumerate(steps):
        if what == "wait":
            for _ in range(size):
                now += 1
                echoed += playout.echoes(now)
        elif what == "media":
            sound = bytes([number]) * size
            received += sound
            assert playout.media(sound, now) == 0
        elif what == "mark":
            playout.mark(str(number), now)
        else:
            playout.clear(now)
        echoed += playout.echoes(now)
    end = now + len(received) + 1
    echoed += playout.echoes(end)
    assert names(echoed) == names(playout.marks)
    assert playout.next_echo is None
    heard = bytearray(playout.heard.read(0, end))
    for chunk in playout.chunks:
        played = chunk.played(end)
        sound = received[chunk.offset : chunk.offset + played]
        assert heard[chunk.start : chunk.start + played] == sound
        heard[chunk.start : chunk.start + played] = b"\xff" * played
        assert playout.played(chunk.offset, chunk.offset + chunk.size, end) == played
    assert heard.strip(b"\xff") == b""
    for mark in playout.marks:
        assert mark.arrived <= mark.echoed
        whole = playout.played(0, mark.offset, mark.echoed) == playout.played(0, mark.offset, end)
        assert whole
        if not mark.discarded:
            last = [c for c in playout.chunks if c.offset < mark.offset][-1:]
            assert all(c.start + c.played(end) <= mark.echoed for c in last if c.played(end))
