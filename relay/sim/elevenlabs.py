"""ElevenLabs' text to speech over a WebSocket with contexts, simulated: mu-law and letters' times.

    provider = Provider(Options(first_s=0.2))
    nursery.start_soon(provider.serve, socket, "/v1/text-to-speech/rachel/multi-stream-input?…")

It spells the API by the `elevenlabs` package's types, and by what is told of the service: a
context opens with a blank; flushed text is spoken, in pieces that come faster than speech; a closed
context says what it still has, then `isFinal`; errors are a message and then a close. Every message
of a client's that those types do not know, or that the service would refuse, is a violation.

Speech is a tone of a fixed length for each letter, so that what is heard can be told by the ear of
a test, or what `speak` makes of a text. `listen` puts all this behind a real port.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import trio

from relay.errors import Misuse, SocketClosed
from relay.ports import Socket
from relay.sim.realtime_listen import GONE, ServedSocket, upgrade
from relay.sim.realtime_session import Droppable
from relay.sim.ulaw import tone

Json: TypeAlias = dict[str, Any]
Piece: TypeAlias = tuple[bytes, Json | None]

BYTES_PER_MS = 8
MS_PER_LETTER = 60
CONTEXTS = 5
REFUSED = 1008
_FIELDS = frozenset(
    {"text", "context_id", "flush", "close_context", "close_socket", "voice_settings"}
)
_QUERY = frozenset(
    {"model_id", "output_format", "inactivity_timeout", "sync_alignment", "auto_mode"}
)

#: What the service says when it says no: error, message.
QUOTA = ("quota_exceeded", "This request exceeds your quota of 10000 credits.")
NO_VOICE = ("voice_id_does_not_exist", "A voice with that voice_id does not exist.")
BAD_KEY = ("invalid_api_key", "Invalid API key")
TOO_MANY = ("max_active_conversations", "Maximum simultaneous contexts exceeded (5).")


def hum(text: str) -> bytes:
    """A tone as long as its text would take to say."""
    return tone(700, MS_PER_LETTER * len(text))


@dataclass(frozen=True, slots=True)
class Options:
    """How the service behaves, and misbehaves.

    first_s: from a text to its first sound; pace: how many times faster than speech that comes
    piece_ms: lengths of the pieces, in turn
    speak: makes sound of text; aside: in a thread, as it takes a while
    voices: the ids that exist; None: all
    hang: connections are taken, and nothing is ever said
    error: what a text is answered with; after: how many texts are spoken first
    drop_after_ms: of sound, in one connection; then it dies without a goodbye
    mute_after_ms: likewise; then nothing more is said
    idle_s: a connection without a text for so long is closed
    aligned: pieces have their letters' times
    """

    first_s: float = 0.15
    pace: float = 8.0
    piece_ms: tuple[int, ...] = (180, 260, 420)
    speak: Callable[[str], bytes] = hum
    aside: bool = False
    voices: frozenset[str] | None = None
    hang: bool = False
    error: tuple[str, str] | None = None
    after: int = 0
    drop_after_ms: int | None = None
    mute_after_ms: int | None = None
    idle_s: float = 180.0
    aligned: bool = True


@dataclass(slots=True)
class Context:
    """One text in the making. spoken: what was made into sound, and when each began."""

    name: str
    work: trio.MemorySendChannel[str]
    closing: bool = False
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Provider:
    """The service: what was asked of all its connections.

    live, open: connections and contexts as they are now
    texts: context, text, and when it came; first_at: when each context's first sound left
    characters: what the bill is by
    violations: what a correct client never does
    """

    options: Options = field(default_factory=Options)
    key: str | None = None
    refuse: int | None = None
    connections: int = 0
    live: int = 0
    open: int = 0
    characters: int = 0
    texts: list[tuple[str, str, float]] = field(default_factory=list)
    first_at: dict[str, float] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    async def serve(self, socket: Socket, path: str, *, key: str | None = None) -> None:
        """Serve one connection until either end closes it."""
        self.connections += 1
        self.live += 1
        connection = _Connection(self, socket)
        try:
            await connection.run(path, key)
        finally:
            self.live -= 1
            self.open -= len(connection.contexts)

    def said(self, context: str) -> str:
        """All text that a context was given."""
        return "".join(text for name, text, _ in self.texts if name == context)


class _Connection:
    """One client."""

    def __init__(self, provider: Provider, socket: Socket) -> None:
        self._provider = provider
        self._options = provider.options
        self._socket = socket
        self.contexts: dict[str, Context] = {}
        self._lock = trio.Lock()
        self._sound_ms = 0
        self._idle = trio.CancelScope()

    async def run(self, path: str, key: str | None) -> None:
        url = urlsplit(path)
        query = parse_qs(url.query)
        if unknown := query.keys() - _QUERY:
            self._provider.violations.append(f"unknown parameters {sorted(unknown)}")
        if query.get("output_format") != ["ulaw_8000"]:
            self._provider.violations.append("not a telephone's sound")
        voice = url.path.split("/")[3]
        with self._idle:
            self._touch()
            try:
                async with trio.open_nursery() as nursery:
                    await self._take_all(nursery, voice, key)
                    nursery.cancel_scope.cancel()
            except* SocketClosed:
                pass  # either end has gone
        if self._idle.cancelled_caught:
            await self._refuse("input_timeout_exceeded", "Have not received a new text input.")

    def _touch(self) -> None:
        self._idle.deadline = trio.current_time() + self._options.idle_s

    async def _take_all(self, nursery: trio.Nursery, voice: str, key: str | None) -> None:
        while True:
            message = await self._socket.receive()
            if self._options.hang:
                continue
            self._touch()
            if self._provider.key not in (None, key):
                return await self._refuse(*BAD_KEY)
            if self._options.voices is not None and voice not in self._options.voices:
                return await self._refuse(*NO_VOICE)
            told = self._read(message)
            if told.get("close_socket"):
                return await self._socket.aclose()
            if not await self._take(nursery, told):
                return None

    def _read(self, message: str | bytes) -> Json:
        told = json.loads(message)
        if not isinstance(told, dict) or told.keys() - _FIELDS or "context_id" not in told:
            self._provider.violations.append(f"a message of unknown shape: {message!r}")
            return {}
        return told

    async def _take(self, nursery: trio.Nursery, told: Json) -> bool:
        """One message. False: that was the end."""
        name, text = told.get("context_id", ""), told.get("text", "")
        context = self.contexts.get(name)
        if told.get("close_context"):
            if context is None:
                self._provider.violations.append(f"closed {name}, which is not open")
            else:
                context.closing = True
                context.work.close()
            return True
        if context is None:
            if text != " ":
                self._provider.violations.append(f"{name} does not begin with a blank")
            if len(self.contexts) >= CONTEXTS:
                await self._refuse(*TOO_MANY)
                return False
            send, receive = trio.open_memory_channel[str](64)
            self.contexts[name] = Context(name, send)
            self._provider.open += 1
            nursery.start_soon(self._speak_all, self.contexts[name], receive)
            return True
        if context.closing:
            self._provider.violations.append(f"text for {name}, which was closed")
            return True
        if not text.endswith(" ") or not told.get("flush"):
            self._provider.violations.append(f"text that is not spoken at once: {text!r}")
        if self._options.error and len(self._provider.texts) >= self._options.after:
            await self._refuse(*self._options.error)
            return False
        self._provider.texts.append((name, text, trio.current_time()))
        self._provider.characters += len(text)
        context.work.send_nowait(text)
        return True

    async def _speak_all(self, context: Context, texts: trio.MemoryReceiveChannel[str]) -> None:
        async for text in texts:
            await trio.sleep(self._options.first_s)
            work = partial(list[Piece], pieces(text, self._options))
            spoken = await trio.to_thread.run_sync(work) if self._options.aside else work()
            for piece, alignment in spoken:
                await self._sound(context.name, piece, alignment)
                await trio.sleep(len(piece) / BYTES_PER_MS / 1000 / self._options.pace)
        del self.contexts[context.name]
        self._provider.open -= 1
        self._provider.closed.append(context.name)
        await self._tell(isFinal=True, contextId=context.name)

    async def _sound(self, context: str, piece: bytes, alignment: Json | None) -> None:
        options = self._options
        if options.drop_after_ms is not None and self._sound_ms >= options.drop_after_ms:
            self._drop()
        if options.mute_after_ms is not None and self._sound_ms >= options.mute_after_ms:
            await trio.sleep_forever()
        self._sound_ms += len(piece) // BYTES_PER_MS
        self._provider.first_at.setdefault(context, trio.current_time())
        audio = base64.b64encode(piece).decode()
        await self._tell(
            audio=audio,
            isFinal=None,
            contextId=context,
            alignment=alignment,
            normalizedAlignment=alignment,
        )

    async def _tell(self, **fields: object) -> None:
        async with self._lock:
            await self._socket.send(json.dumps(fields))

    async def _refuse(self, error: str, message: str) -> None:
        await self._tell(message=message, error=error, code=REFUSED)
        await self._socket.aclose(REFUSED, message)

    def _drop(self) -> None:
        if not isinstance(self._socket, Droppable):
            raise Misuse("this socket cannot die without a goodbye: it has no drop()")
        self._socket.drop()
        raise SocketClosed(1006)


def pieces(text: str, options: Options) -> Iterator[Piece]:
    """A text's sound in pieces, each with the letters that begin in it and their times there."""
    sound = options.speak(text)
    total_ms = len(sound) // BYTES_PER_MS
    ends = [total_ms * (n + 1) // len(text) for n in range(len(text))]
    starts = [0, *ends[:-1]]
    at_ms, letter = 0, 0
    for length_ms in itertools.cycle(options.piece_ms):
        if at_ms >= total_ms:
            return
        until_ms = min(at_ms + length_ms, total_ms)
        chars: list[str] = []
        times: list[tuple[int, int]] = []
        while letter < len(text) and (starts[letter] < until_ms or until_ms == total_ms):
            chars.append(text[letter])
            times.append((starts[letter] - at_ms, ends[letter] - starts[letter]))
            letter += 1
        alignment = {
            "chars": chars,
            "charStartTimesMs": [start for start, _ in times],
            "charDurationsMs": [duration for _, duration in times],
        }
        piece = sound[at_ms * BYTES_PER_MS : until_ms * BYTES_PER_MS]
        yield piece, alignment if options.aligned else None
        at_ms = until_ms


# ---- behind a port --------------------------------------------------------------------------


async def listen(
    provider: Provider,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve connections until cancelled; `await nursery.start(listen, …)` gives the port."""
    listeners = await trio.open_tcp_listeners(port, host=host)
    opened: int = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, partial(_connection, provider), listeners)
        task_status.started(opened)


async def _connection(provider: Provider, stream: trio.SocketStream) -> None:
    try:
        async with trio.open_nursery() as nursery:
            request = await upgrade(nursery, stream)
            if provider.refuse is not None or "/multi-stream-input" not in request.path:
                await request.reject(provider.refuse or 404)
            else:
                headers = {name.lower(): value.decode() for name, value in request.headers}
                socket = ServedSocket(await request.accept(), stream)
                await provider.serve(socket, request.path, key=headers.get(b"xi-api-key"))
                await socket.aclose()
            nursery.cancel_scope.cancel()
    except* GONE:
        pass  # the client's fault, and seen by it
