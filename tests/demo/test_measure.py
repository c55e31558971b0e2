"""Holes are told from pauses, and silence from talk."""

from __future__ import annotations

import pytest
import trio.testing

from relay.demo.measure import Gap, gaps, longest_silence, sounds
from relay.sim.line import Line, Timeline
from relay.sim.pair import memory_pair
from relay.sim.twilio_stream import StreamLeg
from relay.sim.ulaw import SILENCE, tone


class Book:
    """A play-out buffer that is filled by hand."""

    def __init__(self) -> None:
        here, _ = memory_pair()
        self.leg = StreamLeg(here, Line())
        self.playout = self.leg.playout

    def speak(self, item: str, ms: int, at_ms: int, sound: bytes | None = None) -> None:
        mulaw = tone(440, ms) if sound is None else sound
        self.playout.media(mulaw, 8 * at_ms)
        self.playout.mark(f"0:{item}:{ms}", 8 * at_ms)


async def test_a_hole_in_an_item_is_found() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_1", 100, 130)
    assert list(gaps(book.leg)) == [Gap(30.0, 0.13)]


async def test_a_pause_between_items_is_none() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_2", 100, 130)
    assert list(gaps(book.leg)) == []


async def test_speech_without_a_hole_has_none() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.speak("item_1", 100, 60)
    assert list(gaps(book.leg)) == []


async def test_a_longer_silence_in_an_item_is_not_heard() -> None:
    book = Book()
    book.speak("item_1", 100, 0, SILENCE * 800)
    book.speak("item_1", 100, 130, SILENCE * 400 + tone(440, 50))
    assert list(gaps(book.leg)) == []


async def test_what_a_clear_cut_off_is_no_hole() -> None:
    book = Book()
    book.speak("item_1", 100, 0)
    book.playout.clear(8 * 50)
    book.speak("item_1", 100, 130)
    assert list(gaps(book.leg)) == []


def test_sounds_are_told_apart_by_nothing_between_them() -> None:
    heard = Timeline()
    one, other = tone(440, 20), tone(880, 40)
    heard.play(one, 80)
    heard.play(other, 800)
    assert sounds(heard) == [one, other]


# ---- silence --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "said", "longest"),
    [
        ([], [], 4000),
        ([(0, 4000)], [], 0),
        ([], [(0, 4000)], 0),
        ([(0, 1000), (2500, 1500)], [], 1500),
        ([(0, 1000)], [(1400, 1000)], 1600),
        ([(1000, 1000)], [(1500, 2000)], 1000),
    ],
)
async def test_silence_is_when_nobody_speaks(
    autojump_clock: trio.testing.MockClock,
    heard: list[tuple[int, int]],
    said: list[tuple[int, int]],
    longest: int,
) -> None:
    """What somebody says themselves is none. Pairs: at which ms, for how many."""
    line = Line()
    for way, parts in ((line.heard, heard), (line.said, said)):
        for at_ms, ms in parts:
            way.play(tone(440, ms), 8 * at_ms)
    assert longest_silence(line, line.time(0), line.time(32_000)) == longest


async def test_a_breath_that_nobody_hears_is_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = Line()
    line.heard.play(tone(440, 2000, -60.0), 0)
    assert longest_silence(line, line.time(0), line.time(16_000)) == 2000
