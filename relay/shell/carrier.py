"""Who moves a link's bytes: C itself, or TLS on a socket that does not block.

A carrier receives into the link's own room and sends from its own out; neither waits.
"""

from __future__ import annotations

import socket as sockets
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from relay.websocket import AGAIN, ENDED, Link


class Carrier(Protocol):
    """Who moves a link's bytes."""

    def receive(self) -> int: ...

    def flush(self) -> int: ...

    def shut(self) -> None: ...

    @property
    def telling(self) -> bool:
        """Whether epoll knows of everything that can be received."""
        ...


class Plain:
    """C does it. shut: ends our direction of the connection."""

    telling = True

    def __init__(self, link: Link, shut: Callable[[], None]) -> None:
        self.receive, self.flush, self._shut = link.receive, link.flush, shut

    def shut(self) -> None:
        with suppress(OSError):
            self._shut()


class Tls:
    """An SSLSocket that does not block. What it has decrypted ahead is no news to epoll."""

    telling = False

    def __init__(self, link: Link, tls: ssl.SSLSocket) -> None:
        self._link, self._tls = link, tls
        link.seal()

    def receive(self) -> int:
        try:
            came = self._tls.recv_into(self._link.room())
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return AGAIN
        except OSError:
            return ENDED
        self._link.received(came)
        return came or ENDED

    def flush(self) -> int:
        link = self._link
        while link.unsent:
            try:
                link.sent(self._tls.send(link.waiting()))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError:
                return ENDED
        return link.unsent

    def shut(self) -> None:
        with suppress(OSError, ValueError):
            self._tls.shutdown(sockets.SHUT_WR)
