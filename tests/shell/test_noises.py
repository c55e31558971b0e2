"""What a telephone picks up beside the caller does not stop the agent; a word does."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from relay.sim.brains import Scripted, reply, say
from relay.sim.ulaw import SILENCE
from relay.sim.voice import speak, to_mulaw
from tests.shell.house import Placed, open_house


def hiss(ms: int, peak_db: float, decay_db: float = 0.0) -> bytes:
    """Noise like breath; decay_db: how much weaker it is at its end."""
    dice = np.random.default_rng(ms)
    level = peak_db - decay_db * np.arange(8 * ms) / (8 * ms)
    noise = dice.standard_normal(8 * ms) * 32768 * 10 ** (level / 20)
    return to_mulaw(np.clip(noise, -32768, 32767).astype("<i2").tobytes())


COUGH = hiss(60, -14) + hiss(200, -20, 16)
NOISES = {
    "a cough": COUGH,
    "a bout of coughs": COUGH + SILENCE * 1200 + COUGH + SILENCE * 1600 + COUGH,
    "breath into the microphone": hiss(1500, -18),
}


async def over_the_answer(call: Placed, sound: bytes) -> None:
    """Ask, and two seconds into the answer let the telephone pick something up."""
    await call.greeted()
    await call.say()
    await call.until(call.spoken_items)
    await trio.sleep(2)
    await call.say(sound)
    await call.quiet()
    await trio.sleep(2)
    call.hang_up()


@pytest.mark.parametrize("noise", NOISES)
async def test_a_noise_is_played_through_and_forgotten(autojump_clock, noise):
    brain = Scripted(reply(say("A long answer.", ms=8000)), heard=["When?", "", "", ""])
    async with open_house() as house:
        call = house.ring(brain)
        await over_the_answer(call, NOISES[noise])
    (item,) = call.spoken_items()
    assert call.leg.playout.clears == []
    assert call.converted(item) in call.heard()
    assert len(call.session.sent_of("input_audio_buffer.speech_started")) > 1, "it was suspected"
    assert [i.said for i in call.session.conversation if i.role == "user"] == ["When?"]


@pytest.mark.parametrize("word", ["Stop.", "No.", "Wait."])
async def test_one_word_is_enough(autojump_clock, word):
    brain = Scripted(
        reply(say("A long answer.", ms=8000)),
        reply(say("Yes?", ms=500)),
        heard=["When?", word],
    )
    async with open_house() as house:
        call = house.ring(brain)
        await over_the_answer(call, speak(word))
    assert len(call.leg.playout.clears) == 1
    assert len(call.spoken_items()) == 2
    assert call.outcome().barge_ins == 1
