"""The agent's functions: one a file, schema and code together.

A new one: write relay/tools/<name>.py with a `TOOL`, name it below, test it in tests/tools/.
docs/functions.md walks through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from relay.tools import (
    answer_question,
    ask_larger_model,
    book_appointment,
    cancel_appointment,
    cancel_transfer,
    change_appointment,
    decline_recording,
    end_call,
    list_appointments,
    list_slots,
    lookup_hours,
    pause_recording,
    request_quote,
    take_message,
    transfer_to_human,
    wait_for_caller,
)
from relay.tools.tool import (
    BadArguments,
    Tool,
    ToolPorts,
    ToolResult,
    idempotency_key,
)

__all__ = ["BadArguments", "Tool", "ToolPorts", "ToolResult", "idempotency_key", "registry"]

_TOOLS = (
    lookup_hours.TOOL,
    answer_question.TOOL,
    list_slots.TOOL,
    book_appointment.TOOL,
    list_appointments.TOOL,
    change_appointment.TOOL,
    cancel_appointment.TOOL,
    request_quote.TOOL,
    take_message.TOOL,
    transfer_to_human.TOOL,
    cancel_transfer.TOOL,
    decline_recording.TOOL,
    pause_recording.TOOL,
    wait_for_caller.TOOL,
    end_call.TOOL,
)


def registry(*, larger_model: bool = False, people: Sequence[str] = ()) -> Mapping[str, Tool]:
    """Every tool by name, in the order in which the model is told of them.

    larger_model: there is one that can take over harder calls
    people: names that a caller may be transferred to
    """
    tools = {tool.name: tool for tool in _TOOLS}
    if people:
        tools[transfer_to_human.TOOL.name] = transfer_to_human.make(people)
    if larger_model:
        tools[ask_larger_model.TOOL.name] = ask_larger_model.TOOL
    return MappingProxyType(tools)
