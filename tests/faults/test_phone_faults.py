"""A telephone line that loses, repeats and reorders, seen from the model's ear and the caller's.

Whatever Twilio's messages go through on their way, the model hears as much time as has passed, the
caller gets each answer to its end, and no row says that more was heard than was. Rows S3, S7, S8,
S11 and S14.
"""

from __future__ import annotations

import pytest
import trio

from relay.sim.brains import Scripted, reply, say
from relay.sim.twilio_stream import StreamFaults
from tests.shell.house import open_house, short_clips

CLIPS = short_clips()
CALLS = {
    # More than ten a second that make no sense are no telephone line (S5).
    "eight frames a second twice": StreamFaults(repeat_frame=lambda n: n % 6 == 0),
    "eight a second behind the next": StreamFaults(hold_frame=lambda n: n % 6 == 0),
    "one in ten lost": StreamFaults(lose_frame=lambda n: n % 10 == 0),
    "half a second lost": StreamFaults(lose_frame=lambda n: 120 <= n < 145),
    "a second late at once": StreamFaults(jitter=iter([0.0] * 60 + [1.0] + [0.0] * 10**5).__next__),
    "every mark twice": StreamFaults(repeat_mark=lambda _: True),
    "every other mark lost": StreamFaults(lose_mark=lambda name: name.endswith("00")),
    "no mark at all": StreamFaults(lose_mark=lambda _: True),
    "noisy": StreamFaults(noisy=True),
    "closed without a stop": StreamFaults(abrupt=True),
    "all of it": StreamFaults(
        repeat_frame=lambda n: n % 12 == 0,
        hold_frame=lambda n: n % 13 == 0,
        lose_frame=lambda n: n % 11 == 0,
        repeat_mark=lambda name: name.endswith("20"),
        noisy=True,
        abrupt=True,
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_line_that_is_bad_carries_the_call(autojump_clock, name: str) -> None:
    brain = Scripted(otherwise=reply(say("From nine to five.", ms=1500)), heard=["When?"] * 9)
    async with open_house(clips=CLIPS) as house:
        placed = house.ring(brain, faults=CALLS[name])
        await placed.greeted()
        for n in range(1, 3):
            await placed.say()
            await placed.answered(n)
        await trio.sleep(1)
        on_the_line_ms = (trio.current_time() - placed.began_at) * 1000
        placed.hang_up()
    (session,) = placed.sessions
    assert session.appended_ms == pytest.approx(on_the_line_ms, abs=700)
    first, second = placed.spoken_items()
    assert all(placed.converted(item) in placed.heard() for item in (first, second))
    # What no mark has proven to be heard counts as unheard, the notice among it.
    proven = CALLS[name].lose_mark is None
    assert placed.outcome().outcome == ("resolved" if proven else "abandoned")
    for line in placed.lines():
        if line.speaker == "agent" and line.heard_ms:
            assert line.heard_ms <= placed.played_ms(line.item_id) + 1
    assert set(house.misbehaved()) <= {"old_chunk"}
