"""Lines that are put together: sums, seats, and what nobody is to hear."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.sim.line import FRAME, PER_MS, Line
from relay.sim.twilio_mix import Seat, listen, mixed
from relay.sim.ulaw import LINEAR, SILENCE, encode, loudness_db, tone

LOW, HIGH = tone(250, 400, -20), tone(900, 400, -20)
frames = st.binary(min_size=FRAME, max_size=FRAME)


@given(st.lists(frames, min_size=2, max_size=4))
def test_a_mix_is_the_sum_whatever_the_order(sounds):
    total = [sum(LINEAR[code] for code in codes) for codes in zip(*sounds, strict=True)]
    assert mixed(sounds) == mixed(sounds[::-1])
    if all(sound.count(SILENCE) < FRAME for sound in sounds):
        assert mixed(sounds) == encode(total)


@given(frames)
def test_one_voice_among_silence_stays_as_it_is(sound):
    hush = SILENCE * FRAME
    assert mixed([hush, sound, hush]) == (b"" if sound == hush else sound)


def test_nobody_says_nothing():
    assert mixed([]) == b""


async def together(seats, seconds, *leave):
    """Let everybody listen for some seconds. leave: (seconds, seat) to go by itself."""
    table = list(seats)
    async with trio.open_nursery() as nursery:
        for seat in seats:
            nursery.start_soon(listen, seat, table)
        for at, seat in leave:
            await trio.sleep(at)
            table.remove(seat)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_nobody_hears_what_was_said_before_they_met(autojump_clock):
    one, other = Line(), Line()
    one.said.play(LOW, 0)
    await trio.sleep(0.2)
    seats = [Seat(one, delay_ms=100), Seat(other)]
    await together(seats, 2)
    heard = bytes(other.heard.audio).strip(SILENCE)
    assert heard in LOW[200 * PER_MS :]
    assert len(heard) > 150 * PER_MS


async def test_nobody_hears_themselves_or_who_has_left(autojump_clock):
    lines = [Line(), Line(), Line()]
    seats = [Seat(line) for line in lines]
    lines[0].said.play(LOW, 0)
    lines[1].said.play(HIGH, 8000)
    await together(seats, 2, (0.5, seats[1]))
    assert LOW[FRAME:-FRAME] in bytes(lines[2].heard.audio)
    assert loudness_db(bytes(lines[0].heard.audio)) == -100.0
    assert HIGH[FRAME:-FRAME] not in bytes(lines[2].heard.audio)


async def test_a_sound_for_one_ear_is_mixed_with_the_voices(autojump_clock):
    one, other = Line(), Line()
    seats = [Seat(one), Seat(other)]
    seats[1].aside += HIGH
    one.said.play(LOW, 0)
    await together(seats, 1)
    both = bytes(other.heard.audio).strip(SILENCE)
    assert loudness_db(both) == pytest.approx(-17, abs=0.5)
    assert loudness_db(bytes(one.heard.audio)) == -100.0


async def test_what_goes_on_for_a_minute_does_not_drift(autojump_clock):
    one, other = Line(), Line()
    seats = [Seat(one), Seat(other)]
    one.said.play(LOW * 150, 0)
    await together(seats, 60)
    assert other.heard.spans == [(FRAME, 60 * 8000)]
