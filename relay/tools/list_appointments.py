"""list_appointments: what the number on the line has before it."""

from __future__ import annotations

from relay.ports import is_number
from relay.tools.appointments import WITHHELD, coming, listed
from relay.tools.tool import Arguments, ToolPorts, ToolResult, tool


class ListAppointments(Arguments):
    """Look up the caller's own appointments that are still to come. It finds them by the number
    that the call comes from, and no others, whatever the caller says."""


async def run(_args: ListAppointments, ports: ToolPorts) -> ToolResult:
    if not is_number(ports.caller):
        return ToolResult({"appointments": [], **WITHHELD})
    return ToolResult(listed(await coming(ports)))


TOOL = tool("list_appointments", ListAppointments, effect="read", run=run)
