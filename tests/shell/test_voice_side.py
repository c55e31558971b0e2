"""A call without a second voice. With one, see test_speaker and test_second_voice."""

from __future__ import annotations

import pytest

from relay.core import commands as do
from relay.errors import Misuse
from relay.shell.voice_side import VoiceSide


async def test_where_the_model_speaks_itself_no_voice_can_be_opened(nursery):
    with pytest.raises(Misuse):
        VoiceSide(None).open(lambda _: None, nursery)


def test_nothing_can_be_said_before_it_is_opened_but_goodbye():
    side = VoiceSide(None)
    with pytest.raises(Misuse):
        side.say(do.SayText("r", "i", "Hello.", last=True))
    with pytest.raises(Misuse):
        side.drop("i")
    side.close()
    side.let_go()
