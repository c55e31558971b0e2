"""The WebSocket seam: shell/sockets.py in production, sim/pair.py in tests."""

from __future__ import annotations

from typing import Protocol


class Socket(Protocol):
    """One WebSocket as the relay sees it: whole messages, one reader, one writer."""

    async def receive(self) -> str | bytes:
        """Wait for the next message. Raises SocketClosed when there will be none."""
        ...

    async def send(self, text: str) -> None:
        """Send one text message. Raises SocketClosed when the peer is gone."""
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close, within the socket's own deadline; never raises because the peer is gone."""
        ...
