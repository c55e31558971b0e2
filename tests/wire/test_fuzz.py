"""One invariant: whatever a peer sends, `parse` answers, or raises that peer's own error.

And what it answers is sound: every string can be written out again, every number is small.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import ModelProtocolError, PhoneProtocolError, ProtocolError
from relay.wire import realtime, twilio
from tests.wire import test_realtime_reading as model
from tests.wire import test_twilio as phone

PHONE_KINDS = {
    "binary",
    "bad_json",
    "too_deep",
    "bad_shape",
    "bad_format",
    "before_start",
    "wrong_stream",
}
MODEL_KINDS = {"binary", "bad_json", "too_deep", "bad_shape"}

PHONE_SAMPLES = [event for event, _, _ in phone.SAMPLES]
MODEL_SAMPLES = [event for event, _ in model.SAMPLES] + model.IGNORED


def ask_phone(frame: str | bytes) -> object:
    """Parse as of before and within a stream. Returns the latter's answer or the kind of fault."""
    answers = []
    for stream_sid in (None, phone.SID):
        try:
            answers.append(twilio.parse(frame, stream_sid))
        except PhoneProtocolError as fault:
            answers.append(known(fault, PHONE_KINDS))
    return sound(answers[1])


def ask_model(frame: str | bytes) -> object:
    try:
        return sound(realtime.parse(frame))
    except ModelProtocolError as fault:
        return known(fault, MODEL_KINDS)


def known(fault: ProtocolError, kinds: set[str]) -> str:
    assert fault.kind in kinds
    assert len(str(fault)) < 200
    return fault.kind


def sound(answer: object) -> object:
    """Check every value of an answer, and give it back."""
    if isinstance(answer, str):
        answer.encode()
    elif isinstance(answer, dict):
        for name, value in answer.items():
            sound(name)
            sound(value)
    elif isinstance(answer, int):
        assert 0 <= answer < 2**53
    elif isinstance(answer, float):
        assert isfinite(answer)
    elif answer is not None:
        parts = msgspec.structs if isinstance(answer, msgspec.Struct) else dataclasses
        sound(parts.asdict(answer))  # type: ignore[arg-type]
    return answer


ASK: list[Any] = [
    pytest.param(ask_phone, PHONE_SAMPLES, id="phone"),
    pytest.param(ask_model, MODEL_SAMPLES, id="model"),
]

ANY = st.characters(exclude_categories=())
NUMBERS = st.sampled_from([0, -1, 5, 2**53, 2**63, -(2**64), 10**30, 1.5, 5.0, -0.0, 1e308])
WORDS = st.sampled_from(
    ["", "5", "-1", "1e9", "9" * 400, "\x00", "💡", "\ud83d", "inbound", "null"]
)
LEAVES = st.none() | st.booleans() | NUMBERS | WORDS | st.text(ANY, max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [*sorted({name for event in PHONE_SAMPLES + MODEL_SAMPLES for name in event}), "id", "usage"]
)
KINDS = st.sampled_from(
    sorted({e["event"] for e in PHONE_SAMPLES} | {e["type"] for e in MODEL_SAMPLES})
)


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in an event something could be changed."""
    inner: list[tuple[Any, ...]] = [at] if at else []
    if isinstance(value, dict):
        for name in value:
            inner += paths(value[name], (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner += paths(item, (*at, index))
    return inner


@st.composite
def mutants(draw: st.DrawFn, samples: list[dict[str, Any]]) -> str:
    """A valid event with one to three places removed, replaced, renamed or repeated."""
    event = json.loads(json.dumps(draw(st.sampled_from(samples))))
    for _ in range(draw(st.integers(1, 3))):
        places = paths(event)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        target = event
        for step in way:
            target = target[step]
        match draw(st.sampled_from(["remove", "replace", "rename", "add"])):
            case "remove":
                del target[last]
            case "rename" if isinstance(target, dict):
                target[draw(NAMES)] = target.pop(last)
            case "add" if isinstance(target, dict):
                target[draw(NAMES)] = draw(VALUES)
            case _:
                target[last] = draw(VALUES)
    return json.dumps(event, ensure_ascii=draw(st.booleans()), separators=(",", ":"))


@pytest.mark.parametrize(("ask", "samples"), ASK)
def test_an_event_cut_anywhere_is_bad_json(ask: Callable[[str], object], samples: list[Any]):
    for event in samples:
        for text in (json.dumps(event), json.dumps(event, separators=(",", ":"))):
            assert {ask(text[:end]) for end in range(len(text))} == {"bad_json"}


@pytest.mark.parametrize(("ask", "samples"), ASK)
@given(data=st.data())
def test_mutated_events(ask: Callable[[str], object], samples: list[Any], data: st.DataObject):
    ask(data.draw(mutants(samples)))


@pytest.mark.parametrize(("ask", "samples"), ASK)
@given(data=st.data())
def test_flipped_characters(ask: Callable[[str], object], samples: list[Any], data: st.DataObject):
    text = json.dumps(data.draw(st.sampled_from(samples)), separators=(",", ":"))
    at = data.draw(st.integers(0, len(text) - 1))
    with_what = data.draw(st.sampled_from('"\\{}[],:0-eE. \x00é\ud800') | ANY)
    ask(text[:at] + with_what + text[at + data.draw(st.integers(0, 2)) :])


@given(fields=st.dictionaries(NAMES, VALUES, max_size=6), kind=KINDS, text=st.booleans())
def test_random_fields_under_a_true_name(fields: dict[str, Any], kind: str, text: bool):
    frame = json.dumps({"type": kind, "event": kind} | fields, ensure_ascii=text)
    ask_phone(frame)
    ask_model(frame)


@given(value=VALUES)
def test_random_json(value: object):
    frame = json.dumps(value)
    assert ask_phone(frame) in PHONE_KINDS | {None}
    assert ask_model(frame) in MODEL_KINDS | {None}


@given(frame=st.text(ANY) | st.binary())
@example("NaN")
@example('{"type":"error","error":{"code":' + "9" * 5000 + "}}")
@example('{"event":"media","streamSid":' + "[" * 100_000)
@example('{"type":"response.done","response":' + '[{"a":' * 100_000)
@example('{"type":"response.output_audio.delta",' + "\\" * 1000)
def test_random_frames(frame: str | bytes):
    assert ask_phone(frame) in PHONE_KINDS | {None}
    assert ask_model(frame) in MODEL_KINDS | {None}
