"""What callers leave for people: the business keeps it, and its owner is told.

The words are never lost for a business that does not answer: the notice carries all of them, so
the caller is told that they were taken either way.
"""

from __future__ import annotations

from relay.errors import BusinessError
from relay.ports import Message, is_number
from relay.tools.tool import BadArguments, ToolPorts, ToolResult, clip

# With a name, two numbers and what a quote is for, it still fits a text message to the owner whole.
MAX_TEXT = 850

NO_NUMBER = (
    "The caller withholds their number. Ask whether they want to be called back, and where: then"
    " call again with call_back."
)


def read_text(text: str, what: str) -> str:
    """Words on one line, all of them. Raises BadArguments when there are none."""
    line = clip(text, MAX_TEXT)
    if not any(character.isalnum() for character in line):
        raise BadArguments(f"{what} is empty. Ask the caller for it.")
    return line


async def leave(message: Message, ports: ToolPorts, *, outcome: str, notice: str) -> ToolResult:
    """Keep a message. notice: the line for the owner, with every word of it."""
    try:
        await ports.business.leave(message, ports.key)
    except BusinessError:
        notice += " (your own system did not take this: please note it)"
    output: dict[str, object] = {"taken": True}
    if not message.call_back and not is_number(ports.caller):
        output["message"] = NO_NUMBER
    return ToolResult(output, outcome, notice)


def call_at(call_back: str) -> str:
    """Where they asked to be called, as the owner's line ends; "" for the line's own number."""
    return f"; call back: {call_back}" if call_back else ""
