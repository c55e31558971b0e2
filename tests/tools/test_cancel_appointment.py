from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.tools import BadArguments, ToolPorts

CALLER, OTHER = "+15550100", "+15550199"


async def test_the_only_one_is_cancelled(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {CALLER: [appointment()]}
    result = await use("cancel_appointment")
    assert result.output == {
        "cancelled": True,
        "service": "cleaning",
        "day": "Tuesday",
        "date": "2026-11-24",
        "time": "10:00",
        "still_booked": [],
    }
    assert result.outcome == "cancelled"
    assert result.notice == (
        "Ann Lee (+15550100) cancelled: cleaning, Tuesday 2026-11-24 10:00, no. 111111"
    )
    assert business.asked == [(("111111", CALLER), "key-1")]


async def test_of_several_the_caller_is_asked_which_and_hears_what_is_left(
    use: Any, business: Any, appointment: Any
) -> None:
    business.theirs = {CALLER: [appointment(), appointment("222222", 3)]}
    result = await use("cancel_appointment")
    assert (result.output["cancelled"], result.output["reason"]) == (False, "which_one")
    assert result.outcome == ""
    result = await use("cancel_appointment", time="11:30")
    assert result.output["time"] == "11:30"
    assert [each["time"] for each in result.output["still_booked"]] == ["10:00"]


@pytest.mark.parametrize("reference", ["222222", "22 22-22", " 222222 "])
async def test_a_reference_may_tell_them_apart(
    use: Any, business: Any, appointment: Any, reference: str
) -> None:
    business.theirs = {CALLER: [appointment(), appointment("222222", 3)]}
    result = await use("cancel_appointment", reference=reference)
    assert result.output["time"] == "11:30"


async def test_a_misheard_reference_says_nothing(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {CALLER: [appointment(), appointment("222222", 3)]}
    result = await use("cancel_appointment", reference="222228")
    assert result.output["reason"] == "which_one"
    business.theirs[CALLER].pop()
    result = await use("cancel_appointment", reference="222228")
    assert result.output["cancelled"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {"reference": "999999"},
        {"reference": "999999", "day": "tuesday", "time": "10:00"},
        {"reference": OTHER},
        {},
    ],
)
async def test_another_number_s_appointment_is_out_of_reach(
    use: Any, business: Any, appointment: Any, arguments: dict[str, str]
) -> None:
    business.theirs = {OTHER: [appointment("999999")]}
    result = await use("cancel_appointment", **arguments)
    assert (result.output["cancelled"], result.output["reason"]) == (False, "none_found")
    assert "appointments" not in result.output
    assert set(business.phones) == {CALLER}
    assert [what for what, _ in business.asked] == [("none", CALLER)]


async def test_what_is_ruled_out_is_never_taken(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {CALLER: [appointment()]}
    result = await use("cancel_appointment", day="wednesday")
    assert (result.output["cancelled"], result.output["reason"]) == (False, "no_such_one")
    assert [each["day"] for each in result.output["appointments"]] == ["Tuesday"]


@pytest.mark.parametrize("day", ["tuesday", "Tuesday ", "2026-11-24"])
async def test_a_day_in_any_spelling(use: Any, business: Any, appointment: Any, day: str) -> None:
    business.theirs = {CALLER: [appointment(), appointment("222222", 48)]}
    result = await use("cancel_appointment", day=day)
    assert (result.output["cancelled"], result.output["day"]) == (True, "Tuesday")


async def test_a_weekday_may_be_weeks_ahead(use: Any, business: Any, appointment: Any) -> None:
    business.theirs = {CALLER: [appointment(halves=48 * 14)]}
    result = await use("cancel_appointment", day="tuesday")
    assert result.output["date"] == "2026-12-08"


async def test_a_repeat_is_answered_by_its_key_though_nothing_is_left(
    use: Any, business: Any, appointment: Any
) -> None:
    business.theirs = {CALLER: [appointment("222222", 3)]}
    business.answer = replace(appointment(), repeated=True)
    result = await use("cancel_appointment", day="monday")
    assert result.output["time"] == "10:00"
    assert [each["time"] for each in result.output["still_booked"]] == ["11:30"]


async def test_what_was_cancelled_before_is_not_told_for_what_still_stands(
    use: Any, business: Any, appointment: Any
) -> None:
    """The same words meant another appointment when they were first said in this call."""
    business.theirs = {CALLER: [appointment("222222")]}
    business.answer = replace(appointment(), repeated=True)
    result = await use("cancel_appointment")
    assert (result.output["cancelled"], result.output["reason"]) == (False, "another_one")
    assert [each["time"] for each in result.output["appointments"]] == ["10:00"]
    assert "again 1" in result.output["message"]
    assert (result.outcome, result.notice) == ("", "")
    business.answer = None
    assert (await use("cancel_appointment", again=1)).output["cancelled"] is True


async def test_a_withheld_number_has_none(use: Any, business: Any, withheld: ToolPorts) -> None:
    result = await use("cancel_appointment", ports=withheld)
    assert (result.output["cancelled"], result.output["reason"]) == (False, "number_withheld")
    assert (business.asked, business.phones) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"phone": OTHER}, "unknown field `phone`"),
        ({"day": "x" * 21}, "length <= 20"),
        ({"time": "25:00"}, "HH:MM"),
        ({"day": 24}, "Expected `str`"),
    ],
)
async def test_what_does_not_fit(
    use: Any, business: Any, appointment: Any, arguments: dict[str, Any], says: str
) -> None:
    business.theirs = {CALLER: [appointment()]}
    with pytest.raises(BadArguments, match=says):
        await use("cancel_appointment", **arguments)
    assert business.asked == []
