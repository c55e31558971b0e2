"""Any event that the `openai` package's types allow, as JSON, for hypothesis to draw.

A type says more than our samples do: what may be absent, what may be null, which of several shapes
a field may have. So a reader that is held to the types meets servers that no sample has shown.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

Json = dict[str, Any]

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
# Of a field that the types leave open.
ANYTHING = st.none() | st.booleans() | st.integers(0, 9) | TEXT | st.lists(TEXT, max_size=2)


def _kinds() -> dict[str, type[BaseModel]]:
    members = get_args(get_args(RealtimeServerEvent)[0])
    return {get_args(each.model_fields["type"].annotation)[0]: each for each in members}


SERVER_EVENTS = _kinds()


@cache
def events(kind: str) -> st.SearchStrategy[Json]:
    """Events of one kind. AssertionError when a type is written in a way that is new here."""
    return _model(SERVER_EVENTS[kind])


@cache
def _model(model: type[BaseModel]) -> st.SearchStrategy[Json]:
    fields = {
        field.alias or name: (_value(field.annotation), field.is_required())
        for name, field in model.model_fields.items()
    }
    return st.fixed_dictionaries(
        {name: value for name, (value, required) in fields.items() if required},
        optional={name: value for name, (value, required) in fields.items() if not required},
    )


def _value(annotation: Any) -> st.SearchStrategy[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(args[0])
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, UnionType):
        return st.one_of(*map(_value, args))
    if origin is list:
        return st.lists(_value(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXT, _value(args[1]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: _model(annotation))
    return _PLAIN[annotation]


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 10**6),
    float: st.floats(0, 1e6),
    bool: st.booleans(),
    object: ANYTHING,
    Any: ANYTHING,
    NoneType: st.none(),
}
