"""Records the agent's clips: a Realtime session of its own, in which the model reads texts out.

    session.update (no turns, no tools) ─▶ response.create "say exactly …" ─▶ audio, transcript
                                                  ▲                               │
                                                  └── up to TRIES times ── other words

A model paraphrases. So its transcript is compared with the text, and what was not said to the word
is said again; after TRIES the text is given back as refused, with what was said instead. Each take
is forgotten (its item is deleted), so that no take is in answer to the one before it.

Nothing here raises because of the model: `record` returns what it has, and why it has no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import trio

from relay.audio import ModelToPhone
from relay.audio.frames import MULAW_BYTES_PER_MS
from relay.core import commands as do
from relay.core import events as on
from relay.ports import Socket
from relay.shell.clip_sound import finish
from relay.shell.clip_words import alike
from relay.shell.model import run_model
from relay.shell.outbox import Outbox
from relay.wire.realtime import ModelMessage, SessionSettings, render

TRIES = 3
READY_S = 10.0
# A model speaks faster than a person; the longest greeting takes some seconds.
TAKE_S = 45.0
LONGEST_MS = 60_000
CLOSE_S = 2.0

PERSONA = (
    "You record announcements for a business's telephone line. Speak warmly, clearly and at an easy"
    " pace. You are given a text, and you say exactly its words: nothing before them, nothing after"
    " them, none left out, none changed. You never answer the text and never explain yourself."
)
_SAY = "Say exactly these words, once, and nothing else:\n\n{text}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of a session.

    clips: text -> mu-law, trimmed and levelled
    refused: text -> what the model said instead, the last time
    broken: why the session ended before all texts were tried; "" when it did not
    """

    clips: Mapping[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""


class _Broken(Exception):  # noqa: N818 - leaves the session, and is a value outside
    """The session is of no more use."""


def studio_settings(
    voice: str, audio_format: str, reasoning_effort: str | None, max_output_tokens: int
) -> SessionSettings:
    """A session that speaks and does not listen."""
    return SessionSettings(
        instructions=PERSONA,
        voice=voice,
        tools=(),
        audio_format=audio_format,
        transcription_model="",
        languages=(),
        vad_threshold=0.5,
        silence_ms=500,
        prefix_padding_ms=300,
        noise_reduction=None,
        reasoning_effort=reasoning_effort,
        max_output_tokens=max_output_tokens,
        vad_mode="none",
    )


async def record(
    dialling: AbstractAsyncContextManager[Socket],
    settings: SessionSettings,
    texts: Sequence[str],
) -> Recorded:
    """Have a model say every text, one after the other, in one session."""
    send, receive = trio.open_memory_channel[on.Event](math.inf)
    outbox = Outbox(64)
    codec = ModelToPhone(settings.audio_format)
    clips: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    broken = ""
    async with send, receive, trio.open_nursery() as nursery:
        nursery.start_soon(run_model, dialling, outbox, codec, send.send_nowait)
        studio = _Studio(outbox, receive, settings)
        try:
            await studio.configure()
            for text in texts:
                said = await _record(studio, text, clips)
                if said is not None:
                    refused[text] = said
        except _Broken as why:
            broken = str(why)
        outbox.close()
        nursery.cancel_scope.deadline = trio.current_time() + CLOSE_S
    return Recorded(clips, refused, broken)


async def _record(studio: _Studio, text: str, clips: dict[str, bytes]) -> str | None:
    """Try a text. None: it is among the clips; else what was said instead, the last time."""
    said = ""
    for _ in range(TRIES):
        take = await studio.take(text)
        said = take.transcript
        if alike(text, said) and (clip := finish(bytes(take.mulaw))):
            clips[text] = clip
            return None
    return said


@dataclass(slots=True)
class _Take:
    """One reading of a text."""

    response_id: str = ""
    items: dict[str, str] = field(default_factory=dict)  # item -> its transcript
    mulaw: bytearray = field(default_factory=bytearray)

    @property
    def transcript(self) -> str:
        return " ".join(filter(None, self.items.values()))


class _Studio:
    """The session, as a conversation of one who asks and one who speaks."""

    def __init__(
        self,
        outbox: Outbox,
        events: trio.MemoryReceiveChannel[on.Event],
        settings: SessionSettings,
    ) -> None:
        self._outbox = outbox
        self._events = events
        self._settings = settings
        self._sent = 0

    def _tell(self, command: ModelMessage) -> None:
        self._sent += 1
        self._outbox.post(render(command, f"evt_{self._sent}", self._settings))
        self._outbox.flush()

    async def configure(self) -> None:
        """Wait until the session is as it should be."""
        with trio.move_on_after(READY_S):
            while True:
                match await self._next():
                    case on.ModelOpened():
                        self._tell(do.ConfigureModel())
                    case on.ModelReady():
                        return
        raise _Broken(f"no session within {READY_S:g} s")

    async def take(self, text: str) -> _Take:
        """Have a text said once, and forgotten."""
        self._tell(do.CreateResponse("clip", _SAY.format(text=text)))
        take = _Take()
        with trio.move_on_after(TAKE_S):
            while not self._heard(await self._next(), take):
                pass
            for item_id in take.items:
                self._tell(do.DeleteItem(item_id))
            return take
        raise _Broken(f"a text was not said within {TAKE_S:g} s")

    def _heard(self, event: on.Event, take: _Take) -> bool:
        """Take in what the model says. True: that was all of it."""
        match event:
            case on.ResponseStarted(response_id):
                take.response_id = response_id
            case on.AgentAudio(response_id, item_id, mulaw) if response_id == take.response_id:
                take.items.setdefault(item_id, "")
                take.mulaw += mulaw
                if len(take.mulaw) > LONGEST_MS * MULAW_BYTES_PER_MS:
                    raise _Broken("the model does not stop talking")
            case on.AgentTranscribed(response_id, item_id, said) if response_id == take.response_id:
                take.items[item_id] = said
            case on.ResponseEnded(response_id) if response_id == take.response_id:
                if event.status == "failed":
                    raise _Broken(event.error_message or event.error_code or "a response failed")
                return True
        return False

    async def _next(self) -> on.Event:
        event = await self._events.receive()
        match event:
            case on.ModelClosed(code, reason):
                raise _Broken(reason or f"closed with {code}")
            case on.ModelErrored(code, message):
                raise _Broken(f"{code}: {message}")
            case on.PeerMisbehaved(kind=kind):
                raise _Broken(f"a message was broken: {kind}")
        return event
