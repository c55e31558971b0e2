"""take_message: words for the people of the business, who call back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.ports import Message
from relay.tools.messages import MAX_TEXT, call_at, leave, read_text
from relay.tools.people import CallBack, Name, named, read_call_back, read_name
from relay.tools.tool import Arguments, ToolPorts, ToolResult, tool


class TakeMessage(Arguments):
    """Take a message for the people of the business. Use it when nobody can be reached, or when
    the caller would rather leave word. Ask for their name and what it is about first."""

    name: Name
    message: Annotated[
        str,
        msgspec.Meta(
            description="all that the caller wants them to know, in the caller's words",
            min_length=1,
            max_length=MAX_TEXT,
        ),
    ]
    call_back: CallBack = ""


async def run(args: TakeMessage, ports: ToolPorts) -> ToolResult:
    text, name = read_text(args.message, "message"), read_name(args.name)
    call_back = read_call_back(args.call_back)
    message = Message("message", name, ports.caller, text, call_back=call_back)
    notice = f"{named(name, ports)} left a message: {text}{call_at(call_back)}"
    return await leave(message, ports, outcome="message", notice=notice)


TOOL = tool("take_message", TakeMessage, effect="write", run=run)
