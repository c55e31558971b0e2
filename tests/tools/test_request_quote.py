from __future__ import annotations

from typing import Any

import pytest

from relay.ports import Message
from relay.shell.notices import MAX_TO_OWNER
from relay.tools import BadArguments
from relay.tools.messages import MAX_TEXT

ARGUMENTS = {"name": "Ann Lee", "what": "two crowns", "details": "upper left, ceramic"}


async def test_a_quote_is_asked_for_and_told_to_the_owner(use: Any, business: Any) -> None:
    result = await use("request_quote", **ARGUMENTS)
    assert result.output == {"taken": True}
    assert result.outcome == "quoted"
    assert result.notice == (
        "Ann Lee (+15550100) wants a quote for two crowns: upper left, ceramic"
    )
    wanted = Message("quote", "Ann Lee", "+15550100", "upper left, ceramic", "two crowns")
    assert business.asked == [(wanted, "key-1")]


async def test_the_words_are_not_lost_when_the_business_is_away(use: Any, business: Any) -> None:
    business.away = True
    result = await use("request_quote", **ARGUMENTS)
    assert (result.output, result.outcome) == ({"taken": True}, "quoted")
    assert "two crowns: upper left, ceramic" in result.notice


async def test_the_longest_of_all_fits_the_owner_s_text_message(use: Any, business: Any) -> None:
    business.away = True
    longest = {"name": "n" * 80, "what": "w" * 120, "details": "d" * MAX_TEXT}
    result = await use("request_quote", **longest, call_back="+" + "1" * 15)
    assert len(result.notice) <= MAX_TO_OWNER


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"what": ", ".join(f"thing {n}" for n in range(40))}, "length <= 120"),
        ({"what": "?!"}, "what is empty"),
        ({"details": "\u202e"}, "details is empty"),
        ({"name": "5550100"}, "Ask the caller"),
        ({"price": "100"}, "unknown field `price`"),
    ],
)
async def test_what_does_not_fit(
    use: Any, business: Any, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(BadArguments, match=says):
        await use("request_quote", **{**ARGUMENTS, **changes})
    assert business.asked == []
