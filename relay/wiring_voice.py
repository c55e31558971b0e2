"""Settings to a second voice, if one is to speak."""

from __future__ import annotations

from relay.adapters.elevenlabs import ElevenLabs
from relay.config import Settings
from relay.ports import Voice
from relay.shell import sockets


def make_voice(settings: Settings) -> Voice | None:
    """The provider's voice that speaks; None: the model speaks for itself."""
    if settings.voice_provider != "elevenlabs":
        return None
    key, voice_id = settings.elevenlabs_api_key, settings.elevenlabs_voice_id
    return ElevenLabs(
        settings.elevenlabs_url.rstrip("/"),
        key.get_secret_value() if key else "",
        settings.elevenlabs_model,
        voice_id or "",
        sockets.dial,
    )
