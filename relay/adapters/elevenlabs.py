"""ElevenLabs' text to speech over their WebSocket with contexts, as a ports.Voice.

    {"text":" ","context_id":"item_1"}                                opens a context
    {"text":"Nine to five. ","context_id":"item_1","flush":true}      is spoken at once
    {"context_id":"item_1","close_context":true}                      what is left, then isFinal

The endpoint with contexts (`multi-stream-input`), since the one without ends with its first text,
and says nothing at a flush: there a connection a sentence would be needed to know when one is over.
One context is one item, so that the same connection serves the whole call.

`output_format=ulaw_8000` is the telephone's own sound. `sync_alignment` has every piece of it come
with its letters and their times, which count from the piece's beginning. Voice settings are never
sent: those that are stored with the voice hold, and a second mention of them would close the
connection.

An error is a message with `error` and `message`, and then a close; sometimes there is only the
close, and its reason says the same.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from relay.errors import VoiceError
from relay.ports import Socket, VoiceOver, VoiceSays, VoiceSound

Dial: TypeAlias = Callable[[str, Sequence[tuple[str, str]]], AbstractAsyncContextManager[Socket]]

#: The longest silence that their server lets pass, in seconds; the default would be 20.
INACTIVITY_S: Final = 180
#: They take five contexts; one that was just closed still counts for a moment.
CONTEXTS: Final = 4

#: What their words for a refusal mean for us, the first that fits.
_MEANINGS: Final = (
    ("quota", "quota"),
    ("credits", "quota"),
    ("voice_id", "voice"),
    ("voice_not_found", "voice"),
    ("voice_does_not_exist", "voice"),
    ("invalid_voice", "voice"),
    ("api_key", "key"),
    ("auth", "key"),
    ("unusual_activity", "key"),
    ("timeout", "closed"),
)


class _Alignment(msgspec.Struct):
    chars: list[str] = []
    charStartTimesMs: list[float] = []  # noqa: N815 - their spelling
    charDurationsMs: list[float] = []  # noqa: N815


class _Message(msgspec.Struct):
    audio: str | None = None
    isFinal: bool | None = None  # noqa: N815
    is_final: bool | None = None  # as their types have it in one place
    contextId: str | None = None  # noqa: N815
    alignment: _Alignment | None = None
    error: str | None = None
    message: str | None = None


_decode: Final = msgspec.json.Decoder(_Message).decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ElevenLabs:
    """One of their voices, spoken by one of their models.

    connect: opens a WebSocket; raises DialError
    """

    url: str
    key: str
    model: str
    name: str
    connect: Dial
    at_once: int = CONTEXTS

    def address(self) -> str:
        query = {
            "model_id": self.model,
            "output_format": "ulaw_8000",
            "inactivity_timeout": INACTIVITY_S,
            "sync_alignment": "true",
            "auto_mode": "true",
        }
        voice = quote(self.name, safe="")
        return f"{self.url}/v1/text-to-speech/{voice}/multi-stream-input?{urlencode(query)}"

    def dial(self) -> AbstractAsyncContextManager[Socket]:
        return self.connect(self.address(), [("xi-api-key", self.key)])

    def begin(self, item_id: str) -> str:
        return _json(text=" ", context_id=item_id)

    def say(self, item_id: str, text: str) -> str:
        text = text if text.endswith(" ") else f"{text} "  # a text ends with a blank, they say
        return _json(text=text, context_id=item_id, flush=True)

    def end(self, item_id: str) -> str:
        return _json(context_id=item_id, close_context=True)

    def parse(self, message: str | bytes) -> VoiceSays | None:
        """Read a message. Raises VoiceError: a refusal, or nothing that they should send."""
        try:
            told = _decode(message)
            mulaw = base64.b64decode(told.audio or "", validate=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError):
            raise VoiceError("broken", "a message that cannot be read") from None
        if told.error:
            raise VoiceError(meaning(told.error), f"{told.error} {told.message or ''}".strip())
        if told.contextId is None:
            return None
        if told.isFinal or told.is_final:
            return VoiceOver(told.contextId)
        if not mulaw:
            return None
        return VoiceSound(told.contextId, mulaw, _letters(told.alignment))

    def why(self, code: int, reason: str) -> str:
        """A close by them is a refusal when it says so; else it just happened."""
        why = meaning(reason)
        return "closed" if why == "refused" and code in (1000, 1001, 1006, 1011, 1012) else why


def meaning(words: str) -> str:
    """What their code, or their sentence, means for us."""
    words = words.lower().replace(" ", "_")
    return next((ours for theirs, ours in _MEANINGS if theirs in words), "refused")


def _letters(alignment: _Alignment | None) -> tuple[tuple[str, int], ...]:
    if alignment is None:
        return ()
    times = zip(
        alignment.chars, alignment.charStartTimesMs, alignment.charDurationsMs, strict=False
    )
    return tuple((char, round(start + duration)) for char, start, duration in times)


def _json(**fields: object) -> str:
    return _encode(fields).decode()
