"""Is a Realtime event exactly what the `openai` package's types know, and nothing more?

Those types accept any extra field, so that a typo validates. Here an event is parsed by them, the
parsed models are walked, and every field that they do not name is listed. A second look compares
what was parsed with what was given: a union that settled on the wrong member would lose fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

# Sent by the real server, not in the types.
KNOWN_EXTRAS = frozenset({"obfuscation", "phase"})


def _by_type(events: Any) -> dict[str, TypeAdapter[BaseModel]]:
    """The events of a union by their `type`: to try all members of it takes far longer."""
    members = get_args(get_args(events)[0])
    return {
        kind: TypeAdapter(member)
        for member in members
        for kind in get_args(member.model_fields["type"].annotation)
    }


_CLIENT, _SERVER = _by_type(RealtimeClientEvent), _by_type(RealtimeServerEvent)


def client_event(text: str) -> BaseModel:
    """Parse what we send. AssertionError names each field that the API does not have."""
    return _exactly(_CLIENT, json.loads(text))


def server_event(text: str) -> BaseModel:
    """Parse what the model sends. AssertionError names each field that the API does not have."""
    return server_object(json.loads(text))


def server_object(event: dict[str, Any]) -> BaseModel:
    """The same of an event that has been read already."""
    return _exactly(_SERVER, event)


def extras(value: object, path: str = "$") -> Iterator[str]:
    """Paths of all fields under value that its types do not name."""
    if isinstance(value, BaseModel):
        for name in (value.model_extra or {}).keys() - KNOWN_EXTRAS:
            yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from extras(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from extras(inner, f"{path}[{index}]")


def _exactly(types: dict[str, TypeAdapter[BaseModel]], given: dict[str, Any]) -> BaseModel:
    assert given["type"] in types, f"the API has no {given['type']}"
    event = types[given["type"]].validate_python(given)
    unknown = list(extras(event))
    assert not unknown, f"the API has no {unknown}"
    kept = event.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert kept == given, "the types kept something else than was given"
    return event
