"""How a native socket is opened, on both sides: HTTP/1.1 by h11, TCP by Trio, TLS by the link.

The server's side begins when the door has read the request and made its checks: what is left is the
101. The client's does all of it, and checks what RFC 6455, 4.1 has a client check.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket as sockets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, NoReturn
from urllib.parse import urlsplit

import h11
import trio

from relay.errors import DialError
from relay.ports import Socket
from relay.shell.native_socket import NativeSocket
from relay.websocket import AGAIN, ENDED, WANTS_READ, Link, Trust

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
# Of what a peer says when it refuses: enough for its reason.
SHOWN_BYTES: Final = 300
# A model that acknowledges nothing for so long is gone; the door sets the same for phones.
USER_TIMEOUT_MS: Final = 5_000


def accept_of(key: str) -> str:
    """What Sec-WebSocket-Accept must say to a key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324


# ---- the server's side ----------------------------------------------------------------------


@asynccontextmanager
async def welcome(
    stream: trio.SocketStream, *, key: str, rest: bytes, limit: int, handshake_s: float
) -> AsyncIterator[Socket]:
    """Answer with 101. rest: what came behind the request. Raises trio.TooSlowError."""
    fd = stream.socket.fileno()
    link = Link(fd, client=False, limit=limit)
    link.push(rest)
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n"
    )
    with trio.fail_after(handshake_s):
        await stream.send_all(head.encode())
    socket = NativeSocket(fd, link, client=False)
    yield socket
    await socket.aclose()


# ---- the client's side ----------------------------------------------------------------------


@asynccontextmanager
async def dial(
    url: str,
    headers: Sequence[tuple[str, str]],
    *,
    connect_s: float,
    limit: int,
    authorities: str | None,
) -> AsyncIterator[Socket]:
    """As sockets.dial."""
    wire: sockets.socket | None = None
    try:
        with trio.move_on_after(connect_s) as scope:
            wire = await _open(url)
            link = Link(wire.fileno(), client=True, limit=limit)
            if _is_secure(url):
                await _secure(link, wire, url, authorities)
            await _upgrade(link, wire, url, headers)
            socket = NativeSocket(wire.fileno(), link, client=True)
        if scope.cancelled_caught:
            raise DialError(f"no answer within {connect_s:g} s")
        yield socket
        await socket.aclose()
    finally:
        if wire is not None:
            trio.lowlevel.notify_closing(wire)
            wire.close()


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "wss"


async def _open(url: str) -> sockets.socket:
    """TCP. Raises DialError."""
    parts = urlsplit(url)
    port = parts.port or (443 if _is_secure(url) else 80)
    try:
        stream = await trio.open_tcp_stream(parts.hostname or "", port)
    except OSError as refused:
        raise DialError(f"{type(refused).__name__}: {refused}") from refused
    wire = sockets.socket(fileno=stream.socket.detach())
    wire.setblocking(False)
    if hasattr(sockets, "TCP_USER_TIMEOUT"):
        wire.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return wire


@lru_cache(maxsize=2)
def _trust(authorities: str | None) -> Trust:
    """Read once: it takes 20 ms, in which no other call is served."""
    return Trust(authorities)


async def _secure(link: Link, wire: sockets.socket, url: str, authorities: str | None) -> None:
    """TLS. Raises DialError."""
    try:
        link.secure(_trust(authorities), urlsplit(url).hostname or "")
        while wants := link.shake_hands():
            if wants == WANTS_READ:
                await trio.lowlevel.wait_readable(wire)
            else:
                await trio.lowlevel.wait_writable(wire)
    except (OSError, ValueError) as refused:
        raise DialError(f"no TLS: {refused}") from refused


async def _upgrade(
    link: Link, wire: sockets.socket, url: str, headers: Sequence[tuple[str, str]]
) -> None:
    """Ask for the upgrade. Raises DialError when it is not given."""
    parts = urlsplit(url)
    key = base64.b64encode(os.urandom(16)).decode()
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="GET",
        target=f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
        headers=[
            ("Host", parts.netloc.rpartition("@")[2]),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
            *headers,
        ],
    )
    try:
        link.put_raw((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        await _send(link, wire)
        answer = await _answer(link, wire, http)
        if not isinstance(answer, h11.InformationalResponse) or answer.status_code != 101:
            await _refused(link, wire, http, answer)
        _check(answer, key)
    except (OSError, h11.ProtocolError) as refused:
        raise DialError(f"{type(refused).__name__}: {refused}") from refused
    link.push(http.trailing_data[0])


async def _answer(link: Link, wire: sockets.socket, http: h11.Connection) -> h11.Event:
    """The next event of the answer. Raises OSError, h11.ProtocolError or DialError."""
    while True:
        event = http.next_event()
        if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            continue
        if event is not h11.NEED_DATA and isinstance(event, h11.Event):
            return event
        if event is h11.PAUSED:
            raise DialError("the answer cannot be read")
        some = await _receive(link, wire)
        if not some and http.their_state is h11.SEND_RESPONSE:
            raise DialError("closed during the handshake")
        http.receive_data(some)


async def _refused(
    link: Link, wire: sockets.socket, http: h11.Connection, answer: h11.Event
) -> NoReturn:
    if not isinstance(answer, h11.Response):
        raise DialError("closed during the handshake")
    body = b""
    while len(body) < SHOWN_BYTES:
        more = await _answer(link, wire, http)
        if not isinstance(more, h11.Data):
            break
        body += bytes(more.data)
    shown = body[:SHOWN_BYTES].decode(errors="replace")
    raise DialError(f"HTTP {answer.status_code} {shown}".strip())


def _check(answer: h11.InformationalResponse, key: str) -> None:
    """RFC 6455, 4.1: an upgrade, to WebSocket, with the answer to our key, and nothing besides."""
    fields: dict[str, str] = {}
    for name, value in answer.headers:
        fields[name.decode().lower()] = value.decode("latin-1").strip()
    tokens = {token.strip().lower() for token in fields.get("connection", "").split(",")}
    if fields.get("upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
        raise DialError("a 101 that does not upgrade to WebSocket")
    if fields.get("sec-websocket-accept") != accept_of(key):
        raise DialError("a 101 with the wrong Sec-WebSocket-Accept")
    if fields.get("sec-websocket-extensions") or fields.get("sec-websocket-protocol"):
        raise DialError("a 101 with an extension or protocol that nobody asked for")


async def _send(link: Link, wire: sockets.socket) -> None:
    while left := link.flush():
        if left == ENDED:
            raise DialError("closed during the handshake")
        await trio.lowlevel.wait_writable(wire)


async def _receive(link: Link, wire: sockets.socket) -> bytes:
    """What came, b"" at the end."""
    while (came := link.receive()) == AGAIN:
        await trio.lowlevel.wait_readable(wire)
    return b"" if came == ENDED else link.take_raw()
