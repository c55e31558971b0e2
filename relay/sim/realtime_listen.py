"""The simulated Realtime API behind a real port, with the handshake that the real one has.

A client must ask for `/v1/realtime?model=…`, carry a key and leave the beta header out; a safety
identifier is a pseudonym, no telephone number. As seen at the real service: a bad key is let in and
then closed with 3000; the beta header is a plain 500.
`Door` makes it refuse everybody, or take connections and stay silent.
"""

from __future__ import annotations

import re
import socket as sockets
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs, urlsplit

import h11
import trio
import wsproto.utilities
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    WebSocketRequest,
    wrap_server_stream,
)

from relay.errors import SocketClosed
from relay.sim.brains import Brain
from relay.sim.realtime import Options, Session, serve_session

HANDSHAKE_S = 5.0
CLOSE_S = 2.0
GRACE_S = 0.2  # in which a watcher may read the log of a session that ended
MESSAGE_BYTES = 16 * 1024 * 1024
# No longer than other identifiers of the API may be, and of no caller's digits alone.
_IDENTIFIER = re.compile(rb"(?!\+?\d+\Z)[!-~]{1,64}")
BAD_KEY = (3000, "invalid_request_error.invalid_api_key")

# What a client that breaks the handshake, or goes away in it, looks like.
GONE = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    HandshakeError,
    ConnectionClosed,
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
)


@dataclass(frozen=True, slots=True)
class Door:
    """Who gets in. key: the only one that is good; None: any.

    refuse: answer every upgrade with this HTTP status
    silent: take the connection and never answer the upgrade
    """

    key: str | None = None
    refuse: int | None = None
    silent: bool = False


async def upgrade(nursery: trio.Nursery, stream: trio.SocketStream) -> WebSocketRequest:
    """Read a client's request to speak WebSocket, HANDSHAKE_S long."""
    with trio.fail_after(HANDSHAKE_S):
        return await wrap_server_stream(
            nursery, stream, message_queue_size=256, max_message_size=MESSAGE_BYTES
        )


class ServedSocket:
    """A trio-websocket connection as a ports.Socket that can also die without a goodbye."""

    def __init__(self, connection: WebSocketConnection, stream: trio.SocketStream) -> None:
        self._connection = connection
        self._stream = stream

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._connection.get_message()
        except ConnectionClosed as gone:
            raise _closed(gone) from None
        return message

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as gone:
            raise _closed(gone) from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(CLOSE_S):
            await self._connection.aclose(code, reason)

    def drop(self, code: int = 1006) -> None:  # noqa: ARG002 - the peer sees 1006, whatever we say
        """Reset the TCP connection."""
        self._stream.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.socket.close()


def _closed(gone: ConnectionClosed) -> SocketClosed:
    if gone.reason is None:
        return SocketClosed(1006)
    return SocketClosed(gone.reason.code, gone.reason.reason or "")


async def _unwatched(session: Session) -> None:
    """Nobody looks."""


async def listen(
    make_brain: Callable[[], Brain],
    watch: Callable[[Session], Awaitable[object]] = _unwatched,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    door: Door | None = None,
    options: Options | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve sessions until cancelled; `await nursery.start(listen, …)` gives the port.

    watch runs beside each session and is cancelled GRACE_S after its end.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    opened: int = listeners[0].socket.getsockname()[1]
    handle = partial(
        _connection, make_brain=make_brain, watch=watch, door=door or Door(), options=options
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        task_status.started(opened)


async def _connection(
    stream: trio.SocketStream,
    *,
    make_brain: Callable[[], Brain],
    watch: Callable[[Session], Awaitable[object]],
    door: Door,
    options: Options | None,
) -> None:
    if door.silent:
        await trio.sleep_forever()
    session = None
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(HANDSHAKE_S):
                request = await upgrade(nursery, stream)
                socket, model = await _admit(request, stream, door)
            if socket is not None:
                session = Session(options, model=model)
                await _serve(socket, session, make_brain(), watch)
            nursery.cancel_scope.cancel()
    except* GONE:
        # The client's fault, and seen by it; a session sees it as its own end.
        pass


async def _serve(
    socket: ServedSocket,
    session: Session,
    brain: Brain,
    watch: Callable[[Session], Awaitable[object]],
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, session)
        await serve_session(socket, brain, session=session)
        await socket.aclose()
        await trio.sleep(GRACE_S)
        nursery.cancel_scope.cancel()


async def _admit(
    request: WebSocketRequest, stream: trio.SocketStream, door: Door
) -> tuple[ServedSocket | None, str]:
    """Let a client in, or say why not. Returns its socket, and the model it asked for."""
    url = urlsplit(request.path)
    query = parse_qs(url.query)
    models = query.get("model", [])
    headers = {name.lower(): value for name, value in request.headers}
    status = door.refuse or _refusal(url.path, query, headers)
    if status:
        await request.reject(status)
        return None, ""
    socket = ServedSocket(await request.accept(), stream)
    scheme, _, key = headers.get(b"authorization", b"").decode(errors="replace").partition(" ")
    if scheme != "Bearer" or not key or door.key not in (None, key):
        await socket.aclose(*BAD_KEY)
        return None, ""
    return socket, models[0]


def _refusal(path: str, query: dict[str, list[str]], headers: dict[bytes, bytes]) -> int | None:
    """The HTTP status that a wrong upgrade gets; None: it is right."""
    if path != "/v1/realtime":
        return 404
    if b"openai-beta" in headers:
        return 500
    identifier = headers.get(b"openai-safety-identifier", b"-")
    if len(query.get("model", [])) != 1 or query.keys() & {"call_id", "intent"}:
        return 400
    return 400 if not _IDENTIFIER.fullmatch(identifier) else None
