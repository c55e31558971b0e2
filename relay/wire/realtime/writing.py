"""What we say to the Realtime API: one event a command, in GA names only.

Each has our `event_id`, which comes back in an `error` if that event failed. Appended audio has
none: there are fifty a second, and nothing waits for an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, assert_never

import msgspec

from relay.core import commands as c
from relay.errors import Misuse

ModelMessage: TypeAlias = (
    c.ConfigureModel
    | c.SetTurnSilence
    | c.CommitAudio
    | c.AppendAudio
    | c.AddText
    | c.CreateResponse
    | c.CreateText
    | c.AskPrivately
    | c.CancelResponse
    | c.TruncateItem
    | c.DeleteItem
    | c.PostToolOutput
)

_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "pcm": {"type": "audio/pcm", "rate": 24000},
    "pcmu": {"type": "audio/pcmu"},
}
# Of what is written out of band: two sentences, and what a reasoning model thinks before them.
PRIVATE_TOKENS: Final = 600
_ROLES: Final = frozenset({"system", "user", "assistant"})
# Those of before "gpt-realtime-2"; who is newer than this list thinks, too.
_UNREASONING = re.compile(
    r"gpt-4o.*-realtime.*|gpt-realtime(-1\.5)?(-mini)?(-\d{4}-\d\d-\d\d)?", re.ASCII
)


@dataclass(frozen=True)
class SessionSettings:
    """What `session.update` says; every value is sent, since the server's defaults are its own.

    tools: function tools as the API wants them (type, name, description, parameters)
    audio_format: "pcm" (24 kHz PCM16) or "pcmu" (8 kHz mu-law), both ways
    transcription_model: of the caller's speech; "" asks for no transcripts
    languages: ISO 639-1, what the caller may speak; none lets the recogniser guess
    vad_threshold: 0 to 1; silence_ms, prefix_padding_ms: what the server's VAD waits for and keeps
    vad_mode: "server_vad"; "semantic_vad", which goes by vad_eagerness (low, medium, high, auto);
        or "none" for a session that hears no turns
    noise_reduction: "near_field", "far_field" or None for none
    reasoning_effort: None says nothing, as models without reasoning refuse the field
    max_output_tokens: of one response, 1 to 4096 or "inf"
    create_response, interrupt_response: False, since the relay decides both itself

    Raises Misuse on an audio_format that is neither.
    """

    instructions: str
    voice: str
    tools: tuple[dict[str, Any], ...]
    audio_format: str
    transcription_model: str
    languages: tuple[str, ...]
    vad_threshold: float
    silence_ms: int
    prefix_padding_ms: int
    noise_reduction: str | None
    reasoning_effort: str | None
    max_output_tokens: int | Literal["inf"]
    vad_mode: str = "server_vad"
    vad_eagerness: str = "auto"
    create_response: bool = False
    interrupt_response: bool = False

    def __post_init__(self) -> None:
        if self.audio_format not in _FORMATS:
            raise Misuse(f"audio_format is {self.audio_format!r}, not pcm or pcmu")


def reasons(model: str) -> bool:
    """Whether a model thinks before it speaks. One that does not refuses to be told how hard to."""
    return not _UNREASONING.fullmatch(model)


def render(command: ModelMessage, event_id: str, settings: SessionSettings) -> str:
    """Spell one command. event_id goes out with everything but appended audio.

    Raises Misuse on a role that the API does not have.
    """
    match command:
        case c.AppendAudio(audio=audio):  # base64 needs no escapes
            return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'
        case c.ConfigureModel():
            return _event("session.update", event_id, session=_session(settings))
        case c.SetTurnSilence(silence_ms=silence_ms):
            turn_detection = _turn_detection(settings, silence_ms)
            session = {"type": "realtime", "audio": {"input": {"turn_detection": turn_detection}}}
            return _event("session.update", event_id, session=session)
        case c.CommitAudio():
            return _event("input_audio_buffer.commit", event_id)
        case c.AddText(role=role, text=text, item_id=item_id):
            return _event(_ITEM_CREATE, event_id, item=_message(role, text, item_id))
        case c.PostToolOutput(call_id=call_id, output=output):
            item = {"type": "function_call_output", "call_id": call_id, "output": _sound(output)}
            return _event(_ITEM_CREATE, event_id, item=item)
        case c.CreateResponse(purpose, instructions) | c.CreateText(purpose, instructions):
            response: dict[str, Any] = {"metadata": {"purpose": purpose}}
            if isinstance(command, c.CreateText):
                response["output_modalities"] = ["text"]
            if instructions:
                response["instructions"] = _sound(instructions)
            return _event("response.create", event_id, response=response)
        case c.AskPrivately(purpose=purpose, instructions=instructions):
            response = {
                "conversation": "none",
                "output_modalities": ["text"],
                "metadata": {"purpose": purpose},
                "instructions": _sound(instructions),
                "tools": [],
                "tool_choice": "none",
                "max_output_tokens": PRIVATE_TOKENS,
            }
            return _event("response.create", event_id, response=response)
        case c.CancelResponse(response_id=response_id):
            return _event("response.cancel", event_id, response_id=response_id)
        case c.TruncateItem(item_id=item_id, audio_end_ms=end_ms):
            return _event(
                "conversation.item.truncate",
                event_id,
                item_id=item_id,
                content_index=0,
                audio_end_ms=end_ms,
            )
        case c.DeleteItem(item_id=item_id):
            return _event("conversation.item.delete", event_id, item_id=item_id)
        case _:
            assert_never(command)


_ITEM_CREATE: Final = "conversation.item.create"
_encode = msgspec.json.Encoder().encode


def _event(kind: str, event_id: str, **fields: object) -> str:
    return _encode({"type": kind, "event_id": event_id, **fields}).decode()


def _message(role: str, text: str, item_id: str) -> dict[str, Any]:
    if role not in _ROLES:
        raise Misuse(f"a message has no role {role!r}")
    part = "output_text" if role == "assistant" else "input_text"
    content = [{"type": part, "text": _sound(text)}]
    message = {"type": "message", "role": role, "content": content}
    return {"id": item_id, **message} if item_id else message


def _sound(text: str) -> str:
    """The text with lone surrogates replaced: a business's JSON may hold some, a frame may not."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _session(settings: SessionSettings) -> dict[str, Any]:
    audio_format = _FORMATS[settings.audio_format]
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": _sound(settings.instructions),
        "audio": {
            "input": {
                "format": audio_format,
                "noise_reduction": _noise_reduction(settings),
                "transcription": _transcription(settings),
                "turn_detection": _turn_detection(settings, settings.silence_ms),
            },
            "output": {"format": audio_format, "voice": settings.voice},
        },
        "tools": settings.tools,
        "tool_choice": "auto",
        "max_output_tokens": settings.max_output_tokens,
    }
    if settings.reasoning_effort:
        session["reasoning"] = {"effort": settings.reasoning_effort}
    return session


def _turn_detection(settings: SessionSettings, silence_ms: int) -> dict[str, Any] | None:
    """Which detector, and how patient: semantic_vad knows no silence, but it can be less eager."""
    if settings.vad_mode == "none":
        return None
    common = {
        "type": settings.vad_mode,
        "create_response": settings.create_response,
        "interrupt_response": settings.interrupt_response,
    }
    if settings.vad_mode == "semantic_vad":
        patient = silence_ms > settings.silence_ms
        return common | {"eagerness": "low" if patient else settings.vad_eagerness}
    return common | {
        "threshold": settings.vad_threshold,
        "prefix_padding_ms": settings.prefix_padding_ms,
        "silence_duration_ms": silence_ms,
    }


def _noise_reduction(settings: SessionSettings) -> dict[str, str] | None:
    return {"type": settings.noise_reduction} if settings.noise_reduction else None


def _transcription(settings: SessionSettings) -> dict[str, Any] | None:
    if not settings.transcription_model:
        return None
    transcription: dict[str, Any] = {"model": settings.transcription_model}
    match settings.languages:
        case ():
            pass
        case (language,):
            transcription["language"] = language
        case languages:
            transcription["languages"] = list(languages)
    return transcription
