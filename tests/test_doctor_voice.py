"""What `relay doctor` says of a second voice, by what the provider says."""

from __future__ import annotations

import pytest
import trio

from relay.config import load
from relay.doctor import Level
from relay.doctor_voice import look_at_voice
from relay.sim.elevenlabs import BAD_KEY, NO_VOICE, QUOTA, Options, Provider, listen
from tests.test_config import ENVIRON
from tests.test_wiring_voice import VOICE

QUICK = Options(first_s=0.0, pace=1000.0)


async def looked_at(provider: Provider):
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, provider)
        url = f"ws://127.0.0.1:{port}"
        with trio.fail_after(10):
            found = await look_at_voice(load({**ENVIRON, **VOICE, "ELEVENLABS_URL": url}))
        nursery.cancel_scope.cancel()
    (finding,) = found
    return finding


async def test_nobody_is_asked_who_is_not_to_speak() -> None:
    assert await look_at_voice(load(ENVIRON)) == []


async def test_a_voice_that_speaks_is_in_order() -> None:
    finding = await looked_at(Provider(QUICK))
    assert finding.level is Level.OK
    assert "rachel" in str(finding)


@pytest.mark.parametrize(
    ("provider", "mend"),
    [
        (Provider(Options(error=QUOTA)), "subscription"),
        (Provider(Options(error=NO_VOICE)), "ELEVENLABS_VOICE_ID"),
        (Provider(Options(error=BAD_KEY)), "ELEVENLABS_API_KEY"),
        (Provider(Options(error=("invalid_model", "No."))), "ELEVENLABS_MODEL"),
        (Provider(refuse=503), "ELEVENLABS_URL"),
        (Provider(Options(first_s=0.0, speak=lambda text: b"\xff" * 800)), "ELEVENLABS_URL"),
    ],
)
async def test_what_is_wrong_is_said_with_what_mends_it(provider: Provider, mend: str) -> None:
    finding = await looked_at(provider)
    assert finding.level is Level.WARN
    assert mend in str(finding)
