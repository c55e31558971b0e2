"""What the simulated API says in a session in which everything happens, read by the relay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.core import commands as c
from relay.sim.brains import Scripted, call, failed, reply, say
from relay.sim.realtime import Options
from relay.wire.realtime import parse, reading, render
from tests.sim.realtime_client import Client, connected
from tests.wire.test_realtime_writing import SETTINGS
from tests.wire.vendor import SERVER_EVENTS

# Of WebRTC and SIP, of MCP, of an idle timeout and of recognisers that tell speakers apart, none of
# which the relay asks for; a leftover of the beta; and one that may or may not come.
NEVER = {
    *(kind for kind in SERVER_EVENTS if kind.startswith("output_audio_buffer.") or "mcp" in kind),
    "conversation.created",
    "conversation.item.created",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
}


async def live_through(client: Client) -> None:
    """One of everything that the relay does, and the rest of what a client can."""

    async def do(command: Any) -> None:
        await client.socket.send(render(command, "evt", SETTINGS))

    await client.wait("session.created")
    await do(c.ConfigureModel())
    await client.wait("session.updated")
    await do(c.SetTurnSilence(400))
    await client.wait("session.updated", 2)
    await client.say()
    await client.say()
    await do(c.CommitAudio())
    await do(c.AddText("assistant", "Hello.", "item_hello"))
    await do(c.CreateResponse("greeting"))
    done = (await client.wait("response.done"))["response"]
    assert done["metadata"] == {"purpose": "greeting"}
    spoken, called = done["output"]
    await do(c.TruncateItem(spoken["id"], 100))
    await do(c.PostToolOutput(called["call_id"], "{}"))
    await do(c.CreateText("turn"))
    await client.wait("response.done", 2)
    await do(c.AskPrivately("summary", "Sum it up."))
    await client.wait("response.done", 3)
    await do(c.CreateResponse())
    await client.wait("response.done", 4)
    await do(c.CancelResponse("resp_gone"))
    await do(c.DeleteItem("item_hello"))
    await client.wait("conversation.item.deleted")
    await client.send("input_audio_buffer.clear")
    await client.send("conversation.item.retrieve", item_id=spoken["id"])
    await client.wait("conversation.item.retrieved")


@pytest.mark.parametrize("noisy", [False, True])
async def test_all_that_it_says_is_understood(autojump_clock: object, noisy: bool) -> None:
    brain = Scripted(
        reply(say("Good morning.", ms=900), call("lookup_hours", day="tuesday")),
        reply(say("Nine to five.")),
        failed(),
        privately=[reply(say("They asked for the hours."))],
        heard=[None, "When?"],
    )
    async with connected(brain, Options(noisy=noisy), strict=not noisy) as client:
        await live_through(client)
    assert client.session.violations == []
    meanings: dict[str, set[type]] = {kind: set() for kind in SERVER_EVENTS}
    for event in client.session.sent:
        meanings.setdefault(event["type"], set()).add(type(parse(json.dumps(event))))
    unsaid = {kind for kind, meant in meanings.items() if not meant}
    assert unsaid == NEVER
    understood = {kind for kind, meant in meanings.items() if meant - {type(None)}}
    assert understood == reading._READERS.keys()
