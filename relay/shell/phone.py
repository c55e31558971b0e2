"""Reads one Media Stream: text to events, caller audio through the codec."""

from __future__ import annotations

from typing import Protocol

from relay.audio import PhoneToModel
from relay.core import events as on
from relay.errors import AudioError, PhoneProtocolError, SocketClosed
from relay.ports import Socket
from relay.shell.native_socket import NativeSocket
from relay.websocket import Ear, Lane
from relay.wire import twilio


class Step(Protocol):
    """A call that takes its steps.

    hear: `feed` for sound of the caller, and cheaper
    catch_up: asks the way what has passed
    """

    def feed(self, event: on.Event) -> None: ...

    def hear(self, sound: on.CallerAudio | on.CallerPassed) -> None: ...

    def catch_up(self) -> None: ...


FRAME_MS = 20
# Silence that is put in for lost frames, at most: beyond this the model's clock may slip.
MAX_GAP_MS = 2000
# Nothing below this is a voice, so that its zero crossings tell nothing.
AUDIBLE_DB = -55.0
# A chunk number that is further off than this is a new count, not ten seconds of loss.
MAX_JUMP = 500


class Way:
    """By which a caller's frames go on to the model where they are received, if a lane is given.

    The call is told of them when some have gathered, or one matters, and before all else. The last
    mark that came back is told with them, or at once if it is awaited: it proves what was before.
    """

    def __init__(self) -> None:
        self._ear: Ear | None = None
        self._lane: Lane | None = None
        self._alert_db = float("inf")
        self._awaited = ""

    def begin(self, ear: Ear) -> None:
        self._ear = ear
        ear.lead_to(self._lane)
        ear.alert(self._alert_db)
        ear.await_mark(self._awaited)

    def lead(self, lane: Lane | None, *, alert_db: float, awaited: str) -> None:
        """Cheap when nothing changes.

        alert_db: what is louder matters at once
        awaited: the mark that does
        """
        if lane is self._lane and alert_db == self._alert_db and awaited == self._awaited:
            return
        self._lane, self._alert_db, self._awaited = lane, alert_db, awaited
        if self._ear is not None:
            self.begin(self._ear)

    def passed(self) -> on.CallerPassed | None:
        """What has gone on since the last call, if anything."""
        if self._ear is None or (passed := self._ear.passed()) is None:
            return None
        return on.CallerPassed(*passed)

    def echoed(self) -> on.MarkEchoed | None:
        """The last mark that has come back since the last call, if any."""
        if self._ear is None or (echoed := self._ear.echoed()) is None:
            return None
        return on.MarkEchoed(*echoed)


async def read_phone(
    socket: Socket, codec: PhoneToModel, call_sid: str, call: Step, way: Way
) -> None:
    """Feed what Twilio sends until its socket closes. A broken message is counted, not fatal."""
    reader = _Reader(codec, call_sid, call)
    try:
        if isinstance(socket, NativeSocket):
            ear = reader.join(socket)
            way.begin(ear)
            await socket.pour_media(ear, reader.take, call.hear, call.catch_up)
        else:
            while True:
                reader.take(await socket.receive())
    except SocketClosed as gone:
        call.feed(on.PhoneClosed(gone.code, gone.reason))


class _Reader:
    """One stream: text to events. With an ear, most frames come as sound that is converted already.

    What the ear leaves is read here, by the same codec, so that both must agree on the last chunk.
    """

    def __init__(self, codec: PhoneToModel, call_sid: str, call: Step) -> None:
        self._codec = codec
        self._call_sid = call_sid
        self._feed, self._hear = call.feed, call.hear
        self._stream_sid: str | None = None
        self._last_chunk = 0
        self._ear: Ear | None = None

    def join(self, socket: NativeSocket) -> Ear:
        """Have the socket's frames converted where they are received."""
        self._ear = socket.ear(self._codec)
        return self._ear

    def take(self, text: str | bytes) -> None:
        try:
            event = twilio.parse(text, self._stream_sid)
            match event:
                case None:
                    pass
                case twilio.Media():
                    self._hear_text(event)
                case on.PhoneStarted() if self._stream_sid is None:
                    self._start(event)
                case _:
                    self._feed(event)
        except (PhoneProtocolError, AudioError) as wrong:
            self._feed(on.PeerMisbehaved("phone", wrong.kind))

    def _start(self, event: on.PhoneStarted) -> None:
        if event.call_sid != self._call_sid:
            raise PhoneProtocolError("foreign_call")
        self._stream_sid = event.stream_sid
        if self._ear is not None:
            self._ear.stream_started(event.stream_sid)
        self._feed(event)

    def _hear_text(self, media: twilio.Media) -> None:
        """Feed one frame, silence before it for each that was lost."""
        codec, hear = self._codec, self._hear
        last_chunk = self._last_chunk if self._ear is None else self._ear.chunk
        missing = media.chunk - last_chunk - 1
        if -MAX_JUMP <= missing < 0:
            raise PhoneProtocolError("old_chunk")
        self._last_chunk = media.chunk
        if self._ear is not None:
            self._ear.chunk = media.chunk
        if last_chunk and 0 < missing <= MAX_JUMP:
            gap = codec.gap(min(missing * FRAME_MS, MAX_GAP_MS))
            hear(on.CallerAudio(gap.audio, gap.ms, gap.level_db))
        try:
            frame = codec.frame(media.payload)
        except AudioError:
            # A bad frame is silence of equal time, so that the model's clock stays right.
            gap = codec.gap(FRAME_MS)
            hear(on.CallerAudio(gap.audio, gap.ms, gap.level_db))
            self._feed(on.PeerMisbehaved("phone", "bad_audio"))
            return
        up = frame.rises if frame.level_db > AUDIBLE_DB else 0
        hear(on.CallerAudio(frame.audio, frame.ms, frame.level_db, up))
