from __future__ import annotations

from typing import Any

import pytest

from relay.ports import Message
from relay.tools import BadArguments, ToolPorts

ARGUMENTS = {"name": "Ann Lee", "message": "My crown came off.\nCan somebody call me today?"}
LINE = "My crown came off. Can somebody call me today?"


async def test_a_message_is_kept_and_told_to_the_owner(use: Any, business: Any) -> None:
    result = await use("take_message", **ARGUMENTS)
    assert result.output == {"taken": True}
    assert result.outcome == "message"
    assert result.notice == f"Ann Lee (+15550100) left a message: {LINE}"
    assert business.asked == [(Message("message", "Ann Lee", "+15550100", LINE), "key-1")]


async def test_the_words_are_not_lost_when_the_business_is_away(use: Any, business: Any) -> None:
    business.away = True
    result = await use("take_message", **ARGUMENTS, call_back="+1 (555) 0177-22")
    assert result.output == {"taken": True}
    assert result.outcome == "message"
    assert result.notice == (
        f"Ann Lee (+15550100) left a message: {LINE}; call back: +1555017722"
        " (your own system did not take this: please note it)"
    )


async def test_every_word_of_the_longest_message_arrives(use: Any, business: Any) -> None:
    words = " ".join(f"{n:04}" for n in range(170))
    result = await use("take_message", name="Ann", message=words)
    assert words in result.notice
    assert business.asked[0][0].text == words
    assert "\n" not in result.notice


async def test_who_withholds_a_number_is_asked_for_one(use: Any, withheld: ToolPorts) -> None:
    result = await use("take_message", ports=withheld, **ARGUMENTS)
    assert result.output["taken"] is True
    assert "call_back" in result.output["message"]
    assert result.notice.startswith("Ann Lee (number withheld) left a message")
    result = await use("take_message", ports=withheld, **ARGUMENTS, call_back="555 017 722")
    assert result.output == {"taken": True}


async def test_another_number_to_call_is_not_who_they_are(use: Any, business: Any) -> None:
    await use("take_message", **ARGUMENTS, call_back="+15550199")
    [(message, _)] = business.asked
    assert (message.phone, message.call_back) == ("+15550100", "+15550199")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "+15550100"}, "Ask the caller"),
        ({"message": ""}, "length >= 1"),
        ({"message": "\x00\x07 \n"}, "message is empty"),
        ({"message": "x" * 851}, "length <= 850"),
        ({"call_back": "five five five"}, "no telephone number"),
        ({"call_back": "123"}, "no telephone number"),
        ({"call_back": "\u0665\u0665\u0665\u0660\u0661\u0660\u0660"}, "no telephone number"),
        ({"call_back": "sip:x@example.com"}, "no telephone number"),
        ({"phone": "+15550199"}, "unknown field `phone`"),
    ],
)
async def test_what_does_not_fit(
    use: Any, business: Any, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(BadArguments, match=says):
        await use("take_message", **{**ARGUMENTS, **changes})
    assert business.asked == []
