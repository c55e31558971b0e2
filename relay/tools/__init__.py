"""The agent's functions: one a file, schema and code together.

A new one: write relay/tools/<name>.py with a `TOOL`, name it below, test it in tests/tools/.
docs/functions.md walks through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relay.tools import book_appointment, end_call, lookup_hours, transfer_to_human
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
    end_call.TOOL,
)


def registry() -> Mapping[str, Tool]:
    """Every tool by name, in the order in which the model is told of them."""
    return MappingProxyType({tool.name: tool for tool in _TOOLS})
