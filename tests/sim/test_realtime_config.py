"""What a session starts as, and what may change it."""

from __future__ import annotations

import pytest

from relay.sim import realtime_config as config
from relay.sim.vad import VadSettings
from tests.sim.strictness import check_event


def session() -> config.Json:
    return config.default_session("sess_1", "gpt-realtime-2.1", 1_800_000_000)


def update(**fields: object) -> config.Json:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def change(before: config.Json, **fields: object) -> config.Json:
    after = config.merged(before, {"type": "realtime", **fields}, spoke=False)
    assert isinstance(after, dict), after
    check_event({"type": "session.updated", "event_id": "e", "session": after})
    return after


def test_the_defaults_stand_in_the_types() -> None:
    check_event({"type": "session.created", "event_id": "e", "session": session()})


def test_only_what_is_present_changes() -> None:
    first = change(session(), instructions="Be brief.", audio={"output": {"voice": "marin"}})
    second = change(first, audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
    assert second["instructions"] == "Be brief."
    assert second["audio"]["output"] == {"format": config.PCM, "voice": "marin", "speed": 1.0}
    assert second["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert second["audio"]["input"]["turn_detection"]["threshold"] == 0.5


def test_null_switches_off_what_can_be_off_and_nothing_else() -> None:
    off = {"input": {"turn_detection": None, "format": None}, "output": {"voice": None}}
    after = change(session(), audio=off, tools=None)
    assert after["audio"]["input"]["turn_detection"] is None
    assert after["audio"]["input"]["format"] == config.PCM
    assert after["audio"]["output"]["voice"] == "alloy"
    assert after["tools"] == []


def test_turn_detection_keeps_what_it_has_and_takes_defaults_when_its_kind_changes() -> None:
    louder = {"type": "server_vad", "threshold": 0.8}
    slower = {"type": "server_vad", "silence_duration_ms": 900, "prefix_padding_ms": None}
    first = change(session(), audio={"input": {"turn_detection": louder}})
    second = change(first, audio={"input": {"turn_detection": slower}})
    assert config.vad_settings(second) == VadSettings(0.8, 300, 900)
    semantic = change(second, audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert semantic["audio"]["input"]["turn_detection"]["eagerness"] == "auto"
    assert config.vad_settings(semantic) == VadSettings()
    assert config.vad_settings(change(second, audio={"input": {"turn_detection": None}})) is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-realtime-2"}, "session.model"),
        ({"audio": {"output": {"speed": 3.0}}}, "session.audio.output.speed"),
        ({"audio": {"input": {"format": {"type": "audio/pcma"}}}}, "session.audio.input.format"),
        ({"max_output_tokens": 5000}, "session.max_output_tokens"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        ({"type": "transcription"}, "session.type"),
    ],
)
def test_what_cannot_be_is_refused(fields: config.Json, param: str) -> None:
    fault = config.merged(session(), {"type": "realtime", **fields}, spoke=False)
    assert isinstance(fault, config.Fault)
    assert (fault.code, fault.param) == ("invalid_value", param)


def test_the_voice_is_fixed_once_it_was_heard() -> None:
    other = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    same = {"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
    fault = config.merged(session(), other, spoke=True)
    assert isinstance(fault, config.Fault)
    assert fault.param == "session.audio.output.voice"
    assert isinstance(config.merged(session(), same, spoke=True), dict)


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (update(temperature=0.8), "unknown_parameter", "session.temperature"),
        (
            update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_ms": 1}}}),
            "unknown_parameter",
            "session.audio.input.turn_detection.silence_ms",
        ),
        (update(tools=[{"type": "function", "strict": True}]), "unknown_parameter", None),
        (update(max_output_tokens="many"), "invalid_value", None),
        ({"type": "response.cancelled"}, "invalid_value", "type"),
        ({"event_id": "e"}, "missing_required_parameter", "type"),
        ({"type": "conversation.item.delete"}, "invalid_value", "item_id"),
        ({"type": "response.create", "respnse": {}}, "unknown_parameter", "respnse"),
    ],
)
def test_an_event_that_the_types_do_not_know_is_a_fault(
    event: config.Json, code: str, param: str | None
) -> None:
    fault = config.fault_in(event)
    assert fault is not None
    assert fault.code == code
    assert param is None or fault.param == param


def test_good_events_have_no_fault() -> None:
    reference = {"type": "item_reference", "id": "item_1"}
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    assert config.fault_in(update(instructions="x", tools=[])) is None
    asked = {"conversation": "none", "input": [reference, message], "metadata": {"purpose": "p"}}
    assert config.fault_in({"type": "response.create", "response": asked}) is None
    assert config.fault_in({"type": "response.create"}) is None
