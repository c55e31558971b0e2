"""Ringing a human: by name if there are names, and by nothing else."""

from __future__ import annotations

import json

import pytest

from relay.tools import registry, transfer_to_human
from relay.tools.tool import BadArguments

PEOPLE = transfer_to_human.make(["billing", "nights"])


async def test_whoever_is_there_is_rung(ports, human) -> None:
    result = await transfer_to_human.TOOL.invoke('{"reason":"a bill"}', ports)
    assert human.asked == [("", "a bill")]
    assert result.output["status"] == "ringing"


async def test_somebody_is_rung_by_name(ports, human) -> None:
    await PEOPLE.invoke('{"reason":"a bill","person":"billing"}', ports)
    await PEOPLE.invoke('{"reason":"a bill"}', ports)
    assert human.asked == [("billing", "a bill"), ("", "a bill")]


@pytest.mark.parametrize(
    "arguments",
    [
        {"reason": "x", "person": "+8821234567"},
        {"reason": "x", "person": "tel:+8821234567"},
        {"reason": "x", "person": "billing "},
        {"reason": "x", "person": "\uff42illing"},
        {"reason": "x", "person": ["billing"]},
        {"reason": "x", "person": "billing", "number": "+8821234567"},
        {"reason": "x", "to": "+8821234567"},
        {"person": "billing"},
        {"reason": "y" * 201},
    ],
)
async def test_nothing_but_a_name_on_the_list_rings_anybody(ports, human, arguments) -> None:
    with pytest.raises(BadArguments):
        await PEOPLE.invoke(json.dumps(arguments), ports)
    assert human.asked == []


async def test_who_asks_for_nobody_on_the_list_is_told_who_is(ports) -> None:
    with pytest.raises(BadArguments, match="one of: billing, nights"):
        await PEOPLE.invoke('{"reason":"x","person":"the boss"}', ports)


async def test_without_names_there_is_no_field_for_one(ports, human) -> None:
    with pytest.raises(BadArguments):
        await transfer_to_human.TOOL.invoke('{"reason":"x","person":"billing"}', ports)
    assert human.asked == []


@pytest.mark.parametrize(
    "why", ["closed", "unknown", "ringing", "too_often", "loop", "not_rung", "cancelled"]
)
async def test_every_refusal_has_advice(ports, human, why: str) -> None:
    human.refuses = why
    result = await transfer_to_human.TOOL.invoke('{"reason":"x"}', ports)
    assert result.output["reason"] == why
    assert result.output["message"].endswith(".")


def test_the_model_is_told_the_names_and_no_number() -> None:
    tool = registry(people=["billing"])["transfer_to_human"]
    assert tool.parameters["properties"]["person"]["enum"] == ["billing"]
    assert tool.parameters["required"] == ["reason"]
    assert not tool.lasting
