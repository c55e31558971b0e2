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


LONG = "x" * 513
BOTH = ["text", "audio"]
SPEAK = {"type": "response.create"}
CUT = {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 1}
WORDS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}


@pytest.mark.parametrize(
    ("event", "param"),
    [
        (SPEAK | {"event_id": LONG}, "event_id"),
        (
            SPEAK | {"response": {"output_modalities": ["text", "audio"]}},
            "response.output_modalities",
        ),
        (SPEAK | {"response": {"output_modalities": []}}, "response.output_modalities"),
        (SPEAK | {"response": {"max_output_tokens": 4097}}, "response.max_output_tokens"),
        (SPEAK | {"response": {"max_output_tokens": 0}}, "response.max_output_tokens"),
        (SPEAK | {"response": {"metadata": {str(n): "" for n in range(17)}}}, "response.metadata"),
        (SPEAK | {"response": {"metadata": {"x" * 65: ""}}}, "response.metadata"),
        (SPEAK | {"response": {"metadata": {"x": LONG}}}, "response.metadata"),
        (CUT | {"content_index": 1}, "content_index"),
        (CUT | {"audio_end_ms": -1}, "audio_end_ms"),
        ({"type": "conversation.item.create", "item": WORDS | {"id": "x" * 33}}, "item.id"),
        ({"type": "conversation.item.create", "item": WORDS | {"id": "a b"}}, "item.id"),
        (update(output_modalities=BOTH), "session.output_modalities"),
        (update(max_output_tokens=5000), "session.max_output_tokens"),
    ],
)
def test_what_is_longer_or_more_than_the_api_takes_is_a_fault(
    event: config.Json, param: str
) -> None:
    fault = config.fault_in(event)
    assert fault is not None
    assert (fault.code, fault.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("system", {"input_text"}),
        ("user", {"input_text", "input_audio", "input_image"}),
        ("assistant", {"output_text", "output_audio"}),
    ],
)
@pytest.mark.parametrize(
    "kind",
    ["input_text", "input_audio", "input_image", "output_text", "output_audio", "text", "audio"],
)
def test_each_role_has_its_kinds_of_content(role: str, kinds: set[str], kind: str) -> None:
    item = {"type": "message", "role": role, "content": [{"type": kind}]}
    fault = config.fault_in({"type": "conversation.item.create", "item": item})
    assert (fault is None) == (kind in kinds)


def test_at_its_limits_an_event_has_no_fault() -> None:
    metadata = {f"{n:064}": "x" * 512 for n in range(16)}
    response = {"metadata": metadata, "max_output_tokens": 4096, "output_modalities": ["text"]}
    assert config.fault_in(SPEAK | {"response": response, "event_id": "x" * 512}) is None
    assert config.fault_in(SPEAK | {"response": {"max_output_tokens": "inf"}}) is None
    item = WORDS | {"id": "a_" * 16}
    assert config.fault_in({"type": "conversation.item.create", "item": item}) is None
    assert config.fault_in(CUT | {"audio_end_ms": 0}) is None


THINK = {"reasoning": {"effort": "low"}}
ASR = "session.audio.input.transcription"


def words_by(model: str, **fields: object) -> config.Json:
    return {"audio": {"input": {"transcription": {"model": model, **fields}}}}


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        ("gpt-realtime-1.5", THINK, "session.reasoning"),
        ("gpt-realtime", THINK, "session.reasoning"),
        ("gpt-realtime-mini-2025-12-15", THINK, "session.reasoning"),
        ("gpt-realtime-1.5", {"parallel_tool_calls": False}, "session.parallel_tool_calls"),
        ("gpt-realtime-2.1", THINK, None),
        ("gpt-realtime-2.1-mini", {"parallel_tool_calls": False}, None),
        ("gpt-realtime-3", THINK, None),
        ("gpt-realtime-2", words_by("whisper-1", languages=["en"]), f"{ASR}.languages"),
        ("gpt-realtime-2", words_by("gpt-4o-transcribe", keywords=["x"]), f"{ASR}.keywords"),
        ("gpt-realtime-2", words_by("gpt-transcribe", delay="low"), f"{ASR}.delay"),
        ("gpt-realtime-2", words_by("gpt-realtime-whisper"), ASR),
        ("gpt-realtime-2", words_by("gpt-transcribe", languages=["en"], keywords=["x"]), None),
    ],
)
def test_a_field_is_for_some_models_only(
    model: str, fields: config.Json, param: str | None
) -> None:
    before = config.default_session("sess_1", model, 1_800_000_000)
    after = config.merged(before, {"type": "realtime", **fields}, spoke=False)
    assert (after.param if isinstance(after, config.Fault) else None) == param


@pytest.mark.parametrize(("ms", "good"), [(4999, False), (5000, True), (30_000, True)])
def test_an_idle_timeout_has_its_range(ms: int, good: bool) -> None:
    turns = {"type": "server_vad", "idle_timeout_ms": ms}
    update = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
    assert isinstance(config.merged(session(), update, spoke=False), dict) == good
