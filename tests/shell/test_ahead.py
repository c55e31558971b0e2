"""Speech that comes ahead of its time, with nobody else to wake the call meanwhile."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
import trio

from relay.shell.kit import CallFacts
from relay.shell.session import run_call
from relay.sim.pair import MemorySocket, memory_pair
from tests.shell.house import open_house, short_clips

START = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {"streamSid": "MZ1", "callSid": "CA1"},
}


async def test_what_comes_while_the_line_is_ahead_is_sent_a_second_before_that_is_dry(
    autojump_clock,
):
    """The caller's line says nothing, not even silence, and the model stops in mid-sentence."""
    phone, ours = memory_pair(capacity=1000)
    model, theirs = memory_pair(capacity=1000)
    sent: dict[str, float] = {}

    @asynccontextmanager
    async def dial(_: CallFacts) -> AsyncIterator[MemorySocket]:
        yield theirs

    async def note_marks() -> None:
        while True:
            message = json.loads(await phone.receive())
            if message["event"] == "mark":
                sent[message["mark"]["name"]] = trio.current_time()

    async def model_says(kind: str, **fields: object) -> None:
        await model.send(json.dumps({"type": kind, "event_id": "e", **fields}))

    async with open_house() as house, trio.open_nursery() as nursery:
        kit = replace(house.kit, dial=dial, audio_format="pcmu", clips=short_clips())
        call = partial(run_call, ours, call_sid="CA1", kit=kit, choose=lambda _: None)
        nursery.start_soon(call)
        nursery.start_soon(note_marks)
        await phone.send(json.dumps(START))
        await model_says("session.created", session={})
        await model_says("session.updated", session={})
        await trio.sleep(5)  # the greeting is over, by its marks' deadline
        began = trio.current_time()
        await model_says("response.created", response={"id": "r"})
        for ms in (1240, 200):  # all of the first goes out at once
            delta = base64.b64encode(bytes(8 * ms)).decode()
            where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
            await model_says("response.output_audio.delta", **where, delta=delta)
            await trio.sleep(0.1)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert sent["0:i:1240"] == began
    assert sent["0:i:1440"] == pytest.approx(began + 0.24)
