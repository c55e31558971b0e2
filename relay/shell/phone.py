"""Reads one Media Stream: text to events, caller audio through the codec."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable

from relay.audio import PhoneToModel
from relay.audio.frames import rises
from relay.core import events as on
from relay.errors import AudioError, PhoneProtocolError, SocketClosed
from relay.ports import Socket
from relay.wire import twilio

Feed = Callable[[on.Event], None]

FRAME_MS = 20
# Silence that is put in for lost frames, at most: beyond this the model's clock may slip.
MAX_GAP_MS = 2000
# Nothing below this is a voice, so its zero crossings are not worth the microsecond.
AUDIBLE_DB = -55.0
# A chunk number that is further off than this is a new count, not ten seconds of loss.
MAX_JUMP = 500


async def read_phone(socket: Socket, codec: PhoneToModel, call_sid: str, feed: Feed) -> None:
    """Feed what Twilio sends until its socket closes. A broken message is counted, not fatal."""
    stream_sid: str | None = None
    last_chunk = 0
    while True:
        try:
            text = await socket.receive()
        except SocketClosed as gone:
            feed(on.PhoneClosed(gone.code, gone.reason))
            return
        try:
            event = twilio.parse(text, stream_sid)
            match event:
                case None:
                    pass
                case twilio.Media():
                    last_chunk = _hear(event, last_chunk, codec, feed)
                case on.PhoneStarted() if stream_sid is None:
                    if event.call_sid != call_sid:
                        raise PhoneProtocolError("foreign_call")
                    stream_sid = event.stream_sid
                    feed(event)
                case _:
                    feed(event)
        except (PhoneProtocolError, AudioError) as wrong:
            feed(on.PeerMisbehaved("phone", wrong.kind))


def _hear(media: twilio.Media, last_chunk: int, codec: PhoneToModel, feed: Feed) -> int:
    """Feed one frame, silence before it for each that was lost. Returns the newest chunk."""
    missing = media.chunk - last_chunk - 1
    if -MAX_JUMP <= missing < 0:
        raise PhoneProtocolError("old_chunk")
    if last_chunk and 0 < missing <= MAX_JUMP:
        gap = codec.gap(min(missing * FRAME_MS, MAX_GAP_MS))
        feed(on.CallerAudio(gap.audio, gap.ms, gap.level_db))
    try:
        frame = codec.frame(media.payload)
    except AudioError:
        # A bad frame is silence of equal time, so that the model's clock stays right.
        gap = codec.gap(FRAME_MS)
        feed(on.CallerAudio(gap.audio, gap.ms, gap.level_db))
        feed(on.PeerMisbehaved("phone", "bad_audio"))
        return media.chunk
    # The codec has just found the payload to be good base64.
    up = rises(a2b_base64(media.payload)) if frame.level_db > AUDIBLE_DB else 0
    feed(on.CallerAudio(frame.audio, frame.ms, frame.level_db, up))
    return media.chunk
