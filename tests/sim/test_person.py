"""A person on a line: saying, hearing, waiting."""

import pytest
import trio

from relay.sim.line import Line
from relay.sim.person import Person, say_nothing
from relay.sim.ulaw import tone

CLIP = tone(300, 500)


async def heard_at(line, after_s, mulaw):
    await trio.sleep(after_s)
    line.heard.play(mulaw, line.sample())


async def test_saying_takes_as_long_as_the_clip_and_clips_queue(autojump_clock):
    person = Person(Line())
    start = trio.current_time()
    assert await person.say(CLIP) == pytest.approx(start + 0.5)
    assert person.begin_to_say(CLIP) == pytest.approx(start + 1.0)
    assert await person.say(CLIP) == pytest.approx(start + 1.5)
    assert trio.current_time() == pytest.approx(start + 1.5)
    assert bytes(person.line.said.audio) == CLIP * 3


async def test_breaking_off(autojump_clock):
    person = Person(Line())
    person.begin_to_say(CLIP)
    await trio.sleep(0.2)
    person.stop_saying()
    assert person.line.said.end == 1600


async def test_hearing_a_voice_begin_and_end(autojump_clock):
    person = Person(Line())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heard_at, person.line, 1.0, CLIP + b"\xff" * 3200 + CLIP)
        sound = await person.hear_until_silence(600)
    begin = trio.current_time() - person.line.origin - 0.6
    assert begin == pytest.approx(1.0 + 1.4, abs=0.03)
    assert len(sound) == pytest.approx(1.4 * 8000, abs=160)
    assert await person.hear_voice(since=0) == pytest.approx(8000, abs=3)
    assert person.heard_since(8000) == person.line.heard.read(8000, person.line.sample())


async def test_faint_noise_is_silence(autojump_clock):
    person = Person(Line())
    person.line.heard.play(tone(300, 3000, -55), 0)
    assert await person.hear_silence(500) == 0


async def test_every_wait_has_a_deadline(autojump_clock):
    person = Person(Line())
    with pytest.raises(trio.TooSlowError):
        await person.hear_voice(timeout_s=2)
    person.line.heard.play(tone(300, 9000), person.line.sample())
    with pytest.raises(trio.TooSlowError):
        await person.hear_until_silence(timeout_s=5)
    assert trio.current_time() - person.line.origin == pytest.approx(7, abs=0.05)


async def test_keys_and_the_hook(autojump_clock):
    person = Person(Line())
    await say_nothing(person)
    person.press("12")
    assert list(person.line.pressed) == ["1", "2"]
    assert not person.line.hung_up.is_set()
    person.hang_up()
    assert person.line.hung_up.is_set()
