"""WebSockets on relay.websocket behind the Socket seam, on both sides, with deadlines.

A socket has no task of its own. Who receives reads; who sends writes what the kernel takes at once,
and only what it does not take is waited for. Whether TLS is between is the link's matter.

Once a connection is over, by a close frame of either side, by bytes that break the protocol or by
the end of TCP, `_gone` says how, and says the same ever after. TCP_USER_TIMEOUT (set by the door,
and by native_handshake on dialled sockets) ends one whose peer acknowledges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import outcome
import trio

from relay.audio import ModelToPhone, PhoneToModel
from relay.core.events import CallerAudio
from relay.errors import SocketClosed
from relay.shell import pump
from relay.shell.pouring import Hear, Pouring, Take
from relay.websocket import (
    AGAIN,
    BINARY,
    BROKEN,
    CLOSE,
    ENDED,
    MORE,
    NO_ROOM,
    PING,
    PONG,
    REST,
    SPOKEN,
    TEXT,
    Ear,
    Lane,
    Link,
    Mouth,
)
from relay.websocket.ear import ECHOED, TAKEN

CLOSE_S: Final = 2.0
# What is still read of a peer that was told to go, so that it reads why before the reset.
LINGER_BYTES: Final = 256 * 1024
REASON_BYTES: Final = 123  # RFC 6455, 5.5
# As often one reads what did not fit in at once, before it is another socket's turn.
READS: Final = 4
# A step never sends so much at once to a peer that takes it.
UNSENT_BYTES: Final = 1024 * 1024


def _nobody_minds() -> None:
    """Until an outbox writes to it, what a socket cannot send waits for the next `send`."""


class NativeSocket:
    """One connection as a ports.Socket. link: its bytes."""

    def __init__(self, fd: int, link: Link, *, client: bool, close_s: float = CLOSE_S) -> None:
        self._fd = fd
        self._link = link
        self._client = client
        self._close_s = close_s
        self._parts: list[bytes] = []
        self._gone: SocketClosed | None = None
        self._deaf = False  # nothing can be sent any more
        self._stuck = False  # the kernel did not take all that was flushed
        self._held = False  # by the pump, until the socket that it reads is read
        self._said_goodbye = False
        self._broken = False  # the peer broke the protocol
        self._closing: trio.Event | None = None
        self._ended = False  # nothing can be received any more
        self._poured_by: pump.Pump | None = None
        self._lagging: Callable[[], None] = _nobody_minds
        self._lent = False  # nothing waits that must be sent before what comes by the lane
        self._pouring: Pouring | None = None
        self._pings = 0
        self._answered = trio.Event()  # the last of them was

    # ---- in ---------------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        await trio.lowlevel.checkpoint()
        while True:
            message = self._next_message()
            if message is not None:
                return message
            if self._read() == AGAIN:
                await self._readable()

    def mouth(self, codec: ModelToPhone) -> Mouth:
        """Joins this socket and a session's codec, for `pour`."""
        return Mouth(self._link, codec)

    async def pour(
        self,
        take: Take,
        mouth: Mouth | None = None,
        speak: Callable[[bytes, float], None] = lambda _mulaw, _level_db: None,
    ) -> None:
        """Give every message to `take`, as it comes. Raises SocketClosed in the end, or what `take`
        raised. `take` is called in this task's context, but not always while it runs.

        mouth: what it takes goes to `speak` instead: mu-law, and its level
        """
        link = self._link
        next_frame = link.next if mouth is None else mouth.next

        def step() -> bool:
            came = reads = 0
            more = True
            while more and (reads < READS or link.more):
                came, reads = self._read(), reads + 1
                more = link.full or link.more
                while link.untaken() and (kind := next_frame()) != MORE:
                    if kind == SPOKEN and mouth is not None:
                        speak(*mouth.speech())
                    elif (message := self._of_frame(kind)) is not None:
                        take(message)
            return came != AGAIN

        while (message := self._next_message()) is not None:
            take(message)  # what came with the handshake
        await self._pour(step)

    def ear(self, codec: PhoneToModel) -> Ear:
        """Joins this socket and a call's codec, for `pour_media`."""
        return Ear(self._link, codec)

    async def pour_media(
        self, ear: Ear, take: Take, hear: Hear, catch_up: Callable[[], None]
    ) -> None:
        """`pour`, but what the ear takes goes to `hear`.

        catch_up: called when frames have passed the ear, or a mark, and wait to be told of
            (Ear.passed, Ear.echoed)
        """
        link = self._link

        def go_on(kind: int) -> bool:
            """Hand on the frame of this kind, and what was received behind it."""
            if kind == NO_ROOM:
                kind = ear.receive()
            if kind == AGAIN:
                return False
            if kind == ENDED:
                self._lost()
            if kind == REST:
                kind = ear.next()
            while kind != MORE:
                if kind == TAKEN:
                    hear(CallerAudio(*ear.frame()))
                elif kind == ECHOED:
                    catch_up()
                elif (message := self._of_frame(kind)) is not None:
                    take(message)
                if not link.untaken():
                    break
                kind = ear.next()
            return True

        def step() -> bool:
            return go_on(ear.receive())

        while (message := self._next_message()) is not None:
            take(message)  # what came with the handshake
        await self._pour(step, lambda pouring: pouring.by_ear(ear, hear, catch_up, go_on))

    async def _pour(
        self, step: Callable[[], bool], prepare: Callable[[Pouring], None] = lambda _: None
    ) -> None:
        """Step whenever there is something to be read, until it raises.

        step: reads once and gives away what came; False when there was nothing to be read
        prepare: has a pump do better
        """
        while step():  # what came before
            await trio.lowlevel.checkpoint()
        by = pump.current.get()
        if by is None:
            while True:
                await self._readable()
                while step():
                    pass
        pouring = Pouring(by, self._fd, step)
        prepare(pouring)
        self._poured_by, self._pouring = by, pouring
        try:
            await pouring.wait()
        finally:
            self._pouring = None

    def _raise_gone(self) -> None:
        gone = self._gone or SocketClosed(1006)
        raise SocketClosed(gone.code, gone.reason)

    async def _readable(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:  # by `aclose`, which has said how it is over
            self._raise_gone()

    def _read(self) -> int:
        """Receive once. Raises SocketClosed when there will be no more."""
        if self._gone is not None:
            self._raise_gone()
        came = self._link.receive()
        if came == ENDED:
            self._lost()
        return came

    def _lost(self) -> None:
        self._ended = True
        self._gone = self._gone or SocketClosed(1006)
        self._mind_the_lane()
        self._raise_gone()

    def _next_message(self) -> str | bytes | None:
        """The next whole message of what was received, None if there is none."""
        link = self._link
        if self._gone is not None:
            self._raise_gone()
        while link.untaken():
            kind = link.next()
            if kind == MORE:
                return None
            message = self._of_frame(kind)
            if message is not None:
                return message
        return None

    def _of_frame(self, kind: int) -> str | bytes | None:
        """What the frame that was just taken means: a whole message, or nothing (yet)."""
        link = self._link
        if kind in (TEXT, BINARY):
            payload = link.payload()
            if not link.final or self._parts:
                if payload:
                    self._parts.append(payload)
                if not link.final:
                    self._parts = self._parts or [b""]
                    return None
                payload, self._parts = b"".join(self._parts), []
            return payload.decode() if kind == TEXT else payload
        if kind == PING:
            if link.unsent <= UNSENT_BYTES:  # else a later one is answered: RFC 6455, 5.5.3
                self._put(PONG, link.payload())
            self.flush(self._lagging)
        elif kind == PONG:
            if link.payload() == str(self._pings).encode():
                self._answered.set()
        elif kind == CLOSE:
            code = link.code
            self._gone = SocketClosed(code, link.payload().decode())
            self._say_goodbye(1000 if code == 1005 else code)
            self._raise_gone()
        elif kind == BROKEN:
            self._gone, self._broken = SocketClosed(link.code), True
            self._say_goodbye(link.code)
            self._raise_gone()
        return None

    # ---- out --------------------------------------------------------------------------------

    async def send(self, text: str | bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._gone is not None or self._deaf:
            self._raise_gone()
        self._put_message(text)
        await self.drain()

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._gone is not None or self._deaf:
            self._raise_gone()
        self._pings += 1
        self._answered = trio.Event()
        self._put(PING, str(self._pings).encode())
        self.flush(self._lagging)
        await self._answered.wait()

    def send_nowait(self, text: str | bytes) -> bool:
        if self._gone is not None or self._deaf:
            return True
        if self._stuck or self._link.unsent > UNSENT_BYTES:
            return False
        self._put_message(text)
        return True

    def _put_message(self, text: str | bytes) -> None:
        if isinstance(text, str):
            self._put(TEXT, text.encode())
        else:
            self._put(BINARY, text)

    def append_nowait(self, audio: str) -> bool:
        """`send_nowait` of an input_audio_buffer.append."""
        if self._gone is not None or self._deaf:
            return True
        if self._stuck or self._link.unsent > UNSENT_BYTES:
            return False
        self._link.append(audio.encode())
        return True

    def play_nowait(self, stream_sid: str, mulaw: bytes, mark: str) -> bool:
        """`send_nowait` of media for a phone and the mark behind it. False for odd names, too."""
        if self._gone is not None or self._deaf:
            return True
        if self._stuck or self._link.unsent > UNSENT_BYTES:
            return False
        return self._link.play(stream_sid.encode(), mulaw, mark.encode())

    def lane(self, flush: Callable[[], None]) -> Lane:
        """A way for others to have messages sent in between ours. Closed until it is lent.

        flush: called when what they sent did not go out whole
        """
        return Lane(self._link, flush)

    def lend(self, *, lent: bool) -> None:
        """Open or close the lane. It also closes by itself when the peer lags or is gone."""
        self._lent = lent
        self._mind_the_lane()

    def _mind_the_lane(self) -> None:
        usable = self._gone is None and not self._deaf and not self._stuck
        self._link.takes = self._lent and usable

    def flush(self, lagging: Callable[[], None]) -> None:
        self._lagging = lagging
        by = self._poured_by or pump.current.get()
        if by is None or not by.holding:
            self.send_held()
        elif not self._held:
            self._held = True
            by.held.append(self)

    def send_held(self) -> None:
        """What was taken, and held back while the pump read a socket."""
        self._held = False
        if not self._flush():
            self._lagging()

    def _flush(self) -> bool:
        """Send. False: the kernel does not take it all now. What is deaf sends nothing ever after:
        its fd may be somebody else's by then."""
        left = ENDED if self._deaf else self._link.flush()
        if left == ENDED:
            self._deaf, self._stuck = True, False
        else:
            self._stuck = left > 0
        self._mind_the_lane()
        return not self._stuck

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._flush():
            if self._closing is not None:
                self._raise_gone()  # it is for `aclose` to wait now, and Trio lets but one
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except trio.ClosedResourceError:
                self._raise_gone()
        if self._deaf:
            self._raise_gone()

    def _put(self, opcode: int, payload: bytes) -> None:
        if not self._said_goodbye:
            self._link.put(opcode, payload)

    # ---- the close --------------------------------------------------------------------------

    def _say_goodbye(self, code: int, reason: str = "") -> None:
        """The last frame that is sent, if the kernel takes it at once."""
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore").encode()
        self._put(CLOSE, code.to_bytes(2, "big") + short)
        self._said_goodbye = True
        self._flush()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close: say goodbye, hear the peer's, and the end of TCP if that is the peer's to say."""
        if self._closing is not None:
            with trio.move_on_after(self._close_s):
                await self._closing.wait()
            return
        self._closing = trio.Event()
        was_open, self._gone = self._gone is None, self._gone or SocketClosed(code, reason)
        self._mind_the_lane()
        if self._pouring is not None:
            self._pouring.give_up(outcome.capture(self._raise_gone))
            self._pouring = None
        if self._fd >= 0:
            trio.lowlevel.notify_closing(self._fd)
        try:
            with trio.move_on_after(self._close_s), suppress(trio.ClosedResourceError):
                if not self._said_goodbye:
                    self._say_goodbye(code, reason)
                while not self._flush():
                    await trio.lowlevel.wait_writable(self._fd)
                if not self._deaf and (not was_open or await self._hear_goodbye()):
                    await self._hear_the_end()
        finally:
            self._shut()
            self._closing.set()

    async def _hear_goodbye(self) -> bool:
        """Read until the peer's close frame. False: the connection ended before."""
        link = self._link
        while True:
            while link.untaken() and (kind := link.next()) != MORE:
                if kind in (CLOSE, BROKEN):
                    return True
            if self._ended or (came := self._link.receive()) == ENDED:
                self._ended = True
                return False
            if came == AGAIN:
                await trio.lowlevel.wait_readable(self._fd)

    async def _hear_the_end(self) -> None:
        """A server ends TCP. Yet whoever broke the protocol may still send, and would be reset
        before it has read why."""
        if not self._client:
            self._shut()
            if not self._broken:
                return
        left = LINGER_BYTES
        while not self._ended and left > 0:
            self._link.forget()
            came = self._link.receive()
            if came == AGAIN:
                await trio.lowlevel.wait_readable(self._fd)
            elif came == ENDED:
                self._ended = True
            else:
                left -= came

    def _shut(self) -> None:
        """No more is sent, and the peer learns it."""
        if not self._deaf:
            self._deaf = True
            self._mind_the_lane()
            self._link.shut()
