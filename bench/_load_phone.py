"""The phone's end of a load run: one Media Stream with a caller who follows a script.

A frame every 20 ms, whatever happens. The caller hears the greeting out, then, again and again,
speaks for SPEECH_MS, is answered, and either hears the answer to its end or, every second time,
interrupts it. What is sent back plays out in real time: marks echo when they are reached, `clear`
echoes all at once, and a play-out buffer that runs dry within an answer is a gap.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from bench._load_model import ANSWER_MS, SILENCE_MS, Heard, Session
from bench._load_wire import Loop, Peer, connect, frame

FRAME_S: Final = 0.02
SPEECH_MS: Final = 600
PAUSE_S: Final = 1.5
INTERRUPT_S: Final = 2.0
PROOF_FRAMES: Final = 7  # of one vowel: what the relay takes as proof of a barge-in
ANSWER_WITHIN_S: Final = 8.0
CLEAR_WITHIN_S: Final = 2.0  # of an interruption's first frame, over an answer with 2 s to go
GAP_S: Final = 0.5  # a longer hole is a pause
QUIET: Final = base64.b64encode(bytes((0xFF, 0xFE, 0x7E, 0x7F)) * 40)
VOICE: Final = base64.b64encode((b"\x90" * 20 + b"\x10" * 20) * 4)  # 200 Hz, loud from its start
BYTES_PER_S: Final = 8000


@dataclass(frozen=True, slots=True)
class Stream:
    """Where to open a call's stream. rung: how long the webhook took, ms; None: there was none."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    call_sid: str
    caller: str
    rung: float | None = None


@dataclass(slots=True)
class Felt:
    """What the phone's end saw: (when, ms) each, but for counts.

    onsets: those of `outbound` that are an answer's first, which no relay has a reason to hold
    """

    greeting: list[tuple[float, float]] = field(default_factory=list)
    outbound: list[tuple[float, float]] = field(default_factory=list)
    onsets: list[tuple[float, float]] = field(default_factory=list)
    clears: list[tuple[float, float]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    messages: int = 0


class Phone:
    """One call.

    session: the model's end of it, once it is there
    begun: the caller's script runs; an answer before that is a greeting
    """

    def __init__(self, loop: Loop, stream: Stream, *, first_s: float) -> None:
        self.heard, self.felt = Heard(), Felt()
        self.session: Session | None = None
        self.begun = False
        self.gone = False
        self.hanging_up = False
        self._loop, self._sid = loop, f"MZ{stream.call_sid[2:]}"
        self._chunk = 0
        self._voice_left = 0
        self._play_until = 0.0
        self._answer, self._answer_bytes, self._cut = 0, 0, 0
        self._answer_at = 0.0
        self._marks: deque[tuple[float, str]] = deque()
        self._turns = 0
        self._deltas_seen = 0
        self._clears = 0
        self._proof_at: float | None = None
        sock, rest = connect(stream.host, stream.port, stream.path, stream.headers)
        self._peer = Peer(loop, sock, self._take, self._ended, client=True, rest=rest)
        self._say('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self._say(
            f'{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC{"5" * 32}",'
            f'"streamSid":"{self._sid}","callSid":"{stream.call_sid}","tracks":["inbound"],'
            '"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
            f'"customParameters":{{"caller":"{stream.caller}","called":"+15125550100"}}}},'
            f'"streamSid":"{self._sid}"}}'
        )
        self._started = time.monotonic()
        self._next = self._started + first_s
        loop.at(self._next, self._frame)

    def _say(self, text: str) -> None:
        self._peer.send(frame(text.encode(), masked=True))

    def _ended(self) -> None:
        self.gone = True
        if not self.hanging_up:
            self.felt.missing.append("a stream to its end")

    def hang_up(self) -> None:
        self.hanging_up = True
        if not self.gone:
            self._say(f'{{"event":"stop","sequenceNumber":"2","streamSid":"{self._sid}"}}')
            self._peer.close()
        if self.session is not None:
            self.session.close()

    @property
    def quiet_at(self) -> float:
        """When everything that was sent will have been heard."""
        return self._play_until

    # ---- the caller's voice -----------------------------------------------------------------

    def _frame(self) -> None:
        if self.gone:
            return
        self._chunk = chunk = self._chunk + 1
        payload = QUIET
        if self._voice_left:
            self._voice_left -= 1
            payload = VOICE
        text = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b"},"streamSid":"%b"}'
            % (chunk + 1, chunk, (chunk - 1) * 20, payload, self._sid.encode())
        )
        at = time.monotonic()
        self.heard.sent.append(at)
        self._peer.send(frame(text, masked=True))
        self._next += FRAME_S
        self._loop.at(self._next, self._frame)
        if payload is VOICE and self._voice_left == SPEECH_MS // 20 - PROOF_FRAMES:
            self._proof_at = at
        if payload is VOICE and not self._voice_left:
            self._loop.at(at + SILENCE_MS / 1000, self._stopped)

    def speak(self) -> None:
        """A turn: to the model it begins with the next frame."""
        if self.gone or self.session is None or self.hanging_up:
            return
        self.session.turn(self._chunk)
        self._turns += 1
        self._voice_left = SPEECH_MS // 20
        self._proof_at = None
        answers = self._answer
        self._loop.at(time.monotonic() + ANSWER_WITHIN_S, lambda: self._look_for(answers))

    def interrupt(self) -> None:
        """Speak over an answer, which is to fall silent."""
        clears = self._clears
        self.speak()
        self._loop.at(time.monotonic() + CLEAR_WITHIN_S, lambda: self._look_for_clear(clears))

    def _look_for_clear(self, clears: int) -> None:
        if self._clears == clears and not self.gone and not self.hanging_up:
            self.felt.missing.append("a clear for an interruption")

    def _stopped(self) -> None:
        if self.session is not None and not self.gone:
            self.session.stop_speaking()

    def _look_for(self, answers: int) -> None:
        if self._answer == answers and not self.gone and not self.hanging_up:
            self.felt.missing.append("an answer")
            self.speak()

    # ---- what is heard ----------------------------------------------------------------------

    def _take(self, text: bytes) -> None:
        self.felt.messages += 1
        now = time.monotonic()
        if b'"payload"' in text:
            self._media(text, now)
        elif b'"mark"' in text:
            name = text[text.index(b'"', text.index(b'"name"') + 6) + 1 :]
            self._mark(name[: name.index(b'"')].decode(), now)
        elif b'"clear"' in text:
            self._clears += 1
            if self._proof_at is not None and self._play_until > now:
                self.felt.clears.append((now, 1000 * (now - self._proof_at)))
            self._play_until = now
            self._cut = self._answer
            for _, mark in self._marks:
                self._echo(mark)
            self._marks.clear()

    def _media(self, text: bytes, now: float) -> None:
        start = text.index(b'"', text.index(b'"payload"') + 9) + 1
        end = text.index(b'"', start)
        size = (end - start) * 3 // 4 - (text[end - 1] == 61) - (text[end - 2] == 61)
        if not self.felt.greeting:
            self.felt.greeting.append((now, 1000 * (now - self._started)))
        self._pair(now, size)
        hole = now - self._play_until
        if 0 < hole < GAP_S and self._answer and self._answer_at < self._play_until:
            self.felt.gaps.append((now, 1000 * hole))
        self._play_until = max(self._play_until, now) + size / BYTES_PER_S

    def _pair(self, now: float, size: int) -> None:
        """The first media that takes an answer beyond a delta's beginning is that delta's."""
        deltas = self.heard.deltas
        while self._deltas_seen < len(deltas) and deltas[self._deltas_seen][1] <= self._cut:
            self._deltas_seen += 1  # nobody will send these any more
        if self._deltas_seen < len(deltas) and deltas[self._deltas_seen][1] != self._answer:
            self._answer, self._answer_bytes = deltas[self._deltas_seen][1], 0
            self._answer_at = now
            if self.begun and self._turns % 2 == 0:
                self._loop.at(now + INTERRUPT_S, self.interrupt)
            elif self.begun:
                self._loop.at(now + ANSWER_MS / 1000 + PAUSE_S, self.speak)
        self._answer_bytes += size
        while self._deltas_seen < len(deltas):
            sent, answer, before_ms = deltas[self._deltas_seen]
            if answer != self._answer or self._answer_bytes <= max(0, before_ms - 5) * 8:
                return
            if before_ms < 1000:  # what comes later waits on purpose
                self.felt.outbound.append((now, 1000 * (now - sent)))
            if before_ms == 0:
                self.felt.onsets.append((now, 1000 * (now - sent)))
            self._deltas_seen += 1

    def _mark(self, name: str, now: float) -> None:
        if self._play_until <= now:
            self._echo(name)
            return
        self._marks.append((self._play_until, name))
        if len(self._marks) == 1:
            self._loop.at(self._play_until, self._reached)

    def _reached(self) -> None:
        now = time.monotonic()
        while self._marks and self._marks[0][0] <= now:
            self._echo(self._marks.popleft()[1])
        if self._marks:
            self._loop.at(self._marks[0][0], self._reached)

    def _echo(self, name: str) -> None:
        self._say(
            f'{{"event":"mark","sequenceNumber":"3","streamSid":"{self._sid}",'
            f'"mark":{{"name":"{name}"}}}}'
        )
