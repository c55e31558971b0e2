"""What each kind of message costs: sockets, shell and core, without waits and without Trio's loop.

    python bench/messages.py            µs of CPU each, and ms of CPU a second of one call
    python bench/messages.py --calls 50

Calls on socket pairs, answered every six seconds as by bench/_load_model.py. The clock is virtual,
the pump is turned by hand, one kind of message at a time, and only its turns are measured: so that
two versions can be compared on a machine that does other things as well. What is left out: waking
the pump, TCP, and the journal's thread. bench/load.py measures the whole.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import socket as sockets
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import structlog
import trio
import trio.testing

from bench._load_model import ANSWER_MS, DELTA_MS, DELTAS, PACE
from bench._load_phone import BYTES_PER_S, QUIET, VOICE
from bench._load_wire import frame
from relay.shell import pump
from relay.shell.kit import CallFacts
from relay.shell.native_socket import NativeSocket
from relay.shell.session import run_call
from relay.websocket import TEXT, Link
from tests.shell.house import open_house

LIMIT: Final = 1 << 20
FRAME_S: Final = 0.02
TURNS: Final = 50  # of the pump, after which it has read all there is
USAGE: Final = {
    "input_token_details": {"text_tokens": 100, "audio_tokens": 60},
    "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
}


def link(sock: sockets.socket, *, client: bool) -> Link:
    sock.setblocking(False)
    return Link(sock.fileno(), client=client, limit=LIMIT)


def native(sock: sockets.socket, *, client: bool) -> NativeSocket:
    ours = link(sock, client=client)
    return NativeSocket(sock.fileno(), ours, client=client)


@dataclass
class Ends:
    """Both far ends of one call. ours: what the relay holds, kept open."""

    number: int
    ours: list[sockets.socket] = field(default_factory=list)
    chunk: int = 0
    dry_at: float = 0.0
    marks: deque[tuple[float, str]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.call_sid, self.stream_sid = f"CA{self.number:032x}", f"MZ{self.number:032x}"
        mine, self.phone = sockets.socketpair()
        self.ours.append(mine)
        self._from_phone = link(self.phone, client=True)
        self.model: sockets.socket | None = None

    def dialled(self) -> NativeSocket:
        mine, self.model = sockets.socketpair()
        self.ours.append(mine)
        self._from_model = link(self.model, client=False)
        return native(mine, client=True)

    def say(self, **fields: Any) -> None:
        self.phone.sendall(frame(json.dumps(fields).encode(), masked=True))

    def media(self, payload: bytes) -> None:
        self.chunk += 1
        text = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b"},"streamSid":"%b"}'
            % (self.chunk + 1, self.chunk, self.chunk * 20, payload, self.stream_sid.encode())
        )
        self.phone.sendall(frame(text, masked=True))

    def tell(self, text: bytes) -> None:
        assert self.model is not None  # noqa: S101 - whoever tells it something has seen it dialled
        self.model.sendall(frame(text, masked=False))

    def listen(self) -> int:
        """Play what came. Returns how many messages of sound there were."""
        came, ear = 0, self._from_phone
        while ear.receive() > 0:
            while ear.untaken() and ear.next() == TEXT:
                message = json.loads(ear.payload())
                if message["event"] == "media":
                    sound = base64.b64decode(message["media"]["payload"])
                    self.dry_at = max(self.dry_at, trio.current_time()) + len(sound) / BYTES_PER_S
                    came += 1
                elif message["event"] == "mark":
                    self.marks.append((self.dry_at, message["mark"]["name"]))
        if self.model is not None:
            while self._from_model.receive() > 0:
                self._from_model.forget()
        return came


class Bench:
    """The calls, and what their messages have cost. counts and cost_ns: by kind of message"""

    def __init__(self, pumping: pump.Pump, clock: trio.testing.MockClock, calls: list[Ends]):
        self._pump, self._clock, self.calls = pumping, clock, calls
        self.counts: Counter[str] = Counter()
        self.cost_ns: Counter[str] = Counter()

    def turn(self, kind: str, count: int) -> None:
        """Have read what was said; what comes of it is played."""
        began = time.thread_time_ns()
        for _ in range(TURNS):
            if not self._pump._look():
                break
        self.cost_ns[kind] += time.thread_time_ns() - began
        sounds = sum(each.listen() for each in self.calls)
        self.counts[kind] += sounds if kind == "release" else count

    async def settle(self) -> None:
        """Outside of what is measured: tasks begin, rows are written."""
        for _ in range(3):
            self._pump._look()
            await trio.testing.wait_all_tasks_blocked()

    async def frames(self, seconds: float, payload: bytes = QUIET) -> None:
        """Time passes: alarms ring, marks echo, and everybody is heard every 20 ms."""
        for _ in range(round(seconds / FRAME_S)):
            self._clock.jump(FRAME_S)
            self.turn("release", 0)
            await trio.testing.wait_all_tasks_blocked()
            echoes = 0
            for each in self.calls:
                while each.marks and each.marks[0][0] <= trio.current_time():
                    name = each.marks.popleft()[1]
                    each.say(event="mark", streamSid=each.stream_sid, mark={"name": name})
                    echoes += 1
            self.turn("mark's echo", echoes)
            for each in self.calls:
                each.media(payload)
            self.turn("caller's frame", len(self.calls))

    def told(self, kind: str, event: str, **fields: Any) -> None:
        """Every model says this."""
        text = json.dumps({"type": event, "event_id": "event_1", **fields}, separators=(",", ":"))
        for each in self.calls:
            each.tell(text.encode())
        self.turn(kind, len(self.calls))

    async def open(self) -> None:
        for each in self.calls:
            start = {"streamSid": each.stream_sid, "callSid": each.call_sid}
            each.say(event="start", streamSid=each.stream_sid, start=start)
        await self.settle()
        for event in ("session.created", "session.updated"):
            self.told("", event, session={"id": "sess_1"})
            await self.settle()
        await self.frames(14.0)

    async def answer(self, n: int) -> None:
        """A question and its answer, heard to the end."""
        question, of = {"item_id": f"item_q{n}"}, {"response_id": f"resp_{n}"}
        part = {**of, "item_id": f"item_a{n}", "output_index": 0, "content_index": 0}
        turn = partial(self.told, "caller's turn")
        await self.frames(0.1, VOICE)
        turn("input_audio_buffer.speech_started", audio_start_ms=100, **question)
        await self.frames(0.5, VOICE)
        await self.frames(0.5)
        turn("input_audio_buffer.speech_stopped", audio_end_ms=700, **question)
        turn("input_audio_buffer.committed", previous_item_id=None, **question)
        turn(
            "conversation.item.input_audio_transcription.completed",
            transcript="When are you open?",
            **question,
        )
        response = partial(self.told, "response's events")
        response("response.created", response={"id": f"resp_{n}"})
        await self.frames(0.1)
        for _ in range(ANSWER_MS // DELTA_MS):
            delta = DELTAS["pcm"].decode()
            self.told("delta of 200 ms", "response.output_audio.delta", **part, delta=delta)
            await self.frames(DELTA_MS / 1000 / PACE)
        response("response.output_audio.done", **part)
        response("response.output_audio_transcript.done", transcript="Nine to five.", **part)
        response(
            "response.done", response={"id": f"resp_{n}", "status": "completed", "usage": USAGE}
        )
        await self.frames(ANSWER_MS / 1000 * (1 - 1 / PACE) + 1.0)


async def main(number: int, answers: int, clock: trio.testing.MockClock) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    calls = [Ends(n) for n in range(number)]
    by_sid = {each.call_sid: each for each in calls}
    pumping = pump.Pump()
    pump.current.set(pumping)

    @asynccontextmanager
    async def dial(facts: CallFacts) -> AsyncIterator[NativeSocket]:
        yield by_sid[facts.call_sid].dialled()

    def choose(_disposition: str) -> None:
        pass

    async with open_house(crashes=None) as house:
        kit = replace(house.kit, dial=dial, recorder=None)
        for each in calls:
            phone = native(each.ours[0], client=False)
            run = partial(run_call, phone, call_sid=each.call_sid, kit=kit, choose=choose)
            house.nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        bench = Bench(pumping, clock, calls)
        await bench.open()
        bench.counts.clear()
        bench.cost_ns.clear()
        began = trio.current_time()
        for n in range(answers):
            await bench.answer(n)
        show(bench, (trio.current_time() - began) * number)
        for each in calls:
            each.say(event="stop", streamSid=each.stream_sid)
            each.phone.close()
        await bench.settle()
        house.nursery.cancel_scope.cancel()


def show(bench: Bench, call_s: float) -> None:
    print(f"{'':20} {'a second':>9} {'µs':>7} {'ms a call-second':>17}")
    for kind, cost_ns in bench.cost_ns.most_common():
        count = bench.counts[kind]
        each_us = cost_ns / count / 1000 if count else 0.0
        print(f"{kind:20} {count / call_s:9.2f} {each_us:7.1f} {cost_ns / call_s / 1e6:17.3f}")
    print(f"{'all':38} {sum(bench.cost_ns.values()) / call_s / 1e6:17.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What each kind of message costs.")
    parser.add_argument("--calls", type=int, default=20, help="at once (20)")
    parser.add_argument("--answers", type=int, default=4, help="that each call hears (4)")
    given = parser.parse_args()
    virtual = trio.testing.MockClock()
    trio.run(main, given.calls, given.answers, virtual, clock=virtual)
