"""Names are looked up in threads of their own.

A lookup cannot be ended: who has waited long enough leaves its thread behind, for as long as the
resolver is patient, and that is longer than any of our deadlines. Trio would take the threads that
all blocking work shares. So when no name server answers, only lookups wait for one another, and not
the day's budget, the look at the memory and the metrics.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

THREADS: Final = 32  # a lookup that is answered takes milliseconds


class Names(trio.abc.HostnameResolver):
    """For trio.socket.set_custom_hostname_resolver."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(THREADS)

    async def getaddrinfo(  # noqa: PLR0917 - Trio calls it so
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - Trio's name for it
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As socket.getaddrinfo."""
        return await self._ask(partial(sockets.getaddrinfo, host, port, family, type, proto, flags))

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        """As socket.getnameinfo."""
        return await self._ask(partial(sockets.getnameinfo, sockaddr, flags))

    async def _ask(self, question: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(
            question, abandon_on_cancel=True, limiter=self._limiter
        )
