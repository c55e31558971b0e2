"""A WebSocket for the simulators of bench/latency.py that costs little: Trio waits, and no more.

Fifty callers and their model share a core, and a library WebSocket had a fifth of what they took.
This one looks at its socket first, and waits only when there is nothing, or no room. It is as
lenient as `_load_wire.py`, whose frames these are: what it talks to is tested elsewhere.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import trio

from bench._load_wire import (
    CLOSE,
    OPEN_S,
    PING,
    PONG,
    READ_BYTES,
    TEXT,
    Frames,
    frame,
    let_in,
    request,
    welcome,
)
from relay.errors import SocketClosed

CLOSE_S: Final = 2.0
LOOK_S: Final = 0.02


class Wire:
    """One end, as a `ports.Socket`. One task may send, and one receive, at the same time."""

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock, self._client = sock, client
        self._frames = Frames()
        self._came: deque[tuple[int, bytes]] = deque()
        self._backlog = bytearray()
        self._ended: SocketClosed | None = None

    async def receive(self) -> str:
        """The next message. Raises SocketClosed for good, with 1006 if there was no goodbye."""
        while True:
            while not self._came:
                if self._ended:
                    raise self._ended
                self.feed(await self._read())
            kind, payload = self._came.popleft()
            if kind == TEXT:
                return payload.decode()
            if kind == PING:
                self._write(frame(payload, kind=PONG, masked=self._client))
            elif kind == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                self._write(frame(payload, kind=CLOSE, masked=self._client))
                self._ended = SocketClosed(code, payload[2:].decode(errors="replace"))

    async def send(self, text: str) -> None:
        """Return when the kernel has it. Raises SocketClosed."""
        if self._ended:
            raise self._ended
        self._write(frame(text.encode(), masked=self._client))
        while self._backlog:
            await trio.lowlevel.wait_writable(self._sock)
            self._write(b"")

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, and wait a little for the other's."""
        goodbye = code.to_bytes(2, "big") + reason.encode()
        self._write(frame(goodbye, kind=CLOSE, masked=self._client))
        with trio.move_on_after(CLOSE_S), suppress(SocketClosed):
            while not self._ended:
                try:
                    await self.receive()
                except trio.BusyResourceError:  # somebody else reads, and will see it
                    await trio.sleep(LOOK_S)
        self.drop()

    def drop(self) -> None:
        """Close the connection without a goodbye."""
        self._ended = self._ended or SocketClosed(1006)
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def feed(self, data: bytes) -> None:
        """Take what has come; nothing is the end."""
        if not data:
            self._ended = self._ended or SocketClosed(1006)
        self._came.extend(self._frames.read(data))

    async def _read(self) -> bytes:
        while True:
            try:
                return self._sock.recv(READ_BYTES)
            except BlockingIOError:
                pass
            except OSError:
                return b""
            try:
                await trio.lowlevel.wait_readable(self._sock)
            except trio.ClosedResourceError:
                return b""

    def _write(self, data: bytes) -> None:
        """Write what fits, in order; the rest waits for whoever sends next, or waits."""
        self._backlog += data
        try:
            del self._backlog[: self._sock.send(self._backlog)]
        except BlockingIOError:
            pass
        except OSError:
            self._backlog.clear()
            self._ended = self._ended or SocketClosed(1006)


# ---- handshakes -----------------------------------------------------------------------------


async def call(url: str, headers: Mapping[str, str]) -> Wire:
    """A client's end of a connection to ws://host:port/path. Raises OSError or TooSlowError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    with trio.fail_after(OPEN_S):
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(request(host, port, parts.path, headers))
        head, rest = await _head(stream)
    if not let_in(head):
        await trio.aclose_forcefully(stream)
        raise OSError(f"{parts.path} was answered {head[:60]!r}")
    return _wire(stream, rest, client=True)


async def answer(stream: trio.SocketStream) -> tuple[bytes, Wire]:
    """A server's end, and the head of what the client asked for. Raises OSError or TooSlowError."""
    with trio.fail_after(OPEN_S):
        head, rest = await _head(stream)
        await stream.send_all(welcome(head))
    return head, _wire(stream, rest, client=False)


def _wire(stream: trio.SocketStream, rest: bytes, *, client: bool) -> Wire:
    wire = Wire(socket.socket(fileno=stream.socket.detach()), client=client)
    if rest:
        wire.feed(rest)
    return wire


async def _head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(4096)
        if not more:
            raise OSError("closed during the handshake")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest
