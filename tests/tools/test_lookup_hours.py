from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from relay.ports import DayHours
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
        "timezone": "Europe/Berlin",
    }
    assert result.outcome == ""


async def test_a_closed_day_has_no_spans(ports: ToolPorts) -> None:
    assert (await ask(ports, "today")).output["open"] == []


async def test_a_day_in_a_far_year_is_asked_about(ports: ToolPorts) -> None:
    assert "or Tuesday 2026-11-24." in (await ask(ports, "2027-11-24")).output["far_ahead"]


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


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        (23, 10, {"time": "10:00", "open": True, "until": "17:00"}),
        (23, 9, {"time": "09:00", "open": True, "until": "17:00"}),
        (23, 8, ("Monday", "2026-11-23")),
        (23, 17, ("Wednesday", "2026-11-25")),
        (22, 12, ("Monday", "2026-11-23")),
        (27, 18, ("Monday", "2026-11-30")),
    ],
)
async def test_of_today_it_says_whether_it_is_open_now(
    ports: ToolPorts, business: Any, day: int, hour: int, expected: Any
) -> None:
    """The Tuesday is a holiday."""
    business.closed = {date(2026, 11, 24)}
    business.clock = business.clock.replace(day=day, hour=hour)
    now = (await ask(ports, "today")).output["now"]
    if isinstance(expected, tuple):
        name, iso = expected
        opens = {"day": name, "date": iso, "time": "09:00"}
        expected = {"time": f"{hour:02}:00", "open": False, "opens_next": opens}
    assert now == expected


async def test_a_business_that_never_opens_is_not_asked_for_ever(
    ports: ToolPorts, business: Any
) -> None:
    days = []

    async def hours(day: date) -> DayHours:
        days.append(day)
        return DayHours(day, ())

    business.hours = hours
    assert (await ask(ports, "today")).output["now"]["opens_next"] is None
    assert len(days) == 8
