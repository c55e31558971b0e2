"""Twilio's end of one bidirectional Media Stream, over any socket.

Out: `connected`, `start`, then a `media` message of 20 ms every 20 ms, silence included, on a
schedule counted from the stream's start so that it never drifts; `dtmf`; `mark` echoes; `stop`.
In: `media`, `mark`, `clear`, held to Twilio's rules: a message with a field too many or too few, a
foreign streamSid or an unknown event is dropped and noted as 31951, audio beyond ten minutes of
buffer as 31931. Twilio shows each code once a stream; `complaints` keeps every one.

Three tasks: a reader that only updates the play-out book, a writer that is the only sender and
sleeps until the next frame, echo or poke, and one that waits for the caller to hang up.
"""

from __future__ import annotations

import binascii
import json
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import trio

from relay.errors import SocketClosed
from relay.ports import Socket
from relay.sim.line import FRAME, RATE, Line
from relay.sim.twilio_playout import Playout
from relay.sim.ulaw import SILENCE, is_silent

FRAME_S = FRAME / RATE
SEND_TIMEOUT_S = 10.0  # a relay that reads nothing for this long is given up as dead

_SILENT_PAYLOAD = binascii.b2a_base64(SILENCE * FRAME, newline=False).decode()
_SHAPES: Mapping[str, tuple[str, ...]] = {"media": ("payload",), "mark": ("name",), "clear": ()}


T = TypeVar("T")


class PhoneSocket(Socket, Protocol):
    """A socket that can also die without goodbye."""

    def drop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Complaint:
    """What Twilio's debugger would say of the relay: an error code, and what it is about."""

    at: float
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended. by: "phone" (hang-up or new instructions) or "relay"."""

    by: str
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StreamFaults:
    """What the network does to a stream; nothing, by default.

    jitter: extra lateness of each media message in seconds; their order stays
    lose_frame: given a chunk number, whether that media message never arrives
    repeat_frame, hold_frame: whether it comes twice; whether it comes behind the one after it
    lose_mark: given a name, whether that mark is never echoed
    repeat_mark: whether it is echoed twice
    drop_after_s: when the connection dies without goodbye, counted from the stream's start
    noisy: send fields and events that nobody has heard of, and `start` twice
    abrupt: hang up by closing the socket, without a `stop`
    """

    jitter: Callable[[], float] | None = None
    lose_frame: Callable[[int], bool] | None = None
    repeat_frame: Callable[[int], bool] | None = None
    hold_frame: Callable[[int], bool] | None = None
    lose_mark: Callable[[str], bool] | None = None
    repeat_mark: Callable[[str], bool] | None = None
    drop_after_s: float | None = None
    noisy: bool = False
    abrupt: bool = False


NO_FAULTS = StreamFaults()


@dataclass(eq=False)
class StreamLeg:
    """One stream. Make it inside trio, `await run()`, and read what it saw at any time."""

    socket: PhoneSocket
    line: Line
    call_sid: str = field(default_factory=lambda: "CA" + secrets.token_hex(16))
    account_sid: str = "AC" + "0" * 32
    stream_sid: str = field(default_factory=lambda: "MZ" + secrets.token_hex(16))
    parameters: Mapping[str, str] = field(default_factory=dict)
    faults: StreamFaults = NO_FAULTS
    complaints: list[Complaint] = field(default_factory=list)
    started_at: float | None = None
    first_media_at: float | None = None
    ended: StreamEnd | None = None
    playout: Playout = field(init=False)

    def __post_init__(self) -> None:
        self.playout = Playout(self.line.heard)
        self._sequence = 0
        self._held: list[str] = []
        self._finishing = False
        self._poke = trio.lowlevel.ParkingLot()
        # One for all that is sent, whose deadline moves: a scope for each frame costs more.
        self._sending = trio.CancelScope()

    async def run(self) -> StreamEnd:
        """Play the stream to its end. Raises nothing because of the relay."""
        self.started_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            nursery.start_soon(self._read, nursery.cancel_scope)
            nursery.start_soon(self._die_in_time)
            await self.line.hung_up.wait()
            self.finish()
            await trio.sleep_forever()
        self.line.heard.cut(self.line.sample())
        return self.ended or StreamEnd("relay", 1006)

    def finish(self) -> None:
        """End the stream from Twilio's side (hang-up, new instructions): `stop`, then a close."""
        self._finishing = True
        self._poke.unpark_all()

    def drop(self) -> None:
        """Lose the connection without goodbye: 1006 at the relay."""
        self._end("phone", 1006)
        self.socket.drop()

    def played_ms(self, start: int, end: int) -> float:
        """How much of the received bytes [start, end) was heard by now: the truth to measure a
        truncation against. Offsets are those of `playout.marks` and `playout.chunks`."""
        return self.playout.played(start, end, self.line.sample()) / 8

    async def _die_in_time(self) -> None:
        if self.faults.drop_after_s is not None:
            await trio.sleep(self.faults.drop_after_s)
            self.drop()

    # ---- out --------------------------------------------------------------------------------

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            with self._sending:
                await self._talk()
        except SocketClosed as gone:
            self._end("relay", gone.code, gone.reason)
        if self._sending.cancelled_caught:
            self._complain(31924, f"the relay read nothing for {SEND_TIMEOUT_S:.0f} s")
            self.drop()
        scope.cancel()

    async def _talk(self) -> None:
        await self._send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        await self._send(self._start())
        if self.faults.noisy:
            await self._send(self._message("weather", '{"sky":["grey",null]}'))
            await self._send(self._start())
        start = trio.current_time()
        first = self.line.sample(start)
        frame, due = 0, start + FRAME_S
        while not self._finishing:
            now = trio.current_time()
            await self._echo_marks(now)
            if now >= due:
                await self._send_keys()
                await self._send_frame(frame, first + frame * FRAME)
                frame += 1
                late = self.faults.jitter() if self.faults.jitter else 0.0
                due = max(due, start + (frame + 1) * FRAME_S + late)
            await self._wait_until(due)
        if not self.faults.abrupt:
            await self._send(
                self._message("stop", f'{{{self._sids()},"callSid":"{self.call_sid}"}}')
            )
        self._end("phone", 1000)
        await self.socket.aclose(1000)

    async def _wait_until(self, due: float) -> None:
        """Sleep to the next frame or echo; a poke ends the sleep."""
        echo = self.playout.next_echo
        wake = due if echo is None else min(due, self.line.time(echo))
        if wake > trio.current_time() and not self._finishing:
            with trio.CancelScope(deadline=wake):  # move_on_at costs as much again
                await self._poke.park()

    async def _echo_marks(self, now: float) -> None:
        for mark in self.playout.echoes(self.line.sample(now)):
            if _is(self.faults.lose_mark, mark.name):
                continue
            for _ in range(2 if _is(self.faults.repeat_mark, mark.name) else 1):
                await self._send(self._message("mark", f'{{"name":{json.dumps(mark.name)}}}'))

    async def _send_keys(self) -> None:
        while self.line.pressed:
            digit = json.dumps(self.line.pressed.popleft())
            await self._send(self._message("dtmf", f'{{"track":"inbound_track","digit":{digit}}}'))

    async def _send_frame(self, frame: int, position: int) -> None:
        """Send 20 ms of the caller. A lost frame uses up its chunk number and its time."""
        chunk = frame + 1
        if _is(self.faults.lose_frame, chunk):
            return
        audio = self.line.spoken(position, position + FRAME)
        payload = (
            _SILENT_PAYLOAD
            if is_silent(audio)
            else binascii.b2a_base64(audio, newline=False).decode()
        )
        media = self._message(
            "media",
            f'{{"track":"inbound","chunk":"{chunk}","timestamp":"{frame * 20}",'
            f'"payload":"{payload}"}}',
        )
        if _is(self.faults.hold_frame, chunk) and not self._held:
            self._held.append(media)
            return
        for _ in range(2 if _is(self.faults.repeat_frame, chunk) else 1):
            await self._send(media)
        while self._held:
            await self._send(self._held.pop())

    def _start(self) -> str:
        body = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self.parameters),
        }
        return self._message("start", json.dumps(body))

    def _sids(self) -> str:
        return f'"accountSid":"{self.account_sid}"'

    def _message(self, event: str, body: str) -> str:
        """Every message but `connected`: numbered as one series, numbers written as strings."""
        self._sequence += 1
        new = '"new":{"of":[2027]},' if self.faults.noisy else ""
        return (
            f'{{"event":"{event}",{new}"sequenceNumber":"{self._sequence}",'
            f'"{event}":{body},"streamSid":"{self.stream_sid}"}}'
        )

    async def _send(self, text: str) -> None:
        self._sending.deadline = trio.current_time() + SEND_TIMEOUT_S
        await self.socket.send(text)
        self._sending.deadline = math.inf

    # ---- in ---------------------------------------------------------------------------------

    async def _read(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                self._take(await self.socket.receive())
        except SocketClosed as gone:
            self._end("relay", gone.code, gone.reason)
        if not self._finishing:  # then the writer is in its goodbye
            scope.cancel()

    def _take(self, raw: str | bytes) -> None:
        now = self.line.sample()
        try:
            event, body = _check(raw, self.stream_sid)
        except ValueError as fault:
            self._complain(31951, str(fault))
            return
        if event == "media":
            if self.first_media_at is None:
                self.first_media_at = trio.current_time()
            lost = self.playout.media(binascii.a2b_base64(body), now)
            if lost:
                self._complain(31931, f"{lost} bytes beyond ten minutes of buffer")
        elif event == "mark":
            self.playout.mark(body, now)
            self._poke.unpark_all()
        else:
            self.playout.clear(now)
            self._poke.unpark_all()

    def _complain(self, code: int, text: str) -> None:
        self.complaints.append(Complaint(trio.current_time(), code, text))

    def _end(self, by: str, code: int, reason: str = "") -> None:
        if self.ended is None:
            self.ended = StreamEnd(by, code, reason)


def _is(chance: Callable[[T], bool] | None, of: T) -> bool:
    return chance is not None and chance(of)


def _check(raw: str | bytes, stream_sid: str) -> tuple[str, str]:
    """Hold one message to Twilio's rules. Returns (event, its payload or name or ""); raises
    ValueError saying what is wrong with it."""
    if isinstance(raw, bytes):
        raise ValueError("binary message")
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(message, dict):
        raise ValueError("not an object")
    event = message.get("event")
    if not isinstance(event, str) or event not in _SHAPES:
        raise ValueError(f"unknown event {event!r:.40}")
    if message.get("streamSid") != stream_sid:
        raise ValueError(f"{event}: streamSid is missing or of another stream")
    shape = _SHAPES[event]
    _same_keys(event, message, ("event", "streamSid", *([event] if shape else [])))
    if not shape:
        return event, ""
    body = message[event]
    if not isinstance(body, dict):
        raise ValueError(f"{event}: not an object")
    _same_keys(event, body, shape)
    value = body[shape[0]]
    if not isinstance(value, str):
        raise ValueError(f"{event}.{shape[0]}: not a string")
    if event == "media":
        try:
            binascii.a2b_base64(value, strict_mode=True)
        except (binascii.Error, ValueError):
            raise ValueError("media.payload: not base64") from None
    return event, value


def _same_keys(event: str, found: Mapping[str, object], wanted: tuple[str, ...]) -> None:
    if extra := sorted(set(found) - set(wanted)):
        raise ValueError(f"{event}: unknown field {extra[0]!r:.40}")
    if missing := sorted(set(wanted) - set(found)):
        raise ValueError(f"{event}: missing field {missing[0]!r}")
