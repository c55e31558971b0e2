"""Runs one connection to the second voice: text goes out, sound and its timing come in.

    SayText ─▶ outbox ─▶ writer ─▶ the provider ─▶ reader ─▶ WordsTimed, AgentAudio, AgentAudioEnded
                                                     └─ gone, refused, nonsense ─▶ VoiceLost

It decides nothing. What is said before the connection stands waits in the outbox; an item more than
the provider takes at once waits here. How long the voice may be silent is the core's to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from relay.audio import loudest_db
from relay.audio.frames import MULAW_BYTES_PER_MS
from relay.core import commands as do
from relay.core import events as on
from relay.errors import DialError, SocketClosed, VoiceError
from relay.ports import Socket, Voice, VoiceOver, VoiceSound
from relay.shell.outbox import Outbox

CAPACITY = 256

Feed = Callable[[on.Event], None]


@dataclass(slots=True)
class _Item:
    """What was given of an item, and how far its sound has come: in letters, and in bytes."""

    response_id: str
    text: str = ""
    place: int = 0
    sound_bytes: int = 0

    def words(self, sound: VoiceSound) -> tuple[tuple[int, int], ...]:
        """When words end. A word is over where a blank, or the text's end, comes."""
        begins_ms = self.sound_bytes // MULAW_BYTES_PER_MS
        ends: list[tuple[int, int]] = []
        for letter, end_ms in sound.letters:
            if letter.isspace() or not letter:
                continue
            self._skip_blanks()
            self.place = min(self.place + len(letter), len(self.text))
            self._skip_blanks()
            if self.place == len(self.text) or self.text[self.place - 1].isspace():
                ends.append((self.place, begins_ms + end_ms))
        return tuple(ends)

    def _skip_blanks(self) -> None:
        while self.text[self.place : self.place + 1].isspace():
            self.place += 1


class Speaker:
    """One call's connection. All but `run` is synchronous."""

    def __init__(self, voice: Voice, feed: Feed) -> None:
        self._voice = voice
        self._feed = feed
        self._outbox = Outbox(CAPACITY)
        self._items: dict[str, _Item] = {}
        self._open: set[str] = set()  # at the provider's
        self._waiting: deque[do.SayText] = deque()
        self._over = False

    # ---- text out ---------------------------------------------------------------------------

    def say(self, command: do.SayText) -> None:
        """Have more of an item spoken."""
        item_id = command.item_id
        item = self._items.setdefault(item_id, _Item(command.response_id))
        item.text += command.text
        self._waiting.append(command)
        self._send()

    def drop(self, item_id: str) -> None:
        """Nobody listens to an item any more."""
        self._items.pop(item_id, None)
        self._waiting = deque(each for each in self._waiting if each.item_id != item_id)
        if item_id in self._open:
            self._post(self._voice.end(item_id))

    def close(self) -> None:
        """Say goodbye; nothing is fed any more."""
        self._over = True
        self._outbox.close()

    def _send(self) -> None:
        """Send what waits, in order, as far as the provider takes items at once."""
        while self._waiting:
            command = self._waiting[0]
            if command.item_id not in self._open:
                if len(self._open) >= self._voice.at_once:
                    return
                self._open.add(command.item_id)
                self._post(self._voice.begin(command.item_id))
            self._waiting.popleft()
            if command.text.strip():
                self._post(self._voice.say(command.item_id, command.text))
            if command.last:
                self._post(self._voice.end(command.item_id))

    def _post(self, text: str) -> None:
        if not self._outbox.post(text):
            self._lose("closed", "it does not read")
        self._outbox.flush()

    # ---- sound in ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the connection and feed what comes of it until it is gone."""
        try:
            async with self._voice.dial() as socket, trio.open_nursery() as nursery:
                nursery.start_soon(self._write, socket, nursery.cancel_scope)
                await self._read(socket)
                nursery.cancel_scope.cancel()
        except DialError as failed:
            self._lose("unreachable", str(failed))

    async def _write(self, socket: Socket, connection: trio.CancelScope) -> None:
        if not await self._outbox.run(socket):
            self._lose("closed", "it does not read")
            connection.cancel()  # it need not say anything, either, and counts as long as it stands

    async def _read(self, socket: Socket) -> None:
        while not self._over:
            try:
                self._hear(self._voice.parse(await socket.receive()))
            except SocketClosed as gone:
                self._lose(self._voice.why(gone.code, gone.reason), str(gone))
            except VoiceError as refused:
                self._lose(refused.why, refused.detail)

    def _hear(self, said: VoiceSound | VoiceOver | None) -> None:
        item = None if said is None or self._over else self._items.get(said.item_id)
        match said:
            case VoiceSound(item_id, mulaw) if item is not None:
                words = item.words(said)
                item.sound_bytes += len(mulaw)
                if words:
                    self._feed(on.WordsTimed(item_id, words))
                self._feed(on.AgentAudio(item.response_id, item_id, mulaw, loudest_db(mulaw)))
            case VoiceOver(item_id):
                self._open.discard(item_id)
                self._send()
                if item is not None:
                    del self._items[item_id]
                    self._feed(on.AgentAudioEnded(item.response_id, item_id))
            case _:
                pass  # of an item that was dropped, or nothing to know

    def _lose(self, why: str, detail: str) -> None:
        if not self._over:
            self.close()
            self._feed(on.VoiceLost(why, detail))
