"""Settings that give a call its second voice, and those that exclude each other."""

from __future__ import annotations

import pytest

from relay.config import load
from relay.prices import load_prices
from relay.wiring import call_prices
from relay.wiring_clips import clip_voice
from relay.wiring_voice import make_voice
from tests.test_config import ENVIRON, fault

VOICE = {
    "VOICE_PROVIDER": "elevenlabs",
    "ELEVENLABS_API_KEY": "xi-secret",
    "ELEVENLABS_VOICE_ID": "rachel",
}


def test_the_model_speaks_for_itself_unless_told_otherwise() -> None:
    settings = load(ENVIRON)
    assert make_voice(settings) is None
    assert clip_voice(settings).model == settings.realtime_model


def test_a_voice_has_all_that_it_needs() -> None:
    settings = load({**ENVIRON, **VOICE, "ELEVENLABS_URL": "ws://127.0.0.1:9/"})
    voice = make_voice(settings)
    assert (voice.model, voice.name) == ("eleven_flash_v2_5", "rachel")
    assert voice.address().startswith("ws://127.0.0.1:9/v1/text-to-speech/rachel/")
    assert "xi-secret" not in repr(settings)
    assert "xi-secret" not in voice.address()


def test_clips_are_filed_under_who_speaks_them() -> None:
    voice = clip_voice(load({**ENVIRON, **VOICE}))
    assert (voice.model, voice.voice) == ("elevenlabs/eleven_flash_v2_5", "rachel")


@pytest.mark.parametrize("missing", ["ELEVENLABS_API_KEY", "ELEVENLABS_VOICE_ID"])
def test_without_key_or_voice_nothing_starts(missing: str) -> None:
    assert "needs ELEVENLABS_API_KEY and ELEVENLABS_VOICE_ID" in fault(**{**VOICE, missing: ""})


def test_the_server_cannot_answer_in_a_voice_that_is_not_its_own() -> None:
    assert "exclude each other" in fault(**VOICE, SERVER_TURNS="true")


@pytest.mark.parametrize("value", ["", "a/b", "a b"])
def test_a_voice_is_named_as_they_name_it(value: str) -> None:
    assert "ELEVENLABS_VOICE_ID" in fault(**{**VOICE, "ELEVENLABS_VOICE_ID": value})


def test_a_cap_needs_the_voices_price() -> None:
    settings = load({**ENVIRON, **VOICE})
    assert call_prices(settings, load_prices()).voice.characters == 50_000
    unknown = load({**ENVIRON, **VOICE, "ELEVENLABS_MODEL": "new", "MAX_CALL_USD": "1"})
    with pytest.raises(Exception, match="no price for new"):
        call_prices(unknown, load_prices())
    # Without the second voice its model is nobody's business.
    plain = load({**ENVIRON, "ELEVENLABS_MODEL": "new", "MAX_CALL_USD": "1"})
    assert call_prices(plain, load_prices()).voice.name == ""
