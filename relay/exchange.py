"""One request and its answer: plain ASGI on a connection whose request head was read already.

    app ◀─ receive ── h11 ◀── the connection        app ── send ─▶ one send_all ─▶ it

A webhook is a kilobyte there and a kilobyte back, once a connection. A server's tasks, channels,
timers and states around it cost more than it does itself (docs/benchmarks.md); this is what is left
of one: the app gets its scope and its body, which h11 reads if it has not come with the head, and
the answer goes out whole, up to the end of the connection.

Nobody watches for a peer that leaves while its request is worked: a webhook that was believed is
carried out. Whoever calls bounds the whole in time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import h11
import trio

from relay.waiting import Waiting

READ_BYTES: Final = 4096
BODY_S: Final = 5.0  # in which a body must have come; Twilio sends it with the head
LINGER_BYTES: Final = 64 * 1024
LINGER_S: Final = 2.0

Message: TypeAlias = MutableMapping[str, Any]  # an ASGI scope is one, too
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


async def answer(
    app: App,
    stream: trio.SocketStream,
    parser: h11.Connection,
    request: h11.Request,
    bodies: Waiting,
) -> None:
    """Have an app answer a request. The connection is to be closed afterwards.

    parser: it has just given the request, and holds what came behind its head
    bodies: those of other requests that have not come yet, either
    """
    exchange = _Exchange(stream, parser, request, bodies)
    try:
        try:
            await app(_scope(request), exchange.receive, exchange.send)
        finally:  # an app that failed owes an answer, too
            await exchange.end()
    except trio.BrokenResourceError:
        return


async def linger(stream: trio.SocketStream) -> None:
    """Let a peer that may still be sending read its answer: closing at once would reset."""
    with trio.move_on_after(LINGER_S):
        await stream.send_eof()
        drained = 0
        while drained < LINGER_BYTES and (some := await stream.receive_some(READ_BYTES)):
            drained += len(some)


class _Exchange:
    """What the app receives from and sends to."""

    def __init__(
        self,
        stream: trio.SocketStream,
        parser: h11.Connection,
        request: h11.Request,
        bodies: Waiting,
    ) -> None:
        self._stream = stream
        self._parser = parser
        self._request = request
        self._bodies = bodies
        self._whole = False
        self._body_since: float | None = None
        self._unanswered = 500  # the status when the app says nothing
        self._out = bytearray()
        self._answered = False
        self._sending = trio.Lock()  # apps that read and answer at once are of two tasks

    async def receive(self) -> Message:
        """The next piece of the body. Behind the last one nothing comes any more."""
        if self._whole:
            await trio.sleep_forever()
        if self._body_since is None and (at_hand := self._at_hand()) is not None:
            self._whole = True
            return {"type": "http.request", "body": at_hand, "more_body": False}
        body = bytearray()
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self._unanswered = error.error_status_hint
                error.__traceback__ = None  # h11's frame in it knows the error: a cycle
                return {"type": "http.disconnect"}
            match event:
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    self._whole = True
                    return {"type": "http.request", "body": bytes(body), "more_body": False}
                case _ if body:
                    return {"type": "http.request", "body": bytes(body), "more_body": True}
                case _ if not await self._read():
                    self._unanswered = 408
                    return {"type": "http.disconnect"}

    def _at_hand(self) -> bytes | None:
        """The whole body, when it has come with the head as it mostly does; None: it has not."""
        length = 0
        for name, value in self._request.headers:
            if name == b"content-length":
                length = int(value)  # h11 has seen to it that this is one number
            elif name == b"transfer-encoding":
                return None
        came, _ = self._parser.trailing_data
        return came[:length] if len(came) >= length else None

    async def _read(self) -> bool:
        """Read on. False: the body takes too long, or too many others do."""
        if self._body_since is None:
            self._body_since = trio.current_time()
        async with self._sending:
            # An app may have answered without a look at the body.
            if self._parser.they_are_waiting_for_100_continue and not self._out:
                go_on = self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._stream.send_all(go_on or b"")
        with (
            trio.move_on_at(self._body_since + BODY_S) as scope,
            self._bodies.among(scope, self._body_since),
        ):
            self._parser.receive_data(await self._stream.receive_some(READ_BYTES))
            return True
        return False

    async def send(self, message: Message) -> None:
        """Take a piece of the answer; the last one sends it. It ends where the connection does."""
        if message["type"] == "http.response.start":
            self._begin(message["status"], message.get("headers", ()))
            return
        self._out += message.get("body", b"")
        if not message.get("more_body", False):
            async with self._sending:
                self._answered = True
                await self._stream.send_all(self._out)

    async def end(self) -> None:
        """Say something if the app has not to its end, and part so that the peer can read it."""
        if not self._answered:
            self._out.clear()
            self._begin(self._unanswered, [(b"content-length", b"0")])
            await self.send({"type": "http.response.body"})
        if not self._whole:
            await linger(self._stream)

    def _begin(self, status: int, headers: Any) -> None:
        self._out += b"HTTP/1.1 %d \r\n" % status
        for name, value in headers:
            self._out += b"%s: %s\r\n" % (name, value)
        date = formatdate(usegmt=True).encode("ascii")
        self._out += b"date: %s\r\nconnection: close\r\n\r\n" % date


def _scope(request: h11.Request) -> Message:
    """Without the connection's two addresses: the balancer is at the other end, and Twilio signs
    what it asks for by another name than ours."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
        "extensions": {},
    }
