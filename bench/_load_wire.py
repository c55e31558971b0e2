"""The cheap generators' floor: one epoll loop with timers, and WebSockets spelt once more.

A generator that costs as much as what it measures measures itself. So both ends of a load run live
in one process, on one core, without a framework: `Loop` waits on every socket at once, and `Peer`
is a WebSocket that reads what there is and writes what fits. Nothing of relay is imported here.

It knows what a well-behaved peer needs: whole text messages, pings, the close. Masks are of zeros,
which RFC 6455 does not forbid: whoever receives must undo them all the same. A peer that does not
read makes its messages queue up in `Peer.backlog`, which is bounded by the run's length.
"""

from __future__ import annotations

import base64
import hashlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Final

import numpy as np

from bench._load_tls import TlsSocket

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
READ_BYTES: Final = 256 * 1024
_ROOM: Final = bytearray(READ_BYTES)  # of one thread: made anew, each would cost a mapping
SHORT_BYTES: Final = 400
OPEN_S: Final = 10.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Loop:
    """Sockets and timers of one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._over = False

    def watch(self, sock: socket.socket, ready: Callable[[int], None]) -> None:
        self._ready[sock.fileno()] = ready
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def want_write(self, sock: socket.socket, *, wanted: bool) -> None:
        self._epoll.modify(sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, sock: socket.socket) -> None:
        if self._ready.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._timers, (when, next(self._order), act))

    def stop(self) -> None:
        self._over = True

    def run(self) -> None:
        """Until stopped. A timer is late by the kernel's grain of 1 ms at most."""
        timers, poll, ready = self._timers, self._epoll.poll, self._ready
        self._over = False
        while not self._over:
            wait = timers[0][0] - time.monotonic() if timers else 1.0
            for fd, events in poll(max(0.0, wait)):
                if fd in ready:
                    ready[fd](events)
            now = time.monotonic()
            while timers and timers[0][0] <= now:
                heappop(timers)[2]()


class Peer:
    """One end of a WebSocket. take: gets each text message; gone: is told of its end, once.

    client: which end it is; a server's frames must not be masked
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket | TlsSocket,
        take: Callable[[bytes], None],
        gone: Callable[[], None],
        *,
        client: bool,
        rest: bytes = b"",
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop, self._sock, self._take, self._gone = loop, sock, take, gone
        self._frames, self._client = Frames(), client
        self.backlog = bytearray()
        self._open = True
        loop.watch(sock, self._events)
        if rest:
            loop.at(0.0, lambda: self._read(rest))

    def send(self, frames: bytes) -> None:
        """Write whole frames, as `frame` makes them."""
        if not self._open:
            return
        if self.backlog:
            self.backlog += frames
            return
        try:
            sent = self._sock.send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        if sent < len(frames):
            self.backlog += frames[sent:]
            self._loop.want_write(self._sock, wanted=True)

    def close(self) -> None:
        """Without a goodbye: the run is over."""
        self._end()

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._sock)
            self._sock.close()
            self._gone()

    def _events(self, events: int) -> None:
        if events & select.EPOLLOUT and self.backlog:
            try:
                del self.backlog[: self._sock.send(self.backlog)]
            except OSError:
                self._end()
                return
            if not self.backlog:
                self._loop.want_write(self._sock, wanted=False)
        if events & ~select.EPOLLOUT:
            try:
                came = self._sock.recv_into(_ROOM)
            except BlockingIOError:
                return
            except OSError:
                came = 0
            if not came:
                self._end()
                return
            self._read(bytes(memoryview(_ROOM)[:came]))

    def _read(self, data: bytes) -> None:
        for kind, payload in self._frames.read(data):
            if not self._open:
                return
            if kind == TEXT:
                self._take(payload)
            elif kind == PING:
                self.send(frame(payload, kind=PONG, masked=self._client))
            elif kind == CLOSE:
                self._end()


class Frames:
    """What came of a WebSocket, in any pieces, as whole messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._parts: list[bytes] = []

    def read(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Each message, TEXT whatever its kind was, and each control frame, with its payload."""
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        self._rest = b""
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            masked, size, start = size & 0x80, size & 0x7F, at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                start += width
                if start > end:
                    break
                size = int.from_bytes(data[at + 2 : start], "big")
            key = b""
            if masked:
                key, start = data[start : start + 4], start + 4
            if start + size > end:
                break
            payload = data[start : start + size]
            at = start + size
            if masked and any(key):
                payload = unmasked(payload, key)
            kind = first & 0x0F
            if kind not in (0, TEXT, BINARY):
                yield kind, payload
            elif first & 0x80 and not self._parts:
                yield TEXT, payload
            else:
                self._parts.append(payload)
                if first & 0x80:
                    whole, self._parts = b"".join(self._parts), []
                    yield TEXT, whole
        self._rest = data[at:] if at < end else b""


def unmasked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size < SHORT_BYTES:  # numpy takes longer to begin, and less for each byte
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        return (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    padded = np.frombuffer(payload + bytes(-size % 4), np.uint32)
    return (padded ^ np.frombuffer(key, np.uint32)).tobytes()[:size]


def frame(payload: bytes, *, kind: int = TEXT, masked: bool) -> bytes:
    """One whole frame; a client's is masked, with zeros."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | kind, bit | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, bit | 127)) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


# ---- opening -------------------------------------------------------------------------------


def request(host: str, port: int, path: str, headers: Mapping[str, str]) -> bytes:
    """What a client asks for."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def let_in(head: bytes) -> bool:
    """Whether a server's head is a client's 101."""
    return b" 101 " in head.split(b"\r\n", 1)[0] + b" "


def fields_of(head: bytes) -> dict[bytes, bytes]:
    """The fields of a request's head, their names in small letters."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def welcome(head: bytes) -> bytes:
    """The 101 for a client's head."""
    digest = hashlib.sha1(fields_of(head)[b"sec-websocket-key"] + GUID).digest()  # noqa: S324 - the RFC's
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


# ---- the same, blocking: it belongs before a run ---------------------------------------------


def connect(
    host: str, port: int, path: str, headers: Mapping[str, str]
) -> tuple[socket.socket, bytes]:
    """A client's socket after its handshake, and what came behind it. Raises OSError."""
    sock = socket.create_connection((host, port), timeout=OPEN_S)
    sock.sendall(request(host, port, path, headers))
    head, rest = _head(sock)
    if not let_in(head):
        sock.close()
        raise OSError(f"{path} was answered {head[:60]!r}")
    return sock, rest


def accept(sock: socket.socket | TlsSocket) -> tuple[bytes, bytes]:
    """Answer a client's handshake on an accepted socket. Its head, and what came behind it."""
    sock.settimeout(OPEN_S)
    head, rest = _head(sock)
    sock.sendall(welcome(head))
    return head, rest


def _head(sock: socket.socket | TlsSocket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            raise OSError("closed during the handshake")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest
