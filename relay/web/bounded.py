"""A bound on what a request's body may bring, whatever the framework makes of it.

ASGI around an application's ASGI. Quart refuses a body by its `content-length` at once; one without
it is, since 0.23, kept until it has come whole and only then found too long, so that a stranger
could have us keep whatever the line carries in BODY_TIMEOUT. Here a body ends one byte beyond what
it may have: that is too long for the application as well, which says so, and no more of it is read.
"""

from __future__ import annotations

import trio

from relay.exchange import App, Message, Receive, Send


class Bounded:
    """An ASGI application around another, which refuses a body of more than max_bytes itself."""

    def __init__(self, behind: App, *, max_bytes: int) -> None:
        self._behind = behind
        self._max_bytes = max_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        left = self._max_bytes + 1

        async def some() -> Message:
            nonlocal left
            if left == 0:  # it has been told that this was all
                await trio.sleep_forever()
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                if len(body) >= left:
                    message = {**message, "body": body[:left], "more_body": False}
                left -= min(len(body), left)
            return message

        await self._behind(scope, some, send)
