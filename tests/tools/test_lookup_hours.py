from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.tools import BadArguments, ToolPorts, ToolResult, registry
from relay.tools.tool import MAX_OUTPUT_BYTES


async def ask(ports: ToolPorts, day: str) -> ToolResult:
    invoke = registry()["lookup_hours"].invoke
    assert invoke is not None
    return await invoke(json.dumps({"day": day}), ports)


async def test_an_open_day(ports: ToolPorts) -> None:
    result = await ask(ports, "tuesday")
    assert result.output == {
        "day": "Tuesday",
        "date": "2026-11-24",
        "open": [["09:00", "17:00"]],
        "note": "",
    }
    assert result.outcome == ""


async def test_a_closed_day_has_no_spans(ports: ToolPorts) -> None:
    assert (await ask(ports, "today")).output["open"] == []


async def test_a_past_day_is_answered_with_today(ports: ToolPorts) -> None:
    with pytest.raises(BadArguments, match=r"2025-11-24 is past\. Today is Sunday 2026-11-22"):
        await ask(ports, "2025-11-24")


async def test_a_note_of_others_is_clipped(
    ports: ToolPorts, fake_business: Callable[..., object]
) -> None:
    loud = replace(ports, business=fake_business(note="💥\n" * 5000))  # type: ignore[arg-type]
    result = await ask(loud, "monday")
    assert len(json.dumps(result.output).encode()) <= MAX_OUTPUT_BYTES
    assert len(result.text().encode()) <= MAX_OUTPUT_BYTES
