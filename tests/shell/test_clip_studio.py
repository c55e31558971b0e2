"""Clips, spoken by a simulated model that reads out, paraphrases, stammers and dies."""

from __future__ import annotations

import pytest
import trio

from relay.audio import level_db
from relay.audio.frames import mulaw_ms
from relay.shell.clip_sound import LEAD_MS, SPEECH_DB, TAIL_MS
from relay.shell.clip_studio import READY_S, TAKE_S, TRIES, Recorded, record, studio_settings
from relay.sim.brains import Reply, Scripted, failed, rate_limited, reply, say
from relay.sim.realtime import Options
from tests.readers import Models, paraphrase, read_out, reader

SETTINGS = studio_settings("marin", "pcm", "low", 4096)
TEXTS = ["Hello! How can I help you?", "One moment, please."]


async def recorded(models: Models, texts: list[str] | None = None) -> Recorded:
    found = await record(models.dial(), SETTINGS, TEXTS if texts is None else texts)
    assert [violation for each in models.sessions for violation in each.violations] == []
    return found


async def test_each_text_becomes_a_clip_of_even_loudness(autojump_clock: object) -> None:
    found = await recorded(Models())
    assert list(found.clips) == TEXTS
    assert (found.refused, found.broken) == ({}, "")
    for text, mulaw in found.clips.items():
        assert mulaw_ms(len(mulaw)) == pytest.approx(60 * len(text), abs=LEAD_MS + TAIL_MS)
        assert level_db(mulaw) == pytest.approx(SPEECH_DB, abs=1.5)


async def test_pcmu_is_recorded_alike(autojump_clock: object) -> None:
    settings = studio_settings("marin", "pcmu", "low", 4096)
    found = await record(Models().dial(), settings, TEXTS)
    assert list(found.clips) == TEXTS


async def test_the_session_listens_to_nobody_and_speaks_in_the_voice(
    autojump_clock: object,
) -> None:
    models = Models()
    await recorded(models)
    (session,) = models.sessions
    assert session.config["audio"]["input"]["turn_detection"] is None
    assert session.config["audio"]["output"]["voice"] == "marin"
    assert session.config["tools"] == []


async def test_no_take_is_remembered(autojump_clock: object) -> None:
    models = Models()
    await recorded(models)
    assert models.sessions[0].order == []


async def test_other_words_are_said_again(autojump_clock: object) -> None:
    models = Models(lambda: Scripted(paraphrase, paraphrase, otherwise=read_out))
    found = await recorded(models)
    assert list(found.clips) == TEXTS


async def test_a_text_that_is_never_said_is_given_back_with_what_was_said(
    autojump_clock: object,
) -> None:
    models = Models(lambda: Scripted(*[paraphrase] * TRIES, otherwise=read_out))
    found = await recorded(models)
    assert list(found.clips) == TEXTS[1:]
    assert found.refused == {TEXTS[0]: f"Sure! {TEXTS[0]}"}
    assert found.broken == ""


async def test_the_right_words_without_a_sound_are_no_clip(autojump_clock: object) -> None:
    silent = say(TEXTS[0], hz=0.0)
    found = await recorded(Models(lambda: Scripted(otherwise=reply(silent))), TEXTS[:1])
    assert found.clips == {}
    assert list(found.refused) == TEXTS[:1]


async def test_another_spelling_is_the_same_words(autojump_clock: object) -> None:
    spelt = reply(say("Call five five five zero one hundred"))
    found = await recorded(Models(lambda: Scripted(spelt)), ["Call 555-0-100!"])
    assert list(found.clips) == ["Call 555-0-100!"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (failed("server_error", "Oops."), "Oops."),
        (rate_limited(20), "try again in 20s"),
    ],
)
async def test_a_response_that_fails_ends_the_session_with_what_there_is(
    line: Reply, words: str, autojump_clock: object
) -> None:
    found = await recorded(Models(lambda: Scripted(read_out, line)))
    assert list(found.clips) == TEXTS[:1]
    assert words in found.broken


async def test_a_model_that_cannot_be_reached(autojump_clock: object) -> None:
    models = Models()
    models.away = "no answer within 3 s"
    assert await recorded(models) == Recorded(broken="no answer within 3 s")


async def test_a_model_that_closes_midway(autojump_clock: object) -> None:
    ends = Options(close_on=lambda event: 1011 if event["type"] == "response.done" else None)
    found = await recorded(Models(reader, ends))
    assert list(found.clips) == TEXTS[:1]
    assert found.broken


async def test_a_model_that_says_nothing_is_not_waited_for(autojump_clock: object) -> None:
    began = trio.current_time()
    found = await recorded(Models(reader, Options(hang=True)))
    assert "no session" in found.broken
    assert trio.current_time() - began < READY_S + 5
    stuck = Models(lambda: Scripted(Reply(stuck=True)))
    began = trio.current_time()
    assert "not said" in (await recorded(stuck)).broken
    assert trio.current_time() - began < TAKE_S + 5


async def test_a_model_that_does_not_stop_is_stopped(autojump_clock: object) -> None:
    endless = reply(say("Well", ms=300_000))
    found = await recorded(Models(lambda: Scripted(endless)))
    assert found.broken == "the model does not stop talking"
