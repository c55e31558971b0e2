"""Runs one tool as a child task of the call, and turns whatever comes of it into ToolFinished.

One of the three places that catch broadly: a tool is other people's code and other people's
systems, and it must not end a call. What the model is told of a failure is written here and never
holds a traceback. A write that was begun is finished, with a deadline, even when the call is not;
one that outlives the call goes through the intents, and is tried again while there is time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
import structlog
import trio

from relay.core.commands import RunTool
from relay.core.events import ToolFinished
from relay.errors import BusinessAway, BusinessError
from relay.ports import BusinessApi, HumanDesk, RecordingDesk, WriteBegun, WriteRow, WriteStatus
from relay.shell.intents import Answer, Intents
from relay.tools.tool import (
    NOTHING_RECORDED,
    BadArguments,
    Tool,
    ToolPorts,
    idempotency_key,
)

log = structlog.get_logger("relay.tools")

# The longest that a tool may run at all. The core tells the model "pending" long before.
TOOL_S: Final = 10.0
# A lasting write is asked again after these pauses: its key makes that safe.
RETRY_S: Final = (0.5, 1.0, 2.0)

FAILED: Final = '{"error":"failed","message":"That did not work. Apologise, and offer a human."}'
UNAVAILABLE: Final = (
    '{"error":"unavailable","message":"Our system does not answer now. Apologise, and offer to'
    ' try again or a human."}'
)
NOT_ASKED: Final = (
    '{"error":"away","message":"Our system cannot be reached now, for anybody: do not try again in'
    ' this call. Apologise, and offer to take a message or a human."}'
)


async def run_tool(
    tool: Tool,
    command: RunTool,
    *,
    business: BusinessApi,
    human: HumanDesk,
    caller: str,
    call_sid: str,
    intents: Intents,
    tell: Callable[[ToolFinished], None],
    recording: RecordingDesk = NOTHING_RECORDED,
) -> None:
    """Run a tool to its end, and tell. Never raises because of the tool."""

    def told(answer: Answer) -> None:
        tell(
            ToolFinished(
                command.call_id,
                answer.output,
                ok=answer.ok,
                outcome=answer.outcome,
                notice=answer.notice,
                refused=answer.refused,
                told_as=answer.told_as,
            )
        )

    try:
        key = idempotency_key(call_sid, tool.name, command.arguments)
    except BadArguments as wrong:
        told(_bad(wrong))
        return
    ports = ToolPorts(business, caller, call_sid, key, human, recording)
    perform = partial(attempt, tool, command.arguments, ports)
    with trio.CancelScope(shield=tool.effect == "write"):
        if tool.lasting:
            wish = WriteBegun(key, caller, tool.name, command.arguments, command.call_id)
            await intents.once(call_sid, wish, perform, told)
        else:
            told(await perform())


async def attempt(
    tool: Tool, arguments: str, ports: ToolPorts, *, unasked: WriteStatus = "refused"
) -> Answer:
    """Run a tool's code, within TOOL_S. Never raises because of the tool.

    unasked: how a write ended that the business was never asked for, since it is away
    """
    if tool.invoke is None:
        return Answer(FAILED, ok=False, status="refused")
    pauses = list(reversed(RETRY_S)) if tool.lasting else []
    asked = False
    with trio.move_on_after(TOOL_S):
        while True:
            try:
                result = await tool.invoke(arguments, ports)
            except BadArguments as wrong:
                return _bad(wrong)
            except BusinessAway as away:
                log.warning("business not asked", tool=tool.name, error=str(away))
                return Answer(NOT_ASKED, ok=False, status="failed" if asked else unasked)
            except BusinessError as failed:
                log.warning("business failed", tool=tool.name, error=str(failed))
                asked = True
            except Exception:
                log.exception("tool failed", tool=tool.name)
                return Answer(FAILED, ok=False, status="failed")
            else:
                status: WriteStatus = "done" if result.outcome else "refused"
                more = (result.outcome, result.notice, result.refused)
                return Answer(result.text(), True, status, *more)
            if not pauses:
                return Answer(UNAVAILABLE, ok=False, status="failed")
            await trio.sleep(pauses.pop())
    log.warning("tool took too long", tool=tool.name)
    return Answer(UNAVAILABLE, ok=False, status="failed")


async def attempt_again(
    row: WriteRow, *, tools: Mapping[str, Tool], business: BusinessApi
) -> Answer:
    """Run what another process began, under the same key; it waits while the business is away."""
    tool = tools.get(row.tool)
    if tool is None:
        return Answer(FAILED, ok=False, status="failed")
    ports = ToolPorts(business, row.caller, row.call_sid, row.key, _Nobody())
    return await attempt(tool, row.arguments, ports, unasked="failed")


class _Nobody:
    """Who can be rung for a call that is over."""

    async def ring(self, person: str, reason: str) -> str:  # noqa: ARG002
        return "closed"


def _bad(wrong: BadArguments) -> Answer:
    told = msgspec.json.encode({"error": "bad_arguments", "message": str(wrong)}).decode()
    return Answer(told, ok=False, status="refused")
