"""Runs one Realtime session: dials, reads, converts the agent's audio, puts its text together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

import trio

from relay.audio import ModelToPhone, loudest_db
from relay.core import events as on
from relay.errors import AudioError, DialError, ModelProtocolError, SocketClosed
from relay.ports import AnsweringSocket, Socket
from relay.shell.native_socket import NativeSocket
from relay.shell.outbox import Outbox
from relay.shell.sentences import Sentences
from relay.websocket import Mouth
from relay.wire import realtime

Feed = Callable[[on.Event], None]

# A session of which somebody expects to hear, and has not for so long, is asked whether it is
# there, and has this long to answer, in which TCP sends a lost packet again thrice. So a caller
# whom it does not hear waits 3.3 s to be told so. A question wakes us three times, and with one a
# second a call costs a tenth more: where nothing is due it is asked seldom. And at the begin of a
# session, since who has never answered is not judged.
PING_AFTER_S: Final = 0.8
PING_SELDOM_S: Final = 10.0
PONG_S: Final = 2.5
# Who looks so much later than that was away itself, and the answer may lie unread.
AWAY_S: Final = 0.5
NO_PONG: Final = "it answers no ping"


class SignsOfLife:
    """When a session was heard of last, and whether anybody doubts it. Makes a doubt cheap."""

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._watching = trio.lowlevel.ParkingLot()
        self.last_at = self._clock()

    def seen(self) -> None:
        """It has said something, or answered a ping."""
        self.last_at = self._clock()

    def doubt(self, now: float) -> None:
        """Somebody speaks to it, or waits for it: it should have been heard of."""
        if now >= self.last_at + PING_AFTER_S:
            self._watching.unpark()

    async def doubted(self) -> None:
        """Wait for a doubt, or until it was quiet for long."""
        while (until := self.last_at + PING_SELDOM_S) > self._clock():
            with trio.move_on_at(until):
                await self._watching.park()
                return


async def run_model(
    dialling: AbstractAsyncContextManager[Socket],
    outbox: Outbox,
    codec: ModelToPhone,
    feed: Feed,
    signs: SignsOfLife | None = None,
) -> None:
    """Open a session and feed what it says until it closes. A failed dial is a closed model.

    signs: of a session of which somebody may doubt whether it is still there
    """
    signs = signs or SignsOfLife()
    try:
        async with dialling as socket, trio.open_nursery() as nursery:
            nursery.start_soon(_write, socket, outbox, feed)
            reader = _Reader(codec, feed, signs)
            if isinstance(socket, AnsweringSocket):
                nursery.start_soon(_watch, socket, signs, feed, nursery.cancel_scope)
            await _read(socket, reader, feed)
            nursery.cancel_scope.cancel()
    except DialError as failed:
        feed(on.ModelClosed(reason=str(failed)))


async def _write(socket: Socket, outbox: Outbox, feed: Feed) -> None:
    if not await outbox.run(socket):
        feed(on.OutboxFull("model"))


async def _watch(
    socket: AnsweringSocket, signs: SignsOfLife, feed: Feed, session: trio.CancelScope
) -> None:
    """End a session whose peer is not there any more, though its connection is.

    While a caller speaks nothing else tells: the kernel takes a minute of sound for a process that
    does not run, or a network that is gone.
    """
    answered = False
    with suppress(SocketClosed):  # of which the reader tells
        while True:
            asked_at = trio.current_time()
            with trio.move_on_after(PONG_S):
                await socket.ping()
                answered = True
                signs.seen()
            overdue_s = trio.current_time() - asked_at - PONG_S
            if answered and signs.last_at < asked_at and overdue_s < AWAY_S:
                feed(on.ModelClosed(reason=NO_PONG))
                session.cancel()
                return
            await signs.doubted()


async def _read(socket: Socket, reader: _Reader, feed: Feed) -> None:
    try:
        if isinstance(socket, NativeSocket):
            await socket.pour(reader.take, reader.join(socket), reader.speak)
        while True:
            reader.take(await socket.receive())
    except SocketClosed as gone:
        feed(on.ModelClosed(gone.code, gone.reason))


class _Reader:
    """One session: text to events, the agent's audio through the codec.

    With a mouth, most deltas come as sound that is converted already: all but an item's first,
    which says here what is followed.
    """

    def __init__(self, codec: ModelToPhone, feed: Feed, signs: SignsOfLife) -> None:
        self._codec = codec
        self._feed = feed
        self._seen = signs.seen
        self._response_id = self._item_id = ""
        self._mouth: Mouth | None = None
        self._writing: dict[str, Sentences] = {}

    def join(self, socket: NativeSocket) -> Mouth:
        """Have the socket's deltas converted where they are received."""
        self._mouth = socket.mouth(self._codec)
        return self._mouth

    def speak(self, mulaw: bytes, level_db: float) -> None:
        self._seen()
        self._feed(on.AgentAudio(self._response_id, self._item_id, mulaw, level_db))

    def take(self, text: str | bytes) -> None:
        codec, feed = self._codec, self._feed
        self._seen()
        try:
            event = realtime.parse(text)
            match event:
                case None:
                    pass
                case realtime.AudioDelta():
                    if event.item_id != self._item_id:
                        codec.reset()  # the tail of an item that was cut is not this one's head
                    self._follow(event.response_id, event.item_id)
                    mulaw, _ = codec.delta(event.delta)
                    level_db = loudest_db(mulaw)
                    feed(on.AgentAudio(event.response_id, event.item_id, mulaw, level_db))
                case realtime.AudioDone():
                    if event.item_id == self._item_id and (tail := codec.flush()):
                        feed(on.AgentAudio(event.response_id, event.item_id, tail, -100.0))
                    self._rest()
                    feed(on.AgentAudioEnded(event.response_id, event.item_id))
                case realtime.TextDelta(response_id, item, delta):
                    text = self._writing.setdefault(item, Sentences()).add(delta)
                    if text:
                        feed(on.AgentText(response_id, item, text))
                case on.AgentWrote(response_id, _, item):
                    text = self._writing.pop(item).end() if item in self._writing else ""
                    if text:
                        feed(on.AgentText(response_id, item, text))
                    feed(event)
                case on.ModelReady():
                    self._rest()  # it has repeated all settings
                    feed(event)
                case _:
                    feed(event)
        except (ModelProtocolError, AudioError) as wrong:
            feed(on.PeerMisbehaved("model", wrong.kind))

    def _follow(self, response_id: str, item_id: str) -> None:
        if self._mouth is not None and (response_id, item_id) != (self._response_id, self._item_id):
            self._mouth.follow(response_id, item_id)
        self._response_id, self._item_id = response_id, item_id

    def _rest(self) -> None:
        """What comes next is short, for a while."""
        if self._mouth is not None:
            self._mouth.rest()
