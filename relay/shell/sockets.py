"""WebSockets behind the Socket seam, on both sides: which ones, and what bounds them.

Two implementations pass the same tests. The native one (native_socket.py, on native/ws.c) is what
runs: a call takes a fraction of the CPU with it (docs/benchmarks.md). The library's
(library_socket.py, trio-websocket) is the readable one, and what WEBSOCKETS=library goes back to.

No compression; explicit message limits: 64 KiB from Twilio, whose messages are tiny, 16 MiB from
the model, which may send a whole item. Every open, send and close has a deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from relay.ports import Socket
from relay.shell import library_socket, native_handshake

#: Which implementation `dial` and `welcome` take; the process's owner may choose before it serves.
NATIVE = True

PHONE_MESSAGE_BYTES: Final = 64 * 1024
MODEL_MESSAGE_BYTES = 16 * 1024 * 1024
CONNECT_S: Final = 3.0


def dial(
    url: str,
    headers: Sequence[tuple[str, str]],
    *,
    connect_s: float = CONNECT_S,
    authorities: str | None = None,
) -> AbstractAsyncContextManager[Socket]:
    """Open a WebSocket as a client and close it at the end of the block.

    authorities: a file of those who may vouch for the peer of a wss:// URL; None: the system's
    Raises DialError when there is no connection after connect_s, whatever the peer does or not.
    What the block itself raises comes out as it is, or in an exception group.
    """
    how = native_handshake.dial if NATIVE else library_socket.dial
    return how(
        url,
        headers,
        connect_s=connect_s,
        limit=MODEL_MESSAGE_BYTES,
        authorities=authorities,
    )


def welcome(
    stream: trio.SocketStream, request: bytes, *, key: str, rest: bytes, handshake_s: float
) -> AbstractAsyncContextManager[Socket]:
    """Upgrade a connection whose request was read, for the length of the block.

    request: all that was read, the head and `rest`, which came behind it; key: Sec-WebSocket-Key
    The socket is closed at the end of the block; the stream is left to its owner.
    """
    if NATIVE:
        return native_handshake.welcome(
            stream, key=key, rest=rest, limit=PHONE_MESSAGE_BYTES, handshake_s=handshake_s
        )
    return library_socket.welcome(
        stream, request, limit=PHONE_MESSAGE_BYTES, handshake_s=handshake_s
    )
