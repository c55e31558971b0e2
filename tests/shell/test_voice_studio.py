"""Clips in a second voice: one connection, and whatever it could not say is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from relay.adapters.elevenlabs import ElevenLabs
from relay.audio import level_db
from relay.audio.frames import mulaw_ms
from relay.ports import Socket
from relay.shell.clip_sound import LEAD_MS, SPEECH_DB, TAIL_MS
from relay.shell.clip_studio import TAKE_S, Recorded
from relay.shell.voice_studio import record
from relay.sim.elevenlabs import MS_PER_LETTER, QUOTA, Options, Provider
from relay.sim.pair import memory_pair

TEXTS = ["Hello! How can I help you?", "One moment, please."]


async def recorded(provider: Provider) -> Recorded:
    async with trio.open_nursery() as nursery:

        @asynccontextmanager
        async def dial(url: str, _headers: Any) -> AsyncIterator[Socket]:
            ours, theirs = memory_pair()
            nursery.start_soon(partial(provider.serve, theirs, url[7:]))
            yield ours
            await ours.aclose()

        found = await record(ElevenLabs("wss://v", "xi", "flash", "rachel", dial), TEXTS)
        await trio.sleep(1)
    assert provider.violations == []
    assert provider.live == 0
    return found


async def test_each_text_becomes_a_clip_of_even_loudness(autojump_clock):
    provider = Provider()
    found = await recorded(provider)
    assert list(found.clips) == TEXTS
    assert (found.refused, found.broken, provider.connections) == ({}, "", 1)
    for text, mulaw in found.clips.items():
        whole_ms = MS_PER_LETTER * (len(text) + 1)
        assert mulaw_ms(len(mulaw)) == pytest.approx(whole_ms, abs=LEAD_MS + TAIL_MS)
        assert level_db(mulaw) == pytest.approx(SPEECH_DB, abs=1.5)


async def test_what_was_said_before_it_broke_is_kept(autojump_clock):
    found = await recorded(Provider(Options(error=QUOTA, after=1)))
    assert list(found.clips) == TEXTS[:1]
    assert found.broken.startswith("quota: quota_exceeded")


async def test_silence_is_no_clip(autojump_clock):
    found = await recorded(Provider(Options(speak=lambda text: b"\xff" * 80 * len(text))))
    assert found.clips == {}
    assert found.refused == dict.fromkeys(TEXTS, "")


async def test_one_that_says_nothing_is_not_waited_for_for_ever(autojump_clock):
    found = await recorded(Provider(Options(hang=True)))
    assert found.broken == f"a text was not said within {TAKE_S:g} s"
