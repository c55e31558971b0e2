from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay.ports import Appointment, ChangeRequest, NotBooked
from relay.tools import BadArguments, ToolPorts

TO = {"new_day": "wednesday", "new_time": "14:30"}
WEDNESDAY = datetime(2026, 11, 25, 14, 30)  # noqa: DTZ001 - the business's wall clock
CALLER = "+15550100"


async def test_the_only_one_is_moved(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {CALLER: [appointment()]}
    result = await use("change_appointment", **TO)
    assert result.output == {
        "changed": True,
        "service": "cleaning",
        "day": "Wednesday",
        "date": "2026-11-25",
        "time": "14:30",
    }
    assert result.outcome == "changed"
    assert result.notice == (
        "Ann Lee (+15550100) changed: cleaning, now Wednesday 2026-11-25 14:30, no. 111111"
    )
    assert business.asked == [(ChangeRequest("111111", CALLER, WEDNESDAY), "key-1")]


async def test_of_several_the_caller_is_asked_which(
    use: Any, business: Any, appointment: Any
) -> None:
    business.theirs = {CALLER: [appointment(), appointment("222222", 3)]}
    result = await use("change_appointment", **TO)
    assert (result.output["changed"], result.output["reason"]) == (False, "which_one")
    assert [each["time"] for each in result.output["appointments"]] == ["10:00", "11:30"]
    assert (result.outcome, result.notice) == ("", "")
    result = await use("change_appointment", **TO, day="tuesday", time="11:30")
    assert result.output["changed"] is True
    assert business.asked[-1][0].reference == "222222"


async def test_what_cannot_be_had_is_answered_with_what_can(
    use: Any, business: Any, appointment: Any
) -> None:
    business.theirs = {CALLER: [appointment()]}
    business.answer = NotBooked("taken", (WEDNESDAY + timedelta(minutes=30),))
    result = await use("change_appointment", **TO)
    assert result.output == {
        "changed": False,
        "reason": "taken",
        "alternatives": [{"day": "Wednesday", "date": "2026-11-25", "time": "15:00"}],
    }
    assert (result.outcome, result.notice) == ("", "")


async def test_a_repeat_is_answered_by_its_key_though_nothing_fits_any_more(
    use: Any, business: Any, appointment: Any
) -> None:
    """The first answer was lost; by now there is none on a Tuesday."""
    moved = replace(appointment(), starts_at=WEDNESDAY)
    business.theirs = {CALLER: [moved]}
    business.answer = replace(moved, repeated=True)
    result = await use("change_appointment", **TO, day="tuesday")
    assert result.output["changed"] is True
    assert result.notice


async def test_a_change_that_was_undone_is_not_told_as_done(
    use: Any, business: Any, appointment: Any
) -> None:
    business.theirs = {CALLER: [appointment()]}
    business.answer = Appointment("111111", "cleaning", WEDNESDAY, "Ann Lee", repeated=True)
    result = await use("change_appointment", **TO)
    assert (result.output["changed"], result.output["reason"]) == (False, "undone_since")
    assert (result.outcome, result.notice) == ("", "")


@pytest.mark.parametrize("answer", [None, NotBooked("too_far")])
async def test_a_day_in_a_far_year_is_asked_about(
    use: Any, business: Any, appointment: Any, answer: NotBooked | None
) -> None:
    business.theirs, business.answer = {CALLER: [appointment()]}, answer
    result = await use("change_appointment", new_day="2027-11-25", new_time="10:00")
    assert result.output["changed"] is (answer is None)
    assert "or Wednesday 2026-11-25." in result.output["far_ahead"]


async def test_a_withheld_number_has_none(use: Any, business: Any, withheld: ToolPorts) -> None:
    result = await use("change_appointment", ports=withheld, **TO, reference="111111")
    assert (result.output["changed"], result.output["reason"]) == (False, "number_withheld")
    assert business.asked == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"new_day": "2025-01-01", "new_time": "10:00"}, "is past"),
        ({"new_day": "wednesday", "new_time": "ten"}, "HH:MM"),
        ({**TO, "day": "the other day"}, "not understood"),
        ({**TO, "phone": "+15550199"}, "unknown field `phone`"),
        ({**TO, "reference": "x" * 41}, "length <= 40"),
        ({"new_day": "wednesday"}, "missing required field `new_time`"),
    ],
)
async def test_what_does_not_fit(
    use: Any, business: Any, appointment: Any, arguments: dict[str, str], says: str
) -> None:
    business.theirs = {CALLER: [appointment()]}
    with pytest.raises(BadArguments, match=says):
        await use("change_appointment", **arguments)
    assert business.asked == []
