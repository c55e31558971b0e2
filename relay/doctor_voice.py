"""Does the second voice speak? `relay doctor` has it say a word, which costs as much."""

from __future__ import annotations

from typing import Final

from relay.config import Settings
from relay.doctor import Finding, ok, warn
from relay.shell.voice_studio import record
from relay.wiring_voice import make_voice

WORD: Final = "Hello."

#: What mends it, by the word that a loss begins with.
_MEND: Final = {
    "quota": "ElevenLabs' subscription page: more characters, or wait for the month's",
    "voice": "ELEVENLABS_VOICE_ID must be a voice of this account's",
    "key": "ELEVENLABS_API_KEY is not valid: make a new one in ElevenLabs' settings",
    "refused": "ELEVENLABS_MODEL must be one that speaks over a WebSocket; eleven_v3 does not",
}
_ELSE: Final = "look at the network from this machine to ELEVENLABS_URL; callers hear the model's"


async def look_at_voice(settings: Settings) -> list[Finding]:
    """Have the voice say something, if one is to speak."""
    voice = make_voice(settings)
    if voice is None:
        return []
    said = await record(voice, [WORD])
    if said.clips:
        return [ok("voice", f"{voice.name} speaks by {voice.model}")]
    why = said.broken or "it is silent"
    mend = _MEND.get(why.partition(":")[0], _ELSE)
    return [warn("voice", f"{voice.name} does not speak: {why}", mend)]
