from __future__ import annotations

from typing import Any

from relay.tools import ToolPorts
from relay.tools.tool import MAX_OUTPUT_BYTES


async def test_the_caller_s_own_are_told(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {"+15550100": [appointment()], "+15550199": [appointment("222222", 2)]}
    result = await use("list_appointments")
    assert result.output == {
        "appointments": [
            {"service": "cleaning", "day": "Tuesday", "date": "2026-11-24", "time": "10:00"}
        ]
    }
    assert business.phones == ["+15550100"]


async def test_a_withheld_number_has_none_and_nobody_is_asked(
    use: Any, business: Any, withheld: ToolPorts, appointment: Any
) -> None:
    business.theirs = {"": [appointment()]}
    result = await use("list_appointments", ports=withheld)
    assert (result.output["appointments"], result.output["reason"]) == ([], "number_withheld")
    assert business.phones == []


async def test_many_are_told_by_a_few(use: Any, business: Any, appointment: Any) -> None:
    loud = [appointment(str(n), n, name="💥" * 999) for n in range(40)]
    business.theirs = {"+15550100": loud}
    result = await use("list_appointments")
    assert (len(result.output["appointments"]), result.output["more"]) == (5, 35)
    assert len(result.text().encode()) <= MAX_OUTPUT_BYTES
