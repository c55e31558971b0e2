"""The agent's functions: one a file, schema and code together.

A new one: write relay/tools/<name>.py with a `TOOL`, name it below, test it in tests/tools/.
docs/functions.md walks through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relay.tools import (
    ask_larger_model,
    book_appointment,
    end_call,
    lookup_hours,
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
    book_appointment.TOOL,
    transfer_to_human.TOOL,
    wait_for_caller.TOOL,
    end_call.TOOL,
)


def registry(*, larger_model: bool = False) -> Mapping[str, Tool]:
    """Every tool by name, in the order in which the model is told of them.

    larger_model: there is one that can take over harder calls
    """
    tools = (*_TOOLS, ask_larger_model.TOOL) if larger_model else _TOOLS
    return MappingProxyType({tool.name: tool for tool in tools})
