"""The model's end of bench/latency.py, a process of its own: a scripted Realtime simulator.

It answers every turn with a tone, and calls a function before its second answer of a session. Each
session's socket is tapped: what passed, and when, on the machine's monotonic clock. The first line
of stdout says the port; whatever comes to stdin is answered with a line of JSON, all sessions that
ended since. Ends when stdin does. Nothing is printed meanwhile: a full pipe would stop this
process, and look like a slow relay.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import signal
import sys
import time
from array import array
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._latency_wire import Wire, answer
from bench._load_wire import fields_of
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.realtime import Options, serve_session

ANSWER_MS: Final = 2600  # longer than callers listen before they interrupt
THINK_S: Final = 0.1
WORDS: Final = "We are open from nine to five on every day but Sunday."
# Level instead of WebRTC's detector: cheap, and it ends a turn at a frame that can be counted.
OPTIONS: Final = Options(judge="level", transcript_s=(0.05,))

APPEND: Final = '"input_audio_buffer.append"'
DELTA: Final = '"type": "response.output_audio.delta"'
TOO_LATE: Final = '"response_cancel_not_active"'  # a cancel that met the answer's own end
LOUD: Final = 1000  # a sample above this is the tone, and not the filter's ripple before it


@dataclass(slots=True)
class Tap:
    """What one session saw. Times in s; bytes are PCM16 at 24 kHz.

    appends: when, bytes; onsets: where in all bytes appended sound began after silence
    stopped, created: `speech_stopped` sent, `response.create` received
    called: a function call sent
    deltas: when, response, bytes
    """

    caller: str
    appends: list[tuple[float, int]] = field(default_factory=list)
    onsets: list[int] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    created: list[float] = field(default_factory=list)
    called: list[float] = field(default_factory=list)
    deltas: list[tuple[float, int, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _bytes: int = 0
    _loud: bool = False

    def received(self, text: str, at: float) -> None:
        if APPEND in text[:60]:
            start = text.index('"audio":"') + 9
            self._append(text[start : text.index('"', start)], at)
        elif '"response.create"' in text:
            self.created.append(at)

    def sent(self, text: str, at: float) -> None:
        head = text[:120]
        if DELTA in head:
            start = text.index('"delta": "') + 10
            size = decoded_size(text[start : text.index('"', start)])
            self.deltas.append((at, len(self.created), size))
        elif '"response.function_call_arguments.done"' in head:
            self.called.append(at)
        elif '"input_audio_buffer.speech_stopped"' in head:
            self.stopped.append(at)
        elif '"type": "error"' in head and TOO_LATE not in text:
            self.faults.append(text)

    def _append(self, audio: str, at: float) -> None:
        size = decoded_size(audio)
        # Digital silence is nothing but A, so that it costs next to nothing to recognise.
        loud = bool(audio.strip("A="))
        if loud and not self._loud:
            samples = array("h", base64.b64decode(audio))
            first = next((n for n, x in enumerate(samples) if abs(x) > LOUD), None)
            if first is None:
                loud = False  # ripple only: the sound comes with the next one
            else:
                self.onsets.append(self._bytes + 2 * first)
        self._loud = loud
        self._bytes += size
        self.appends.append((at, size))

    def report(self) -> dict[str, Any]:
        names = ("caller", "appends", "onsets", "stopped", "created", "called", "deltas", "faults")
        return {name: getattr(self, name) for name in names}


def decoded_size(text: str) -> int:
    """Bytes that a base64 text stands for."""
    return len(text) * 3 // 4 - text.endswith("=") - text.endswith("==")


@dataclass(frozen=True, slots=True)
class Tapped:
    """A socket that notes what passes."""

    socket: Wire
    tap: Tap

    async def receive(self) -> str | bytes:
        message = await self.socket.receive()
        self.tap.received(str(message), time.monotonic())
        return message

    async def send(self, text: str) -> None:
        self.tap.sent(text, time.monotonic())
        await self.socket.send(text)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.aclose(code, reason)


async def connection(stream: trio.SocketStream, ended: list[Tap]) -> None:
    head, wire = await answer(stream)
    tap = Tap(fields_of(head).get(b"openai-safety-identifier", b"").decode())
    spoken = reply(say(WORDS, ms=ANSWER_MS), think_s=THINK_S)
    asks = reply(call("lookup_hours", day="tuesday"), think_s=THINK_S)
    brain = Scripted(spoken, asks, otherwise=spoken, heard=[WORDS] * 1000)
    try:
        session = await serve_session(Tapped(wire, tap), brain, options=OPTIONS)
    finally:
        wire.drop()
    tap.faults += session.violations
    ended.append(tap)


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    ended: list[Tap] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, partial(connection, ended=ended), listeners)
        print(json.dumps({"port": listeners[0].socket.getsockname()[1]}), flush=True)
        gc.freeze()
        gc.disable()  # it lives for two minutes, and a collection would be taken for the relay's
        async for _ in trio.lowlevel.FdStream(os.dup(0)):
            print(json.dumps([tap.report() for tap in ended]), flush=True)
            ended.clear()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began it, and ends it
    trio.run(main)
