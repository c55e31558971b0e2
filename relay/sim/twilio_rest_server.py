"""The REST API on a real port of this machine, for the demo, the CLI and the `twilio` package.

An answer that is to get lost leaves its connection open and silent; a request that is to be refused
has its connection closed without a word.
"""

from __future__ import annotations

import trio

from relay.sim.http_port import Answered, Asked, Silence, serve_http
from relay.sim.twilio_rest import REFUSED_TEXT, RestApi


async def serve_rest(
    rest: RestApi, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Reports where, as "http://127.0.0.1:8080"."""

    async def answer(asked: Asked) -> Answered | Silence:
        got = await rest.ask(asked.method, asked.target, asked.header("authorization"), asked.body)
        if got.status == 0:
            return Silence.CLOSED if got.text == REFUSED_TEXT else Silence.OPEN
        return Answered(got.status, got.text)

    await serve_http(answer, port, task_status=task_status)
