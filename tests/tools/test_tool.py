"""Arguments, schemas and idempotency keys: what every tool shares."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from relay.tools import BadArguments, Tool, ToolPorts, idempotency_key, registry
from relay.tools.tool import MAX_ARGUMENTS_BYTES, clip

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def key(arguments: str) -> str:
    return idempotency_key("CA1", "book_appointment", arguments)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1}', ' {\n"a" :\t1 } '),
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":100}', '{"a":1e2}'),
        ('{"a":0.5}', '{"a":5E-1}'),
        ('{"a":0}', '{"a":-0.0}'),
        ('{"a":"A"}', '{"a":"\\u0041"}'),
        ('{"a":{"x":[1.50],"y":null}}', '{"a":{"y":null,"x":[1.5]}}'),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567890.0}'),
    ],
)
def test_spelling_does_not_change_a_key(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":1}', '{"a":-1}'),
        ('{"a":1}', '{"a":10}'),
        ('{"a":1.5}', '{"a":15}'),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
        ('{"a":""}', '{"a":null}'),
        ('{"a":[]}', '{"a":{}}'),
        ('{"a":"1e0"}', '{"a":1}'),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567891}'),
    ],
)
def test_meaning_changes_a_key(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_a_key_belongs_to_one_call_and_one_tool() -> None:
    assert idempotency_key("CA1", "t", "{}") != idempotency_key("CA2", "t", "{}")
    assert idempotency_key("CA1", "t", "{}") != idempotency_key("CA1", "u", "{}")


def test_a_key_fits_an_http_header() -> None:
    assert key('{"name":"Zoë\\r\\nX-Evil: 1"}').replace("_", "").replace("-", "").isalnum()


@given(JSON)
def test_any_layout_of_any_json_has_the_same_key(value: object) -> None:
    tight = json.dumps(value, separators=(",", ":"), sort_keys=True)
    loose = json.dumps(value, indent=3, ensure_ascii=False)
    assert key(tight) == key(loose)


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=6), st.integers(-9, 9))
def test_numbers_have_the_same_key_when_they_are_equal(number: Decimal, shift: int) -> None:
    plain = f"{number:f}"
    scaled = f"{number.scaleb(-shift):f}e{shift}"
    assert key(plain) == key(scaled)
    assert key(plain) != key(f"{number + Decimal('0.000001'):f}")


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", "[NaN]", '{"a":Infinity}', "[" * 4000, '{"a":1e' + "9" * 4000]
)
def test_a_key_needs_json(text: str) -> None:
    with pytest.raises(BadArguments):
        key(text)


async def run(name: str, arguments: str, ports: ToolPorts) -> None:
    invoke = registry()[name].invoke
    assert invoke is not None
    await invoke(arguments, ports)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("{}", "missing required field `day`"),
        ('{"day":3}', "Expected `str`, got `int`"),
        ('{"day":"today","zone":"x"}', "unknown field `zone`"),
        ('{"day":""}', "length >= 1"),
        ('{"day":"' + "x" * 21 + '"}', "length <= 20"),
        ("[]", "Expected `object`"),
        ("", "Input data was truncated"),
        ("day=today", "malformed"),
        ('{"day":"\udc80"}', "surrogates not allowed"),
        ("[" * 4000, "Expected `object`"),
    ],
)
async def test_bad_arguments_tell_the_model_what_to_send(
    ports: ToolPorts, arguments: str, says: str
) -> None:
    with pytest.raises(BadArguments) as caught:
        await run("lookup_hours", arguments, ports)
    assert says in str(caught.value)
    assert "day (today, tomorrow, a weekday" in str(caught.value)
    assert len(str(caught.value)) < 700


async def test_endless_arguments_are_not_even_parsed(ports: ToolPorts) -> None:
    with pytest.raises(BadArguments, match="too long"):
        await run("lookup_hours", " " * (MAX_ARGUMENTS_BYTES + 1), ports)


EVERY_TOOL = registry(larger_model=True, people=("billing", "nights")).values()


@pytest.mark.parametrize("tool", EVERY_TOOL, ids=lambda tool: tool.name)
def test_every_schema_is_one_and_its_defaults_fit_it(tool: Tool) -> None:
    OAS31Validator.check_schema(tool.parameters)
    defaults = {
        name: about["default"]
        for name, about in tool.parameters["properties"].items()
        if "default" in about
    }
    optional = {**tool.parameters, "required": []}
    assert list(OAS31Validator(optional).iter_errors(defaults)) == []


def test_every_schema_is_plain_and_says_what_each_argument_is() -> None:
    for tool in EVERY_TOOL:
        text = json.dumps(tool.parameters)
        assert "$ref" not in text
        assert "$defs" not in text
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False
        for name, about in tool.parameters["properties"].items():
            assert about["description"]
            if name in tool.parameters["required"]:
                assert "default" not in about
        assert 20 < len(tool.description) < 400


def test_the_registry_names_each_tool_and_who_acts() -> None:
    assert {name: tool.effect for name, tool in registry().items()} == {
        "lookup_hours": "read",
        "answer_question": "read",
        "list_slots": "read",
        "book_appointment": "write",
        "list_appointments": "read",
        "change_appointment": "write",
        "cancel_appointment": "write",
        "request_quote": "write",
        "take_message": "write",
        "transfer_to_human": "write",
        "cancel_transfer": "call",
        "decline_recording": "read",
        "pause_recording": "read",
        "wait_for_caller": "call",
        "end_call": "call",
    }
    assert "ask_larger_model" in registry(larger_model=True)
    for name, tool in registry().items():
        assert tool.name == name
        assert (tool.invoke is None) == (tool.effect == "call")


def test_clipped_text_is_one_printable_line() -> None:
    assert clip("a\r\nb\x00\u202ec   d", 80) == "a b c d"
    assert clip("x" * 50, 10) == "x" * 9 + "…"
