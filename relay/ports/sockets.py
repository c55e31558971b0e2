"""The WebSocket seam: shell/sockets.py in production, sim/pair.py in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable


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


@runtime_checkable
class AnsweringSocket(Socket, Protocol):
    """A socket whose peer can be asked whether it is still there."""

    async def ping(self) -> None:
        """Wait until the peer has answered a ping (RFC 6455, 5.5.2). One at a time.

        Raises SocketClosed if nothing can be sent. A connection that is lost meanwhile answers
        nothing: give it a deadline.
        """
        ...


@runtime_checkable
class QuickSocket(Socket, Protocol):
    """A socket that sends without waiting, as long as its peer keeps up."""

    def send_nowait(self, text: str) -> bool:
        """Take one text message, for the next `flush`. False: the peer does not keep up.

        To a peer that is gone it goes nowhere, and the reader says so.
        """
        ...

    def append_nowait(self, audio: str) -> bool:
        """`send_nowait` of base64 audio as the model's `input_audio_buffer.append`."""
        ...

    def play_nowait(self, stream_sid: str, mulaw: bytes, mark: str) -> bool:
        """`send_nowait` of mu-law for a phone's stream, and of the mark behind it.

        False also for names that it cannot spell, and then nothing was taken.
        """
        ...

    def flush(self, lagging: Callable[[], None]) -> None:
        """Send what was taken, now or a moment later, together with more.

        lagging: called when not all of it could be sent; `drain` then waits for the rest
        """
        ...

    async def drain(self) -> None:
        """Wait until all that was taken is sent. Raises SocketClosed when the peer is gone."""
        ...
