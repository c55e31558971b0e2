"""The model's end of a load run: as little of a Realtime server as a relay needs to be busy.

It says `session.created` and `session.updated`, takes appended audio and counts it, announces the
caller's turns, and answers each with ANSWER_MS of sound, told four times as fast as it is spoken,
in deltas of 200 ms. It hears nothing: that a turn has begun and ended it knows from the caller's
script, and looks at the sound only to find where a turn's first loud sample stands, so that frames
are counted by what they hold. A relay that creates responses by itself is waited for; for one that
leaves that to the server (`create_response`), the response is made here.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bench._load_tls import TlsSocket
from bench._load_wire import Loop, Peer, accept, frame

ANSWER_MS: Final = 4000
DELTA_MS: Final = 200
PACE: Final = 4.0
VAD_MS, SILENCE_MS, THINK_S = 100, 500, 0.1
LOUD: Final = 1000
FILTER_MS: Final = 5  # what a good resampler holds back; see docs/benchmarks.md
FRAME_MS: Final = 20
BYTES_PER_MS: Final = {"pcm": 48, "pcmu": 8}
TONES: Final = {
    "pcm": array("h", ([3000] * 60 + [-3000] * 60) * (24 * DELTA_MS // 120)).tobytes(),
    "pcmu": (b"\xa4" * 20 + b"\x24" * 20) * (8 * DELTA_MS // 40),
}


@dataclass(slots=True)
class Heard:
    """What the model's end saw of one call, on the run's clock.

    sent: the caller's frames as the phone sends them; loud: number of the turn's first loud frame
    inbound: (when, ms) of each frame that came; deltas: (when, answer, ms of it before this delta)
    """

    sent: array[float] = field(default_factory=lambda: array("d"))
    inbound: list[tuple[float, float]] = field(default_factory=list)
    deltas: list[tuple[float, int, int]] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)

    def behind(self) -> int:
        """How many frames have not come, which are in no figure."""
        return len(self.sent) - len(self.inbound)


class Session:
    """One session: its call's `Heard`, and what it is told by the phone's script."""

    def __init__(self, loop: Loop, sock: socket.socket | TlsSocket, heard: Heard) -> None:
        self.heard = heard
        self.faults: list[str] = []
        self.ready = False
        self.loop = loop
        self._format, self._server_turns = "pcm", True
        self._bytes = 0
        self._next = 0  # the frame that is waited for
        self._shift_ms = 0.0  # what the relay dropped (-) or added before this, by the last probe
        self._loud_frame: int | None = None  # of a turn whose first loud sample is looked for
        self._answers = 0
        self._active = ""
        self._turn = 0
        _, rest = accept(sock)
        self._peer = Peer(loop, sock, self._take, self._gone, client=False, rest=rest)
        self.gone = False
        self._say("session.created", session={"id": "sess_load", "type": "realtime"})

    def close(self) -> None:
        self._peer.close()

    def _gone(self) -> None:
        self.gone = True

    def _say(self, kind: str, **fields: Any) -> None:
        text = json.dumps({"type": kind, "event_id": "event_load", **fields})
        self._peer.send(frame(text.encode(), masked=False))

    # ---- what comes in ----------------------------------------------------------------------

    def _take(self, text: bytes) -> None:
        if b'"input_audio_buffer.append"' in text:
            key = text.index(b'"audio"')
            start = text.index(b'"', key + 7) + 1
            self._append(text, start, text.index(b'"', start))
            return
        event = json.loads(text)
        match event["type"]:
            case "session.update":
                self._configure(event["session"])
            case "response.create":
                self.heard.turns.append(time.monotonic())
                self._answer_soon()
            case "response.cancel":
                self._finish("cancelled")

    def _configure(self, session: dict[str, Any]) -> None:
        text = json.dumps(session)
        self._format = "pcmu" if "pcmu" in text or "g711_ulaw" in text else "pcm"
        self._server_turns = '"create_response": false' not in text
        self.ready = True
        self._say("session.updated", session=session)

    def _append(self, text: bytes, start: int, end: int) -> None:
        now = time.monotonic()
        padding = (text[end - 1] == 61) + (text[end - 2] == 61)
        per_ms = BYTES_PER_MS[self._format]
        before = self._bytes
        self._bytes = reached = before + (end - start) * 3 // 4 - padding
        if self._loud_frame is not None:
            self._probe(text[start:end], before)
        sent, inbound = self.heard.sent, self.heard.inbound
        ready = reached / per_ms + FILTER_MS - self._shift_ms
        n = self._next
        while (n + 1) * FRAME_MS <= ready and n < len(sent):
            inbound.append((now, 1000 * (now - sent[n])))
            n += 1
        self._next = n

    def turn(self, loud_frame: int) -> None:
        """The caller begins to speak with this frame: look for it, then say so."""
        self._loud_frame = loud_frame

    def _probe(self, audio: bytes, before: int) -> None:
        raw = base64.b64decode(audio)
        if self._format == "pcm":
            samples = array("h", raw[: len(raw) // 2 * 2])
            at = next((2 * n for n, x in enumerate(samples) if abs(x) > LOUD), None)
        else:
            at = next((n for n, code in enumerate(raw) if code & 0x7F < 0x60), None)
        if at is None:
            return
        frame_no, self._loud_frame = self._loud_frame or 0, None
        found_ms = (before + at) / BYTES_PER_MS[self._format]
        shift = found_ms - frame_no * FRAME_MS
        off = shift - self._shift_ms
        self.heard.probes.append(off)
        if self._turn and abs(off) > FRAME_MS / 2:  # before a first turn a session may be late
            self.faults.append("sound was lost or doubled on its way to the model")
        # A shift of the filter alone is delay, and stays in the figures.
        self._shift_ms = shift if abs(shift) > FRAME_MS / 2 else 0.0
        self._turn += 1
        self.loop.at(time.monotonic() + VAD_MS / 1000, self._speech_started)

    # ---- what goes out ----------------------------------------------------------------------

    def _speech_started(self) -> None:
        item, at = f"item_caller_{self._turn}", int(self._bytes / BYTES_PER_MS[self._format])
        self._say("input_audio_buffer.speech_started", item_id=item, audio_start_ms=at)
        if self._server_turns and self._active:
            self._finish("cancelled")

    def stop_speaking(self) -> None:
        """The caller has been silent for long enough: the turn is an item."""
        item, at = f"item_caller_{self._turn}", int(self._bytes / BYTES_PER_MS[self._format])
        self.heard.stopped.append(time.monotonic())
        self._say("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=at)
        self._say("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        self._say(
            "conversation.item.input_audio_transcription.completed",
            item_id=item,
            content_index=0,
            transcript="When are you open?",
        )
        if self._server_turns:
            self._answer_soon()

    def _answer_soon(self) -> None:
        if self._active:
            self.faults.append("a response was asked for during a response")
            return
        self._answers += 1
        self._active = f"resp_{self._answers}"
        self._say("response.created", response={"id": self._active, "status": "in_progress"})
        self.loop.at(time.monotonic() + THINK_S, self._delta_of(self._active, 0))

    def _delta_of(self, response: str, done_ms: int) -> Callable[[], None]:
        return lambda: self._delta(response, done_ms)

    def _delta(self, response: str, done_ms: int) -> None:
        if response != self._active or self.gone:
            return
        if done_ms >= ANSWER_MS:
            self._finish("completed")
            return
        self.heard.deltas.append((time.monotonic(), self._answers, done_ms))
        head = (
            '{"type":"response.output_audio.delta","event_id":"event_load",'
            f'"response_id":"{response}","item_id":"item_{response}",'
            '"output_index":0,"content_index":0,"delta":"'
        )
        self._peer.send(frame(head.encode() + DELTAS[self._format] + b'"}', masked=False))
        soon = time.monotonic() + DELTA_MS / 1000 / PACE
        self.loop.at(soon, self._delta_of(response, done_ms + DELTA_MS))

    def _finish(self, status: str) -> None:
        response, self._active = self._active, ""
        if not response:
            return
        of = {"response_id": response, "item_id": f"item_{response}", "output_index": 0}
        part = {**of, "content_index": 0}
        if status == "completed":
            self._say("response.output_audio.done", **part)
            words = "We are open from nine to five."
            self._say("response.output_audio_transcript.done", transcript=words, **part)
        whole = "completed" if status == "completed" else "incomplete"
        item = {"id": of["item_id"], "type": "message", "role": "assistant", "status": whole}
        self._say("response.output_item.done", item=item, response_id=response, output_index=0)
        usage = {
            "input_token_details": {"text_tokens": 100, "audio_tokens": 60},
            "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
        }
        self._say("response.done", response={"id": response, "status": status, "usage": usage})


DELTAS: Final = {name: base64.b64encode(tone) for name, tone in TONES.items()}
