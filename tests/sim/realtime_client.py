"""A client of the simulated Realtime API, as small as a test can use."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from relay.errors import SocketClosed
from relay.sim.brains import Brain, Scripted
from relay.sim.pair import MemorySocket, memory_pair
from relay.sim.realtime import Options, Session, serve_session
from relay.sim.voice import tone
from tests.sim.strictness import check_session

Json = dict[str, Any]


class Client:
    """Sends what it is told, keeps what it gets."""

    def __init__(self, socket: MemorySocket, session: Session) -> None:
        self.socket = socket
        self.session = session
        self.got: list[tuple[float, Json]] = []
        self.closed: int | None = None
        self._news = trio.Event()

    async def read(self) -> None:
        try:
            while True:
                event = json.loads(await self.socket.receive())
                self.got.append((trio.current_time(), event))
                self._wake()
        except SocketClosed as gone:
            self.closed = gone.code
            self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    def of(self, kind: str) -> list[Json]:
        return [event for _, event in self.got if event["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for _, event in self.got]

    async def wait(self, kind: str, count: int = 1) -> Json:
        """Wait until `count` events of a kind have come. Returns the last of them."""
        with trio.fail_after(600):
            while len(self.of(kind)) < count:
                assert self.closed is None, f"closed with {self.closed}, waiting for {kind}"
                await self._news.wait()
        return self.of(kind)[count - 1]

    async def wait_closed(self) -> int:
        with trio.fail_after(4000):
            while self.closed is None:
                await self._news.wait()
        return self.closed

    async def configure(self, **session: object) -> Json:
        await self.send("session.update", event_id="cfg", session={"type": "realtime", **session})
        return await self.wait("session.updated")

    async def play(self, pcm: bytes, *, frame: int = 960) -> None:
        """Send 24 kHz audio in real time."""
        for at in range(0, len(pcm), frame):
            await self.append(pcm[at : at + frame])
            await trio.sleep(frame / 48_000)

    async def append(self, data: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())

    async def say(self, ms: int = 600, *, quiet_ms: int = 700, frame: int = 960) -> None:
        """One turn: a tone, and the silence behind it."""
        await self.play(tone(ms) + b"\0" * 48 * quiet_ms, frame=frame)

    async def ask(self, **response: object) -> Json:
        """Create a response and wait for its end."""
        before = len(self.of("response.done"))
        await self.send("response.create", response=response)
        return (await self.wait("response.done", before + 1))["response"]

    def audio(self, item_id: str) -> bytes:
        """All audio of an item."""
        deltas = [e for e in self.of("response.output_audio.delta") if e["item_id"] == item_id]
        return b"".join(base64.b64decode(delta["delta"]) for delta in deltas)

    def error(self) -> Json:
        """The one error that came."""
        (event,) = self.of("error")
        return event["error"]


@asynccontextmanager
async def connected(
    brain: Brain | None = None, options: Options | None = None, *, strict: bool = True
) -> AsyncIterator[Client]:
    """A client in a session. Afterwards every event is checked, unless strict is off."""
    ours, theirs = memory_pair()
    session = Session(options)
    client = Client(ours, session)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read)
        nursery.start_soon(partial(serve_session, theirs, brain or Scripted(), session=session))
        yield client
        nursery.cancel_scope.cancel()
    if strict:
        check_session(session)
