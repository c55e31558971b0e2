"""The caller's side of a session: the input buffer, turns in it, and their transcripts.

Audio is kept at 8 kHz, which is all that a telephone line has. A turn becomes an item at its
commit; its transcript comes when it comes, and never holds anything up.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import numpy as np
import trio

from relay.sim.brains import Brain, Turn
from relay.sim.realtime_config import BYTES_PER_MS, Fault, Json, text_tokens, vad_settings
from relay.sim.realtime_items import Item
from relay.sim.realtime_session import Response, Session
from relay.sim.vad import VAD_HZ, Started, Stopped, TurnDetector
from relay.sim.voice import from_mulaw

HEAR_S = 10.0  # a brain that takes longer has not heard
_BYTES_PER_MS = VAD_HZ * 2 // 1000
_KEEP_MS = 5000  # of silence before a turn: more than any prefix padding
_LEAST_MS = 100  # of audio for a commit by hand
_MOST_BYTES = 15 * 1024 * 1024  # of audio in one append


class Input:
    """The input buffer. `want_response` is called when a turn calls for an answer by itself."""

    def __init__(
        self,
        session: Session,
        brain: Brain,
        nursery: trio.Nursery,
        *,
        want_response: Callable[[], None],
        interrupt: Callable[[Response], None],
    ) -> None:
        self._session = session
        self._brain = brain
        self._nursery = nursery
        self._want_response = want_response
        self._interrupt = interrupt
        self._pcm = bytearray()  # of the buffer, from _base_ms on
        self._base_ms = 0
        self._carry = b""
        self._item_id = ""  # of the turn that is under way
        self._commits = 0
        self._turns: TurnDetector | None = None
        self.reconfigure()

    @property
    def _end_ms(self) -> int:
        return self._base_ms + len(self._pcm) // _BYTES_PER_MS

    def reconfigure(self) -> None:
        """Take over how turns are detected from the session's configuration."""
        settings = vad_settings(self._session.config)
        if settings is None:
            self._turns = None
        elif self._turns is None or self._turns.settings != settings:
            judge = self._session.options.judge
            self._turns = TurnDetector(settings, judge=judge, at_ms=self._end_ms)

    # ---- the client's three events ------------------------------------------------------------

    def append(self, audio: object) -> Fault | None:
        """Hear more of the caller: base64 in the session's input format."""
        try:
            data = base64.b64decode(audio, validate=True) if isinstance(audio, str) else None
        except (binascii.Error, ValueError):
            data = None
        if data is None:
            return Fault("invalid_value", "Invalid 'audio'. Expected base64.", "audio")
        if len(data) > _MOST_BYTES:
            return Fault("invalid_value", "Invalid 'audio': more than 15 MiB.", "audio")
        kind: str = self._session.config["audio"]["input"]["format"]["type"]
        self._session.appended_ms += len(data) / BYTES_PER_MS[kind]
        pcm = from_mulaw(data) if kind == "audio/pcmu" else self._thirds(data)
        self._pcm += pcm
        for heard in self._turns.feed(pcm) if self._turns else ():
            match heard:
                case Started(start_ms):
                    self._speech_started(start_ms)
                case Stopped(start_ms, end_ms):
                    self._speech_stopped(start_ms, end_ms)
        self._trim()
        return None

    def commit(self) -> Fault | None:
        """Make a turn of all that is in the buffer, by hand."""
        if self._end_ms - self._base_ms < _LEAST_MS:
            message = f"Error committing input audio buffer: expected {_LEAST_MS}ms of audio."
            return Fault("input_audio_buffer_commit_empty", message)
        under_way = self._item_id
        self._commit(under_way or self._session.new_id("item"), self._base_ms, self._end_ms)
        if under_way:  # the turn goes on, as another item
            self._item_id = self._session.new_id("item")
        return None

    def clear(self) -> None:
        self._drop_until(self._end_ms)
        self._session.emit("input_audio_buffer.cleared")

    # ---- turns ------------------------------------------------------------------------------

    def _thirds(self, data: bytes) -> bytes:
        """24 kHz as 8 kHz: three samples become their mean, which is filter enough for an ear."""
        data = self._carry + data
        whole = len(data) // 6 * 6
        self._carry = data[whole:]
        if not data.strip(b"\0"):
            return bytes(whole // 3)  # most of what is heard, and of a simulator's time
        fine = np.frombuffer(data[:whole], "<i2").astype(np.int32)
        return bytes(((fine[::3] + fine[1::3] + fine[2::3]) // 3).astype("<i2").tobytes())

    def _speech_started(self, start_ms: int) -> None:
        session = self._session
        self._item_id = session.new_id("item")
        session.emit(
            "input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._item_id
        )
        if self._turn_setting("interrupt_response") and session.active:
            self._interrupt(session.active)

    def _speech_stopped(self, start_ms: int, end_ms: int) -> None:
        self._session.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=self._item_id
        )
        self._commit(self._item_id, start_ms, end_ms)
        if self._turn_setting("create_response"):
            self._want_response()

    def _turn_setting(self, name: str) -> bool:
        turns = self._session.config["audio"]["input"]["turn_detection"]
        return bool(turns and turns[name])

    def _commit(self, item_id: str, start_ms: int, end_ms: int) -> None:
        session = self._session
        start_ms = max(start_ms, self._base_ms)
        start = (start_ms - self._base_ms) * _BYTES_PER_MS
        pcm = bytes(self._pcm[start : (end_ms - self._base_ms) * _BYTES_PER_MS])
        self._drop_until(end_ms)
        item = Item(id=item_id, role="user", spoken=True)
        item.grow(end_ms - start_ms)
        previous = session.add(item)
        session.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        session.announce(item, "added", "done")
        self._item_id = ""
        delays = session.options.transcript_s
        delay_s = delays[self._commits % len(delays)]
        self._commits += 1
        self._nursery.start_soon(self._understand, item, pcm, delay_s)

    def _drop_until(self, end_ms: int) -> None:
        del self._pcm[: (end_ms - self._base_ms) * _BYTES_PER_MS]
        self._base_ms = end_ms

    def _trim(self) -> None:
        """Forget old silence; with turns detected by hand everything may still be wanted."""
        if self._turns and not self._item_id and self._end_ms - self._base_ms > 2 * _KEEP_MS:
            self._drop_until(self._end_ms - _KEEP_MS)

    # ---- transcripts ------------------------------------------------------------------------

    async def _understand(self, item: Item, pcm: bytes, delay_s: float) -> None:
        text: str | None = None
        started = trio.current_time()
        with trio.move_on_after(HEAR_S):
            text = await self._brain.hear(Turn(item.id, pcm, item.audio_ms))
        item.text = item.said = text or ""
        item.heard.set()
        if self._session.config["audio"]["input"]["transcription"] is None:
            return
        await trio.sleep_until(started + delay_s)
        if text is None:
            self._tell(item, "failed", error=_UNINTELLIGIBLE)
            return
        for word in text.split():
            self._tell(item, "delta", delta=f"{word} ", logprobs=None)
        bill = {"usage": _usage(item)} if self._session.options.bills else {}
        self._tell(item, "completed", transcript=text, **bill, logprobs=None)

    def _tell(self, item: Item, event: str, **fields: object) -> None:
        kind = f"conversation.item.input_audio_transcription.{event}"
        self._session.emit(kind, item_id=item.id, content_index=0, **fields)


_UNINTELLIGIBLE = {
    "type": "transcription_error",
    "code": "audio_unintelligible",
    "message": "The audio could not be transcribed.",
    "param": None,
}


def _usage(item: Item) -> Json:
    heard, words = -(-item.generated_ms // 100), text_tokens(item.said)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": words,
        "total_tokens": heard + words,
    }
