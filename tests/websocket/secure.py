"""The far end of a link under TLS: Python's ssl as a server, on a socket that does not block."""

from __future__ import annotations

import socket as sockets
import ssl
from contextlib import suppress
from pathlib import Path

from relay.websocket import Link, Trust

#: A certificate with its key, for localhost and 127.0.0.1, signed by itself and good for a century.
LOCALHOST = str(Path(__file__).with_name("localhost.pem"))
#: The same, but good for a month of 2020.
EXPIRED = str(Path(__file__).with_name("expired.pem"))

NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def context(shown: str = LOCALHOST) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(shown)
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # so that a close without notice is told
    return made


class Far:
    """A server's end. None of its methods waits."""

    def __init__(self, sock: sockets.socket, how: ssl.SSLContext | None = None) -> None:
        sock.setblocking(False)
        how = how or context()
        # Owns the socket from now on.
        self.tls = how.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )

    def shake_hands(self) -> None:
        with suppress(*NOT_NOW):
            self.tls.do_handshake()

    def read(self, most: int = 1 << 20) -> bytes:
        """All that is there."""
        came = b""
        with suppress(*NOT_NOW):
            while len(came) < most and (some := self.tls.recv(most - len(came))):
                came += some
        return came

    def write(self, data: bytes) -> int:
        """As much as is taken."""
        sent = 0
        with suppress(*NOT_NOW):
            while sent < len(data):
                sent += self.tls.send(data[sent : sent + 16384])
        return sent


def shake_hands(link: Link, far: Far) -> None:
    """Raises what either side raises, ours first."""
    refused: ssl.SSLError | None = None
    while link.shake_hands():
        try:
            far.shake_hands()
        except ssl.SSLError as why:
            if refused is not None:
                raise
            refused = why  # we have not read why yet
    far.shake_hands()  # reads our last word


def secure(link: Link, there: sockets.socket, how: ssl.SSLContext | None = None) -> Far:
    """Secure a link, and shake hands with whom it then talks to."""
    far = Far(there, how)
    link.secure(Trust(LOCALHOST), "localhost")
    shake_hands(link, far)
    return far
