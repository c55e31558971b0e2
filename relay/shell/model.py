"""Runs one Realtime session: dials, reads, converts the agent's audio."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from relay.audio import ModelToPhone, loudest_db
from relay.core import events as on
from relay.errors import AudioError, DialError, ModelProtocolError, SocketClosed
from relay.ports import Socket
from relay.shell.outbox import Outbox
from relay.wire import realtime

Feed = Callable[[on.Event], None]


async def run_model(
    dialling: AbstractAsyncContextManager[Socket], outbox: Outbox, codec: ModelToPhone, feed: Feed
) -> None:
    """Open a session and feed what it says until it closes. A failed dial is a closed model."""
    try:
        async with dialling as socket, trio.open_nursery() as nursery:
            nursery.start_soon(_write, socket, outbox, feed)
            await _read(socket, codec, feed)
            nursery.cancel_scope.cancel()
    except DialError as failed:
        feed(on.ModelClosed(reason=str(failed)))


async def _write(socket: Socket, outbox: Outbox, feed: Feed) -> None:
    if not await outbox.run(socket):
        feed(on.OutboxFull("model"))


async def _read(socket: Socket, codec: ModelToPhone, feed: Feed) -> None:
    item_id = ""
    while True:
        try:
            text = await socket.receive()
        except SocketClosed as gone:
            feed(on.ModelClosed(gone.code, gone.reason))
            return
        try:
            event = realtime.parse(text)
            match event:
                case None:
                    pass
                case realtime.AudioDelta():
                    if event.item_id != item_id:
                        codec.reset()  # the tail of an item that was cut is not this one's head
                        item_id = event.item_id
                    mulaw, _ = codec.delta(event.delta)
                    level_db = loudest_db(mulaw)
                    feed(on.AgentAudio(event.response_id, event.item_id, mulaw, level_db))
                case realtime.AudioDone():
                    if event.item_id == item_id and (tail := codec.flush()):
                        feed(on.AgentAudio(event.response_id, event.item_id, tail, -100.0))
                    feed(on.AgentAudioEnded(event.response_id, event.item_id))
                case _:
                    feed(event)
        except (ModelProtocolError, AudioError) as wrong:
            feed(on.PeerMisbehaved("model", wrong.kind))
