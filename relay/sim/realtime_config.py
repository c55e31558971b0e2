"""The session object of the simulated Realtime API: defaults, what may change it, and how.

What a client sends is judged by the `openai` package's own types, and then for what those types let
pass: an unknown field anywhere in it, what is too long or too many, what another model knows. One
bad field refuses the whole update. A merge changes only what is present; `null` switches a nested
thing off.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, get_args

from openai.types.realtime import RealtimeClientEvent
from pydantic import BaseModel, ValidationError

from relay.sim.vad import VadSettings

Json: TypeAlias = dict[str, Any]

PCM: Json = {"type": "audio/pcm", "rate": 24000}
PCMU: Json = {"type": "audio/pcmu"}
BYTES_PER_MS = {"audio/pcm": 48, "audio/pcmu": 8}

_SERVER_VAD: Json = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "create_response": True,
    "interrupt_response": True,
    "idle_timeout_ms": None,
}
_SEMANTIC_VAD: Json = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_VAD_DEFAULTS = {"server_vad": _SERVER_VAD, "semantic_vad": _SEMANTIC_VAD}

_NULLABLE = {
    *("noise_reduction", "transcription", "turn_detection", "idle_timeout_ms"),
    *("tracing", "include", "prompt"),
}

SESSION_S = 3600  # the API's own limit
MAX_OUTPUT_TOKENS = 4096  # the most that can be named, beside "inf"
MAX_EVENT_ID = 512
MAX_METADATA = (16, 64, 512)  # pairs, characters of a key and of a value

# The limit of the beta; nobody has seen what is longer pass.
_ITEM_ID = re.compile(r"[A-Za-z0-9_]{1,32}")
# Models that do not reason, and refuse what is for those that do.
_UNREASONING = re.compile(r"gpt-4o.*|gpt-realtime(-1\.5)?(-mini)?(-20\d\d-\d\d-\d\d)?")
# Fields of a transcription, and whose they are alone.
_OF_RECOGNISERS: Mapping[str, tuple[str, ...]] = {
    "languages": ("gpt-transcribe", "gpt-live-transcribe"),
    "keywords": ("gpt-transcribe", "gpt-live-transcribe"),
    "delay": ("gpt-realtime-whisper",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a client's event was refused: what an `error` event says of it."""

    code: str
    message: str
    param: str | None = None
    type: str = "invalid_request_error"


def default_session(session_id: str, model: str, expires_at: int) -> Json:
    """The session as it is before the first update."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "expires_at": expires_at,
        "output_modalities": ["audio"],
        "instructions": "You are a helpful, quick and friendly voice assistant.",
        "audio": {
            "input": {
                "format": dict(PCM),
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": dict(_SERVER_VAD),
            },
            "output": {"format": dict(PCM), "voice": "alloy", "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "include": None,
        "prompt": None,
    }


# ---- judging what a client sent -------------------------------------------------------------


@cache
def _client_types() -> dict[str, type[BaseModel]]:
    union = get_args(RealtimeClientEvent)[0]
    return {get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(union)}


def fault_in(event: Mapping[str, Any]) -> Fault | None:
    """What is wrong with a client's event, by the types and by the walk; None when nothing is."""
    kind = event.get("type")
    if not isinstance(kind, str):
        return Fault("missing_required_parameter", "Missing required parameter: 'type'.", "type")
    model = _client_types().get(kind)
    if model is None:
        return Fault("invalid_value", f"Invalid value: '{kind}'.", "type")
    try:
        parsed = model.model_validate(_without_references(event))
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(p) for p in first["loc"] if not str(p)[:1].isupper())
        return Fault("invalid_value", f"Invalid value for '{param}': {first['msg']}", param)
    for param in extras(parsed):
        return Fault("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    return next((_wrong(why, param) for param, why in _excesses(event)), None)


def _excesses(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the types let pass in an event and the API does not: (its path, why)."""
    if len(event.get("event_id") or "") > MAX_EVENT_ID:
        yield "event_id", f"longer than {MAX_EVENT_ID} characters"
    item_id = (event.get("item") or {}).get("id")
    if item_id is not None and not _ITEM_ID.fullmatch(item_id):
        yield "item.id", "not 1 to 32 letters, digits and _"
    if event["type"] == "conversation.item.truncate":
        if event["content_index"] != 0:
            yield "content_index", "an item has one part"
        if event["audio_end_ms"] < 0:
            yield "audio_end_ms", "before the beginning"
    for part in ("session", "response"):
        for name, why in _excesses_of(event.get(part) or {}):
            yield f"{part}.{name}", why


def _excesses_of(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The same of what a session's update and a response have in common."""
    modalities = part.get("output_modalities")
    if modalities is not None and len(modalities) != 1:
        yield "output_modalities", "exactly one of audio and text"
    limit = part.get("max_output_tokens")
    if isinstance(limit, int) and not 1 <= limit <= MAX_OUTPUT_TOKENS:
        yield "max_output_tokens", f"not 1 to {MAX_OUTPUT_TOKENS}"
    pairs, key, value = MAX_METADATA
    metadata = part.get("metadata") or {}
    if len(metadata) > pairs or any(len(k) > key or len(v) > value for k, v in metadata.items()):
        yield "metadata", f"more than {pairs} pairs, or of more than {key} and {value} characters"


def _wrong(why: str, param: str) -> Fault:
    return Fault("invalid_value", f"Invalid value for '{param}': {why}.", param)


def _without_references(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event without the `item_reference`s that the types keep in a class of their own."""
    response = event.get("response")
    if not isinstance(response, dict) or not isinstance(response.get("input"), list):
        return event
    items = [
        item
        for item in response["input"]
        if not (isinstance(item, dict) and item.get("type") == "item_reference")
    ]
    return {**event, "response": {**response, "input": items}}


def extras(value: object, path: str = "") -> Iterator[str]:
    """The path of every field in a parsed model that its type does not know."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}".lstrip(".")
        for name in value.model_fields_set - set(value.model_extra or {}):
            yield from extras(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from extras(each, f"{path}[{index}]")


# ---- merging --------------------------------------------------------------------------------


def merged(session: Json, update: Json, *, spoke: bool) -> Json | Fault:
    """The session after an update, or why not. spoke: the voice is fixed by audio already sent."""
    if update.get("type") != "realtime":
        return Fault("invalid_value", "This is a realtime session.", "session.type")
    if update.get("model", session["model"]) != session["model"]:
        return Fault("invalid_value", "The model cannot be changed.", "session.model")
    after = copy.deepcopy(session)
    after.update(_present({key: value for key, value in update.items() if key != "audio"}))
    for side, fields in (update.get("audio") or {}).items():
        after["audio"][side].update(copy.deepcopy(_present(fields or {})))
    output = after["audio"]["output"]
    if spoke and output["voice"] != session["audio"]["output"]["voice"]:
        return Fault("invalid_value", "The voice has been heard.", "session.audio.output.voice")
    for side in ("input", "output"):
        if after["audio"][side]["format"].get("type") not in BYTES_PER_MS:
            return Fault("invalid_value", "No such format here.", f"session.audio.{side}.format")
    turns = after["audio"]["input"]["turn_detection"]
    if turns is not None:
        before = session["audio"]["input"]["turn_detection"] or {}
        base = before if before.get("type") == turns["type"] else _VAD_DEFAULTS[turns["type"]]
        after["audio"]["input"]["turn_detection"] = {**base, **_present(turns)}
    return _range_fault(after) or _model_fault(after) or after


def reasons(model: str) -> bool:
    """Whether a model thinks before it speaks; one that nobody has heard of does."""
    return not _UNREASONING.fullmatch(model)


def _model_fault(session: Json) -> Fault | None:
    """What this session's models do not know."""
    for name in ("reasoning", "parallel_tool_calls"):
        if session.get(name) is not None and not reasons(session["model"]):
            return _wrong(f"{session['model']} does not know it", f"session.{name}")
    path, heard_by = "session.audio.input.transcription", session["audio"]["input"]["transcription"]
    for name, models in _OF_RECOGNISERS.items():
        if heard_by and heard_by.get(name) is not None and heard_by.get("model") not in models:
            return _wrong(f"only for {' and '.join(models)}", f"{path}.{name}")
    turns = session["audio"]["input"]["turn_detection"]
    if turns and heard_by and heard_by.get("model") == "gpt-realtime-whisper":
        return _wrong("this model wants turn_detection to be null", path)
    return None


def _present(fields: Json) -> Json:
    """What an update says: null speaks only for things that can be switched off."""
    return {key: value for key, value in fields.items() if value is not None or key in _NULLABLE}


def _range_fault(session: Json) -> Fault | None:
    """What the types do not check: numbers outside their documented ranges."""
    turns = session["audio"]["input"]["turn_detection"] or {}
    ranges = {
        "session.audio.output.speed": (session["audio"]["output"]["speed"], 0.25, 1.5),
        "session.audio.input.turn_detection.threshold": (turns.get("threshold", 0.5), 0.0, 1.0),
    }
    if turns.get("idle_timeout_ms") is not None:
        path = "session.audio.input.turn_detection.idle_timeout_ms"
        ranges[path] = (turns["idle_timeout_ms"], 5000, 30_000)
    for param, (value, low, high) in ranges.items():
        if not low <= value <= high:
            return Fault("invalid_value", f"Expected {low} to {high}, got {value}.", param)
    return None


# ---- reading it -----------------------------------------------------------------------------


def vad_settings(session: Json) -> VadSettings | None:
    """How turns are detected; None: by the client itself."""
    turns = session["audio"]["input"]["turn_detection"]
    if turns is None:
        return None
    if turns["type"] == "semantic_vad":
        return VadSettings()
    return VadSettings(turns["threshold"], turns["prefix_padding_ms"], turns["silence_duration_ms"])


def text_tokens(value: object) -> int:
    """About how many tokens a text, or anything as JSON, is: four characters each."""
    text = value if isinstance(value, str) else json.dumps(value)
    return (len(text) + 3) // 4
