import dataclasses
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core import commands as c
from relay.errors import Misuse
from relay.sim.realtime_config import default_session, merged
from relay.wire.realtime import SessionSettings, reasons, render
from tests.wire.strictness import client_event

TOOL = {
    "type": "function",
    "name": "lookup_hours",
    "description": "Opening hours of a day.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
}
SETTINGS = SessionSettings(
    instructions="Be brief.",
    voice="marin",
    tools=(TOOL,),
    audio_format="pcm",
    transcription_model="gpt-transcribe",
    languages=("en",),
    vad_threshold=0.5,
    silence_ms=500,
    prefix_padding_ms=300,
    noise_reduction="near_field",
    reasoning_effort="low",
    max_output_tokens="inf",
)


def spelt(command: Any, settings: SessionSettings = SETTINGS) -> dict[str, Any]:
    """Render, have the API's own types agree, and return what is on the wire."""
    text = render(command, "evt_7", settings)
    client_event(text)
    event: dict[str, Any] = json.loads(text)
    return event


def session(**changes: Any) -> dict[str, Any]:
    event = spelt(c.ConfigureModel(), dataclasses.replace(SETTINGS, **changes))
    assert event.keys() == {"type", "event_id", "session"}
    found: dict[str, Any] = event["session"]
    return found


def test_a_session_is_configured_in_full():
    pcm = {"type": "audio/pcm", "rate": 24000}
    assert spelt(c.ConfigureModel()) == {
        "type": "session.update",
        "event_id": "evt_7",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "Be brief.",
            "audio": {
                "input": {
                    "format": pcm,
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "gpt-transcribe", "language": "en"},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                        "create_response": False,
                        "interrupt_response": False,
                    },
                },
                "output": {"format": pcm, "voice": "marin"},
            },
            "tools": [TOOL],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "reasoning": {"effort": "low"},
        },
    }


def test_each_setting_lands_where_it_belongs():
    audio = session(audio_format="pcmu")["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == {"type": "audio/pcmu"}
    assert session(noise_reduction=None)["audio"]["input"]["noise_reduction"] is None
    assert session(transcription_model="")["audio"]["input"]["transcription"] is None
    assert session(languages=())["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert session(languages=("en", "es"))["audio"]["input"]["transcription"] == {
        "model": "gpt-transcribe",
        "languages": ["en", "es"],
    }
    assert "reasoning" not in session(reasoning_effort=None)
    assert session(max_output_tokens=900)["max_output_tokens"] == 900
    assert session(tools=())["tools"] == []
    vad = session(
        vad_threshold=0.7,
        silence_ms=900,
        prefix_padding_ms=200,
        create_response=True,
        interrupt_response=True,
    )["audio"]["input"]["turn_detection"]
    assert vad == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 200,
        "silence_duration_ms": 900,
        "create_response": True,
        "interrupt_response": True,
    }


def detection(command, **changes):
    event = spelt(command, dataclasses.replace(SETTINGS, **changes))
    return event["session"]["audio"]["input"]["turn_detection"]


def test_a_longer_hold_changes_nothing_else_of_the_detector():
    before = detection(c.ConfigureModel(), silence_ms=500)
    assert detection(c.SetTurnSilence(1100), silence_ms=500) == before | {
        "silence_duration_ms": 1100
    }


def test_the_semantic_detector_is_patient_by_eagerness():
    changes = {"vad_mode": "semantic_vad", "vad_eagerness": "high", "silence_ms": 500}
    assert detection(c.ConfigureModel(), **changes) == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": False,
        "interrupt_response": False,
    }
    assert detection(c.SetTurnSilence(1100), **changes)["eagerness"] == "low"
    assert detection(c.SetTurnSilence(500), **changes)["eagerness"] == "high"


def test_an_unknown_audio_format_is_our_fault():
    with pytest.raises(Misuse, match="opus"):
        dataclasses.replace(SETTINGS, audio_format="opus")


@pytest.mark.parametrize("audio", ["", "AAA=", "ab+/" * 400])
def test_audio_goes_without_an_id(audio):
    assert spelt(c.AppendAudio(audio)) == {"type": "input_audio_buffer.append", "audio": audio}


@pytest.mark.parametrize(
    ("role", "part"),
    [("assistant", "output_text"), ("user", "input_text"), ("system", "input_text")],
)
def test_text_is_put_in_somebodys_mouth(role, part):
    item = {"type": "message", "role": role, "content": [{"type": part, "text": "Hi."}]}
    head = {"type": "conversation.item.create", "event_id": "evt_7"}
    assert spelt(c.AddText(role, "Hi.")) == head | {"item": item}
    assert spelt(c.AddText(role, "Hi.", "note_1")) == head | {"item": {"id": "note_1", **item}}


@pytest.mark.parametrize("role", ["", "tool", "Assistant"])
def test_an_unknown_role_is_our_fault(role):
    with pytest.raises(Misuse, match="role"):
        render(c.AddText(role, "Hi."), "evt_7", SETTINGS)


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (
            c.CreateResponse("greeting"),
            {"type": "response.create", "response": {"metadata": {"purpose": "greeting"}}},
        ),
        (
            c.CreateResponse("clip", "Say this."),
            {
                "type": "response.create",
                "response": {"metadata": {"purpose": "clip"}, "instructions": "Say this."},
            },
        ),
        (
            c.CreateText("turn"),
            {
                "type": "response.create",
                "response": {"metadata": {"purpose": "turn"}, "output_modalities": ["text"]},
            },
        ),
        (c.CancelResponse("resp_1"), {"type": "response.cancel", "response_id": "resp_1"}),
        (
            c.TruncateItem("item_1", 1500),
            {
                "type": "conversation.item.truncate",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 1500,
            },
        ),
        (c.DeleteItem("item_1"), {"type": "conversation.item.delete", "item_id": "item_1"}),
        (
            c.PostToolOutput("call_1", '{"ok":true}'),
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "function_call_output",
                    "call_id": "call_1",
                    "output": '{"ok":true}',
                },
            },
        ),
    ],
)
def test_each_command_has_one_spelling(command, event):
    assert spelt(command) == event | {"event_id": "evt_7"}


@given(text=st.text(st.characters(exclude_categories=())))
@example(text="half a \ud83d smile, a whole \ud83d\ude00")
def test_any_text_arrives_and_what_is_no_unicode_is_replaced(text):
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    said = spelt(c.AddText("user", text))
    assert said["item"]["content"][0]["text"] == whole
    answered = spelt(c.PostToolOutput("call_1", text))
    assert answered["item"]["output"] == whole
    assert session(instructions=text)["instructions"] == whole


def test_a_session_that_hears_no_turns_says_so():
    assert session(vad_mode="none")["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    ("model", "does"),
    [
        *[(f"gpt-realtime-{name}", True) for name in ("2", "2.1", "2.1-mini", "2.1-2026-05-07")],
        ("a model of next year", True),
        *[(f"gpt-realtime{name}", False) for name in ("", "-1.5", "-mini", "-2025-08-28")],
        ("gpt-realtime-mini-2025-12-15", False),
        ("gpt-4o-realtime-preview-2025-06-03", False),
        ("gpt-4o-mini-realtime-preview", False),
    ],
)
def test_which_models_reason(model: str, does: bool):
    assert reasons(model) == does


@pytest.mark.parametrize("model", ["gpt-realtime-1.5", "gpt-realtime-2.1-mini"])
def test_a_session_is_taken_by_the_model_that_it_is_for(model: str):
    effort = "low" if reasons(model) else None
    update = spelt(c.ConfigureModel(), dataclasses.replace(SETTINGS, reasoning_effort=effort))
    before = default_session("sess_1", model, 0)
    assert isinstance(merged(before, update["session"], spoke=False), dict)
