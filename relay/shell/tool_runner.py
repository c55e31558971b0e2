"""Runs one tool as a child task of the call, and turns whatever comes of it into ToolFinished.

One of the three places that catch broadly: a tool is other people's code and other people's
systems, and it must not end a call. What the model is told of a failure is written here and never
holds a traceback. A write that was begun is finished, with a deadline, even when the call is not.
"""

from __future__ import annotations

import msgspec
import structlog
import trio

from relay.core.commands import RunTool
from relay.core.events import ToolFinished
from relay.errors import BusinessError
from relay.ports import BusinessApi, HumanDesk
from relay.tools.tool import BadArguments, Tool, ToolPorts, idempotency_key

log = structlog.get_logger("relay.tools")

# The longest that a tool may run at all. The core tells the model "pending" long before.
TOOL_S = 10.0

FAILED = '{"error":"failed","message":"That did not work. Apologise, and offer a human."}'
UNAVAILABLE = (
    '{"error":"unavailable","message":"Our system does not answer now. Apologise, and offer to'
    ' try again or a human."}'
)


async def run_tool(
    tool: Tool,
    command: RunTool,
    *,
    business: BusinessApi,
    human: HumanDesk,
    caller: str,
    call_sid: str,
) -> ToolFinished:
    """Run a tool to its end. Never raises because of the tool."""
    if tool.invoke is None:
        return ToolFinished(command.call_id, FAILED, ok=False)
    try:
        key = idempotency_key(call_sid, tool.name, command.arguments)
        ports = ToolPorts(business, caller, call_sid, key, human)
        with trio.CancelScope(
            deadline=trio.current_time() + TOOL_S, shield=tool.effect == "write"
        ) as scope:
            result = await tool.invoke(command.arguments, ports)
            return ToolFinished(
                command.call_id, result.text(), outcome=result.outcome, notice=result.notice
            )
        if scope.cancelled_caught:
            log.warning("tool took too long", tool=tool.name)
        return ToolFinished(command.call_id, UNAVAILABLE, ok=False)
    except BadArguments as wrong:
        told = msgspec.json.encode({"error": "bad_arguments", "message": str(wrong)}).decode()
        return ToolFinished(command.call_id, told, ok=False)
    except BusinessError as failed:
        log.warning("business failed", tool=tool.name, error=str(failed))
        return ToolFinished(command.call_id, UNAVAILABLE, ok=False)
    except Exception:
        log.exception("tool failed", tool=tool.name)
        return ToolFinished(command.call_id, FAILED, ok=False)
