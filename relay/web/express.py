"""The webhooks of a caller's own call, answered before the framework gets to see them.

ASGI around the application's ASGI: a POST of one of the pages in twilio.py is checked and answered
here, by the same functions as the framework's route of that page; everything else is passed on. A
request through the framework costs twice what is done for a call, and these are what a crowd of
callers asks for (docs/benchmarks.md). `tests/web` holds both ways to the same answers.
"""

from __future__ import annotations

from typing import Final

import structlog
from quart import abort
from werkzeug.exceptions import HTTPException

from relay.exchange import App, Message, Receive, Send
from relay.web.desk import FrontDesk
from relay.web.forms import Form, believe
from relay.web.twilio import CONTENT_TYPE, PAGES, PREFIX

_SIGNATURE: Final = b"x-twilio-signature"


class Express:
    """An ASGI application in front of another."""

    def __init__(self, behind: App, desk: FrontDesk, *, max_bytes: int) -> None:
        """max_bytes: how large a body may be; how long it may take is exchange.py's to bound."""
        self._behind = behind
        self._desk = desk
        self._max_bytes = max_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a page of ours; have everything else answered."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        page = PAGES.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if page is None:
            await self._behind(scope, receive, send)
            return
        try:
            form = await self._form(scope, receive)
            if form is None:
                return
            structlog.contextvars.bind_contextvars(call_sid=form.call_sid)
            text = await page(self._desk, form)
        except HTTPException as refusal:
            await _answer(send, refusal.code or 500)
        else:
            await _answer(send, 200 if text else 204, text.encode())

    async def _form(self, scope: Message, receive: Receive) -> Form | None:
        """The signed form of a request; None when its sender has gone. Refusals are raised."""
        claimed = _header(scope, _SIGNATURE)
        if not claimed:
            abort(403)
        body = await self._body(scope, receive)
        if body is None:
            return None
        desk = self._desk
        return believe(claimed, scope, body, auth_token=desk.auth_token, public_url=desk.public_url)

    async def _body(self, scope: Message, receive: Receive) -> bytes | None:
        length = _header(scope, b"content-length")
        if length.isdecimal() and int(length) > self._max_bytes:
            abort(413)
        body = bytearray()
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                abort(413)
            if not message.get("more_body", False):
                return bytes(body)
        return None


def _header(scope: Message, wanted: bytes) -> str:
    """The first value of a header, "" when it is absent."""
    found: bytes = next((value for name, value in scope["headers"] if name == wanted), b"")
    return found.decode("latin-1")


async def _answer(send: Send, status: int, body: bytes = b"") -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    if body:
        headers.append((b"content-type", CONTENT_TYPE.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
