"""What is remembered of humans who were rung. What they hear and do is in tests/web."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio

from relay.core import events as on
from tests.fakes import FakePhone, FakeStore, make_humans


class Call:
    """What hears of an attempt."""

    def __init__(self) -> None:
        self.heard: list[on.Event] = []

    def tell(self, event: on.Event) -> None:
        self.heard.append(event)


@pytest.mark.parametrize("joining", [False, True])
async def test_an_attempt_that_is_remembered_does_not_keep_its_call(joining):
    humans = make_humans(FakePhone(), FakeStore())
    call = Call()
    assert await humans.ring("CA1", "", "a bill", call.tell) == ""
    assert len(call.heard) == 1
    humans.left("CA1", joining=joining)
    assert await humans.ring("CA1", "", "again", call.tell) == "", "it is remembered"
    humans.left("CA1", joining=joining)
    gone = weakref.ref(call)
    del call
    await trio.lowlevel.checkpoint()  # until then Trio holds what ended its sleep, frames and all
    gc.collect()
    assert gone() is None
