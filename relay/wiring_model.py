"""Settings to sessions with the model: wiring's part for OpenAI's side."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from relay.about import About
from relay.config import Settings
from relay.core.policy import CallPolicy
from relay.ports import Socket
from relay.prompts import Prompts
from relay.shell import sockets
from relay.shell.kit import CallFacts
from relay.tools import Tool
from relay.wire.realtime import SessionSettings, reasons

# gpt-transcribe replaces the models that are shut down on 2027-02-26.
TRANSCRIPTION_MODEL: Final = "gpt-transcribe"
# OpenAI's advice for voice: the caller waits while the model thinks.
REASONING_EFFORT: Final = "low"
MAX_OUTPUT_TOKENS: Final = 4096  # the most that can be named; ends a response that runs away

DialModel = Callable[[CallFacts], AbstractAsyncContextManager[Socket]]


def dial_openai(settings: Settings, call: CallFacts) -> AbstractAsyncContextManager[Socket]:
    """Open a Realtime session for a call. Raises DialError when it cannot be had."""
    key = settings.openai_api_key.get_secret_value()
    headers = [("Authorization", f"Bearer {key}")]
    if call.caller:
        headers.append(("OpenAI-Safety-Identifier", pseudonym(settings, call.caller)))
    return sockets.dial(session_url(settings, hard=call.hard), headers)


def session_url(settings: Settings, *, hard: bool = False) -> str:
    """The address with the model in its query, beside what is already there."""
    parts = urlsplit(settings.openai_realtime_url)
    larger = settings.realtime_model_hard if hard else None
    model = urlencode({"model": larger or settings.realtime_model})
    query = f"{parts.query}&{model}" if parts.query else model
    return urlunsplit(parts._replace(query=query))


def reasoning_effort(settings: Settings) -> str | None:
    """How hard a call's models are to think; None when one of them does not know the word."""
    models = filter(None, (settings.realtime_model, settings.realtime_model_hard))
    return REASONING_EFFORT if all(map(reasons, models)) else None


def pseudonym(settings: Settings, caller: str) -> str:
    """The same caller gets the same name, from which nobody can tell the number."""
    pepper = settings.twilio_auth_token.get_secret_value().encode()
    return hmac.digest(pepper, b"caller " + caller.encode(), hashlib.sha256).hex()


def session_settings(
    call: CallFacts,
    *,
    settings: Settings,
    prompts: Prompts,
    about: About,
    tools: Mapping[str, Tool],
    policy: CallPolicy,
) -> SessionSettings:
    return SessionSettings(
        instructions=prompts.system(about.profile, call.caller, about.today()),
        voice=settings.realtime_voice,
        tools=tuple(
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in tools.values()
        ),
        audio_format=settings.realtime_audio_format,
        transcription_model=TRANSCRIPTION_MODEL,
        languages=settings.languages,
        vad_threshold=settings.vad_threshold,
        silence_ms=settings.vad_silence_ms,
        prefix_padding_ms=policy.prefix_padding_ms,
        noise_reduction=settings.noise_reduction,
        create_response=settings.server_turns,
        vad_mode=settings.vad_mode,
        vad_eagerness=settings.vad_eagerness,
        reasoning_effort=reasoning_effort(settings),
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )
