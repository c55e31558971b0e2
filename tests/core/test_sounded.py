"""The quick look at the ledger's timers comes to what the whole look comes to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from relay.core import call as face
from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.due import advance
from tests.core.driver import HUSH, MS, TIMES, Driver
from tests.core.test_call_machine import AnyCall


class Both:
    """A call, and beside it one that looks through everything after each event."""

    def __init__(self, call: Call, thorough: Call) -> None:
        self._call, self._thorough = call, thorough

    def handle(self, event: on.Event, now: float) -> list[do.Command]:
        said = self._call.handle(event, now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(face, "sounded", advance)
            expected = self._thorough.handle(event, now)
        advance(self._thorough._state, now)  # which adds to the very list
        assert said == expected, event
        mine, right = self._call.deadline, self._thorough.deadline
        assert right is None or (mine is not None and mine <= right), f"late, after {event}"
        return said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def both(**settings: Any) -> Driver:
    driver = Driver(**settings)
    driver.call = Both(driver.call, Driver(**settings).call)  # type: ignore[assignment]
    return driver


class AnyCallTwice(AnyCall):
    """All that happens to a call happens to both."""

    make = staticmethod(both)


TestAnyCallTwice = AnyCallTwice.TestCase
TestAnyCallTwice.settings = settings(max_examples=30 * TIMES, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("second_voice", [False, True])
@pytest.mark.parametrize("ms", [7, 40, 105, 200, 1000])
@pytest.mark.parametrize("pace", [0.5, 1.0, 4.0])
def test_answers_at_any_pace_and_in_any_portions(ms: int, pace: float, second_voice: bool) -> None:
    """Among them such that starve the line, and such that are talked over."""
    driver = both(second_voice=second_voice)
    driver.greeted()
    for turn in range(1, 4):
        response, item = f"r{turn}", f"a{turn}"
        driver.caller_says(f"u{turn}", 0.6)
        driver.feed(on.ResponseStarted(response))
        if second_voice:
            driver.feed(on.AgentText(response, item, "Nine to five."))
        for _ in range(max(1, 4000 // ms)):
            driver.feed(on.AgentAudio(response, item, bytes(MS * ms), -20.0))
            driver.wait(ms / 1000 / pace)
        driver.feed(on.AgentAudioEnded(response, item), on.ResponseEnded(response, "completed"))
        driver.hear(5.0 if turn != 2 else 0.5, HUSH)
    assert driver.sent(do.SendAudio)
