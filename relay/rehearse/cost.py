"""What a rehearsal may cost, reckoned before it begins as if nothing were cached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relay.config import Settings
from relay.core.budget import (
    AGENT_TOKEN_MS,
    CALLER_TOKEN_MS,
    Prices,
    response_nano,
    to_micro,
    transcription_nano,
)
from relay.doctor import tokens_a_turn
from relay.prompts import Prompts
from relay.rehearse.scripts import Role

#: How long an utterance of either side is taken to be: longer than most are.
UTTERANCE_MS: Final = 6_000
#: What one response says in text beside its sound: its words, and a function's arguments.
TEXT_OUT: Final = 150
#: How much of that a second voice may have to say: six seconds at a quick pace.
VOICED_CHARS: Final = 120


def at_most(roles: Iterable[Role], prices: Prices, prompts: Prompts, settings: Settings) -> int:
    """Micro-USD, for the model, its recogniser and a second voice."""
    text = tokens_a_turn(prompts, settings)
    said, heard = UTTERANCE_MS // AGENT_TOKEN_MS, UTTERANCE_MS // CALLER_TOKEN_MS
    voiced = VOICED_CHARS if settings.voice_provider != "openai" else 0
    nano = 0
    for role in roles:
        for turn in range(role.responses):
            usage = {
                "input_text": text,
                "input_audio": (turn + 1) * heard + turn * said,
                "output_text": TEXT_OUT,
                "output_audio": said,
            }
            # A call that turns out hard is taken over by the larger model, if there is one.
            nano += max(response_nano(tariff, usage) for tariff in (prices.model, prices.hard))
            nano += voiced * prices.voice.characters
            nano += transcription_nano(prices.transcription, {"audio_ms": UTTERANCE_MS})
    return to_micro(nano)
