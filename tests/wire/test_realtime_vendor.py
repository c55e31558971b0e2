"""The whole of the API against the `openai` package's types: each event of theirs that we may get,
each command of ours in each setting.

FUZZ_TIMES=32 draws 32 times as many.
"""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import commands as c
from relay.core import events as e
from relay.errors import ModelProtocolError
from relay.sim.realtime_config import fault_in
from relay.wire.realtime import ModelMessage, SessionSettings, parse, reading, render
from tests.depth import TIMES
from tests.wire.strictness import client_event
from tests.wire.test_realtime_reading import CALL
from tests.wire.test_realtime_writing import TOOL
from tests.wire.vendor import SERVER_EVENTS, events

READ = sorted(reading._READERS)
# Of each of the 57 kinds of events and commands: together more than a thousand.
some_of_each = settings(max_examples=20 * TIMES)


# ---- reading --------------------------------------------------------------------------------


def test_what_we_read_is_in_the_api() -> None:
    assert set(READ) <= SERVER_EVENTS.keys()


def cannot_be_used(event: dict[str, Any]) -> bool:
    """Whether an event lacks what the types allow it to lack, and nothing can be done without."""
    if event["type"] in ("response.created", "response.done"):
        return not event["response"].get("id")
    item = event.get("item", {})
    done = event["type"] == "response.output_item.done" and item["type"] == "function_call"
    return done and item.get("status") == "completed" and not item.get("call_id")


@pytest.mark.parametrize("kind", SERVER_EVENTS)
@some_of_each
@given(data=st.data())
def test_every_event_that_the_types_allow_is_read(kind: str, data: st.DataObject) -> None:
    event = data.draw(events(kind))
    text = json.dumps(event, ensure_ascii=data.draw(st.booleans()))
    if cannot_be_used(event):
        with pytest.raises(ModelProtocolError):
            parse(text)
        return
    meaning = parse(text)
    if kind != "response.output_item.done":
        assert (meaning is not None) == (kind in READ)


@given(
    kind=st.sampled_from(["message", "mcp_call", "tool_search_call", "function_call_output", ""]),
    odd=st.sampled_from([{}, [], 5, None, {"a": [1]}, True]),
    field=st.sampled_from(["id", "status", "call_id", "name", "arguments", "content"]),
)
def test_an_item_that_is_no_call_may_look_like_anything(kind: str, odd: Any, field: str) -> None:
    item = CALL | {"type": kind, field: odd}
    done = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
    assert parse(json.dumps(done)) is None


@pytest.mark.parametrize("status", [None, "of_next_year"])
def test_a_response_is_over_whatever_its_status(status: str | None) -> None:
    done = {"type": "response.done", "response": {"id": "r", "status": status}}
    assert parse(json.dumps(done)) == e.ResponseEnded("r", status or "")


# ---- writing --------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
IDS = st.text("abcdef0123456789_", min_size=1, max_size=30)
COMMANDS: dict[type, st.SearchStrategy[Any]] = {
    c.ConfigureModel: st.builds(c.ConfigureModel),
    c.SetTurnSilence: st.builds(c.SetTurnSilence, st.integers(100, 5000)),
    c.CommitAudio: st.builds(c.CommitAudio),
    c.AppendAudio: st.builds(c.AppendAudio, st.sampled_from(["", "AAA=", "ab+/" * 9])),
    c.AddText: st.builds(
        c.AddText, st.sampled_from(["system", "user", "assistant"]), TEXT, st.just("") | IDS
    ),
    c.CreateResponse: st.builds(c.CreateResponse, IDS, TEXT),
    c.CreateText: st.builds(c.CreateText, IDS, TEXT),
    c.AskPrivately: st.builds(c.AskPrivately, IDS, TEXT),
    c.CancelResponse: st.builds(c.CancelResponse, IDS),
    c.TruncateItem: st.builds(c.TruncateItem, IDS, st.integers(0, 10**6)),
    c.DeleteItem: st.builds(c.DeleteItem, IDS),
    c.PostToolOutput: st.builds(c.PostToolOutput, IDS, TEXT),
}
SETTINGS = st.builds(
    SessionSettings,
    instructions=TEXT,
    voice=st.sampled_from(["marin", "cedar", "alloy"]),
    tools=st.sampled_from([(), (TOOL,), (TOOL, TOOL | {"name": "other"})]),
    audio_format=st.sampled_from(["pcm", "pcmu"]),
    transcription_model=st.sampled_from(["", "gpt-transcribe"]),
    languages=st.sampled_from([(), ("en",), ("en", "es")]),
    vad_threshold=st.floats(0, 1),
    silence_ms=st.integers(100, 5000),
    prefix_padding_ms=st.integers(0, 1000),
    noise_reduction=st.sampled_from([None, "near_field", "far_field"]),
    reasoning_effort=st.sampled_from([None, "minimal", "low", "medium", "high", "xhigh"]),
    max_output_tokens=st.just("inf") | st.integers(1, 4096),
    vad_mode=st.sampled_from(["server_vad", "semantic_vad", "none"]),
    vad_eagerness=st.sampled_from(["low", "medium", "high", "auto"]),
    create_response=st.booleans(),
    interrupt_response=st.booleans(),
)


def test_every_command_is_among_those_that_are_tried() -> None:
    assert set(COMMANDS) == set(get_args(ModelMessage))


@pytest.mark.parametrize("kind", COMMANDS)
@some_of_each
@given(data=st.data())
def test_every_command_in_every_setting_is_the_apis_own(kind: type, data: st.DataObject) -> None:
    text = render(data.draw(COMMANDS[kind]), "evt_7", data.draw(SETTINGS))
    client_event(text)
    event = json.loads(text)
    assert event.get("event_id") == (None if kind is c.AppendAudio else "evt_7")
    assert fault_in(event) is None, "the simulated API takes it as well"
