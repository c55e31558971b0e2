"""What the Realtime API says.

Read `type` alone, look up that type's shape, ignore what is not listed here. The server sends 46
kinds of event, new ones any day, and most of them tell us nothing that another does not. Fields
that we do not name are skipped, so they may be anything. An item is read in the same two steps:
of any that is no function call only the `type` is looked at, whatever else it holds.

Two traps of the protocol are closed here, not further in:

- A function call counts when its *item* is done and `completed`. `arguments.done` also comes for
  a response that was cut, with half of the JSON.
- A response ends even if its bill cannot be read: `response.done` with a usage or details of
  unknown shape, or without a status, is still `ResponseEnded`, since the next turn waits for it.

What can be wrong with a frame, each a fixed word for counting:

    binary     a binary frame; the API sends text only
    bad_json   no JSON, or text that is no Unicode
    too_deep   nested beyond what can be read
    bad_shape  a known event without what it must have, or no type at all
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from relay.core import events as e
from relay.errors import ModelProtocolError

T = TypeVar("T")

# Enough for any count of tokens or ms, small enough that sums of it stay plain numbers in JSON.
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Id = Annotated[str, Meta(min_length=1)]


class AudioDelta(Struct, frozen=True, gc=False):
    """A piece of the agent's voice, as it came. delta: base64, any length, decodes on its own.

    A Struct and not a dataclass because the decoder then builds it without a step between.
    """

    response_id: _Id
    item_id: _Id
    delta: str


class AudioDone(Struct, frozen=True, gc=False):
    """No more deltas of this item."""

    response_id: _Id
    item_id: _Id


class _Head(Struct, gc=False):
    type: str


class _Session(Struct):
    id: str | None = None


class _Opened(Struct):
    session: _Session | None = None


class _SpeechStarted(Struct):
    item_id: _Id
    audio_start_ms: _Count


class _SpeechStopped(Struct):
    item_id: _Id
    audio_end_ms: _Count


class _Committed(Struct):
    item_id: _Id
    previous_item_id: str | None = None


class _Transcribed(Struct):
    item_id: _Id
    transcript: str
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _TranscriptionFailed(Struct):
    item_id: _Id


class _Metadata(Struct):
    purpose: str = ""


class _Created(Struct):
    id: _Id
    metadata: _Metadata | None = None


class _ResponseCreated(Struct):
    response: _Created


class _Spoken(Struct):
    response_id: _Id
    item_id: _Id
    transcript: str


class TextDelta(Struct, frozen=True, gc=False):
    """A piece of what the agent writes, as it came: some letters, in no relation to words."""

    response_id: _Id
    item_id: _Id
    delta: str


class _Written(Struct):
    response_id: _Id
    item_id: _Id
    text: str


class _ItemDone(Struct):
    """item: a message, a function call, something of next year."""

    response_id: _Id
    item: msgspec.Raw


class _Call(Struct):
    id: str | None = None
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class _Fault(Struct):
    type: str | None = None
    code: str | None = None
    message: str | None = None
    event_id: str | None = None

    def word(self) -> str:
        """The word to act on. Faults of the server itself have a type and no code."""
        return self.code or self.type or ""


class _Errored(Struct):
    error: _Fault


class _Details(Struct):
    reason: str | None = None
    error: _Fault | None = None


class _Tokens(Struct):
    text_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _InputTokens(_Tokens):
    cached_tokens: _Count | None = None
    cached_tokens_details: _Tokens | None = None


class _Usage(Struct):
    input_token_details: _InputTokens | None = None
    output_token_details: _Tokens | None = None


class _WordsUsage(Struct):
    """By time ("duration") or by token ("tokens")."""

    seconds: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    input_token_details: _Tokens | None = None


class _Ended(Struct):
    id: _Id
    status: str | None = None
    status_details: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _ResponseDone(Struct):
    response: _Ended


def _reader(shape: type[T]) -> Callable[[str | msgspec.Raw], T]:
    decoder = msgspec.json.Decoder(shape)

    def read(text: str | msgspec.Raw) -> T:
        try:
            return decoder.decode(text)
        except msgspec.ValidationError as exc:  # names the field, never its value
            raise ModelProtocolError("bad_shape", str(exc)) from None
        except (msgspec.DecodeError, UnicodeError):
            raise ModelProtocolError("bad_json") from None
        except RecursionError:
            raise ModelProtocolError("too_deep") from None

    return read


_read_head = _reader(_Head)
_read_opened = _reader(_Opened)
_read_speech_started = _reader(_SpeechStarted)
_read_speech_stopped = _reader(_SpeechStopped)
_read_committed = _reader(_Committed)
_read_transcribed = _reader(_Transcribed)
_read_transcription_failed = _reader(_TranscriptionFailed)
_read_response_created = _reader(_ResponseCreated)
_read_spoken = _reader(_Spoken)
_read_written = _reader(_Written)
_read_item_done = _reader(_ItemDone)
_read_call = _reader(_Call)
_read_response_done = _reader(_ResponseDone)
_read_details = _reader(_Details)
_read_usage = _reader(_Usage)
_read_words_usage = _reader(_WordsUsage)
_read_errored = _reader(_Errored)
_read_delta = _reader(AudioDelta)
_read_text_delta = _reader(TextDelta)
_read_audio_done = _reader(AudioDone)

# How the server spells the one event that is long and frequent. Knowing it by its first bytes
# saves reading all its base64 twice; a server that spells it otherwise is understood all the same.
_DELTA_HEAD: Final = '{"type":"response.output_audio.delta",'


def parse(text: str | bytes) -> e.Event | AudioDelta | AudioDone | TextDelta | None:
    """Read one frame. None: an event that is unknown, or that we have no use for.

    Raises ModelProtocolError and nothing else.
    """
    if not isinstance(text, str):
        raise ModelProtocolError("binary")
    if text.startswith(_DELTA_HEAD):
        return _read_delta(text)
    reader = _READERS.get(_read_head(text).type)
    return None if reader is None else reader(text)


def _opened(text: str) -> e.ModelOpened:
    session = _read_opened(text).session
    return e.ModelOpened((session and session.id) or "")


def _ready(_text: str) -> e.ModelReady:
    return e.ModelReady()


def _speech_started(text: str) -> e.SpeechStarted:
    heard = _read_speech_started(text)
    return e.SpeechStarted(heard.item_id, heard.audio_start_ms)


def _speech_stopped(text: str) -> e.SpeechStopped:
    heard = _read_speech_stopped(text)
    return e.SpeechStopped(heard.item_id, heard.audio_end_ms)


def _committed(text: str) -> e.InputCommitted:
    item = _read_committed(text)
    return e.InputCommitted(item.item_id, item.previous_item_id)


def _transcribed(text: str) -> e.CallerTranscribed:
    item = _read_transcribed(text)
    usage = _or_none(_read_words_usage, item.usage)
    return e.CallerTranscribed(
        item.item_id, item.transcript, usage=_flat_words(usage) if usage else {}
    )


def _transcription_failed(text: str) -> e.CallerTranscribed:
    return e.CallerTranscribed(_read_transcription_failed(text).item_id, "", failed=True)


def _response_created(text: str) -> e.ResponseStarted:
    response = _read_response_created(text).response
    return e.ResponseStarted(response.id, response.metadata.purpose if response.metadata else "")


def _spoken(text: str) -> e.AgentTranscribed:
    item = _read_spoken(text)
    return e.AgentTranscribed(item.response_id, item.item_id, item.transcript)


def _written(text: str) -> e.AgentWrote:
    done = _read_written(text)
    return e.AgentWrote(done.response_id, done.text, done.item_id)


def _item_done(text: str) -> e.FunctionCalled | None:
    done = _read_item_done(text)
    if _read_head(done.item).type != "function_call":
        return None
    call = _read_call(done.item)
    if call.status != "completed":
        return None
    if not call.call_id or not call.name:
        raise ModelProtocolError("bad_shape", "a completed function_call without call_id or name")
    return e.FunctionCalled(
        done.response_id, call.id or "", call.call_id, call.name, call.arguments or ""
    )


def _response_done(text: str) -> e.ResponseEnded:
    response = _read_response_done(text).response
    details = _or_none(_read_details, response.status_details) or _Details()
    error = details.error or _Fault()
    usage = _or_none(_read_usage, response.usage)
    return e.ResponseEnded(
        response.id,
        response.status or "",
        reason=details.reason or "",
        error_code=error.word(),
        error_message=error.message or "",
        usage=_flat(usage) if usage else {},
    )


def _errored(text: str) -> e.ModelErrored:
    error = _read_errored(text).error
    return e.ModelErrored(error.word(), error.message or "", error.event_id or "")


_READERS: Final[dict[str, Callable[[str], e.Event | AudioDelta | AudioDone | TextDelta | None]]] = {
    "session.created": _opened,
    "session.updated": _ready,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.committed": _committed,
    "conversation.item.input_audio_transcription.completed": _transcribed,
    "conversation.item.input_audio_transcription.failed": _transcription_failed,
    "response.created": _response_created,
    "response.output_audio.delta": _read_delta,
    "response.output_audio.done": _read_audio_done,
    "response.output_audio_transcript.done": _spoken,
    "response.output_text.delta": _read_text_delta,
    "response.output_text.done": _written,
    "response.output_item.done": _item_done,
    "response.done": _response_done,
    "error": _errored,
}


def _or_none(read: Callable[[msgspec.Raw], T], raw: msgspec.Raw) -> T | None:
    try:
        return read(raw)
    except ModelProtocolError:
        return None


def _flat(usage: _Usage) -> dict[str, int]:
    """Token counts of one response. The cached ones are part of the input ones."""
    inputs = usage.input_token_details or _InputTokens()
    outputs = usage.output_token_details or _Tokens()
    text, audio = inputs.text_tokens or 0, inputs.audio_tokens or 0
    cached, guessed = inputs.cached_tokens_details, {}
    if cached is None:  # a sum without its parts: text first, which errs by the least money
        total = inputs.cached_tokens or 0
        cached = _Tokens(min(total, text), min(max(total - text, 0), audio))
        guessed = {"cached_guessed": 1} if total else {}
    return guessed | {
        "input_text": text,
        "input_audio": audio,
        "cached_text": cached.text_tokens or 0,
        "cached_audio": cached.audio_tokens or 0,
        "output_text": outputs.text_tokens or 0,
        "output_audio": outputs.audio_tokens or 0,
    }


def _flat_words(usage: _WordsUsage) -> dict[str, int]:
    """What an utterance's words are billed by. Tokens without their parts were sound."""
    if usage.seconds is not None:
        return {"audio_ms": round(usage.seconds * 1000)}
    inputs = usage.input_token_details or _Tokens(audio_tokens=usage.input_tokens)
    counts = {
        "input_text": inputs.text_tokens or 0,
        "input_audio": inputs.audio_tokens or 0,
        "output_text": usage.output_tokens or 0,
    }
    return counts if any(counts.values()) else {}
