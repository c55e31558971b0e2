"""request_quote: what a caller wants to know the price of; people work it out and call back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.ports import Message
from relay.tools.messages import MAX_TEXT, call_at, leave, read_text
from relay.tools.people import CallBack, Name, named, read_call_back, read_name
from relay.tools.tool import Arguments, ToolPorts, ToolResult, tool


class RequestQuote(Arguments):
    """Note that the caller wants a quote: a price for something that has no fixed one. Learn what
    for and their name first. Never name a price yourself; people will call back with it."""

    name: Name
    what: Annotated[
        str,
        msgspec.Meta(description="what they want a price for", min_length=1, max_length=120),
    ]
    details: Annotated[
        str,
        msgspec.Meta(
            description="what matters for it, in the caller's words: how much, where, when",
            min_length=1,
            max_length=MAX_TEXT,
        ),
    ]
    call_back: CallBack = ""


async def run(args: RequestQuote, ports: ToolPorts) -> ToolResult:
    what, text = read_text(args.what, "what"), read_text(args.details, "details")
    name, call_back = read_name(args.name), read_call_back(args.call_back)
    message = Message("quote", name, ports.caller, text, about=what, call_back=call_back)
    notice = f"{named(name, ports)} wants a quote for {what}: {text}{call_at(call_back)}"
    return await leave(message, ports, outcome="quoted", notice=notice)


TOOL = tool("request_quote", RequestQuote, effect="write", run=run)
