"""Is a Realtime event exactly what the `openai` package's types know, and nothing more?

Those types accept any extra field, so that a typo validates. Here an event is parsed by them, the
parsed models are walked, and every field that they do not name is listed. A second look compares
what was parsed with what was given: a union that settled on the wrong member would lose fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

# Sent by the real server, not in the types.
KNOWN_EXTRAS = frozenset({"obfuscation", "phase"})

_CLIENT: TypeAdapter[BaseModel] = TypeAdapter(RealtimeClientEvent)
_SERVER: TypeAdapter[BaseModel] = TypeAdapter(RealtimeServerEvent)


def client_event(text: str) -> BaseModel:
    """Parse what we send. AssertionError names each field that the API does not have."""
    return _exactly(_CLIENT, text)


def server_event(text: str) -> BaseModel:
    """Parse what the model sends. AssertionError names each field that the API does not have."""
    return _exactly(_SERVER, text)


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


def _exactly(adapter: TypeAdapter[BaseModel], text: str) -> BaseModel:
    given: dict[str, Any] = json.loads(text)
    event = adapter.validate_python(given)
    assert getattr(event, "type", None) == given["type"]
    unknown = list(extras(event))
    assert not unknown, f"the API has no {unknown}"
    kept = event.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert kept == given, "the types kept something else than was given"
    return event
