"""The caller's audio in a session: turns, commits, transcripts."""

from __future__ import annotations

import pytest
import trio

from relay.sim.brains import Scripted, Turn, reply, say
from relay.sim.realtime import Options
from relay.sim.vad import Started, Stopped, TurnDetector, VadSettings
from relay.sim.voice import MODEL_HZ, PHONE_HZ, from_mulaw, resample, speak, to_mulaw, tone
from tests.sim.realtime_client import Client, connected

TRANSCRIBE = {"transcription": {"model": "gpt-transcribe"}}
BY_HAND = {"turn_detection": None}
QUIETLY = {
    "turn_detection": {
        "type": "server_vad",
        "silence_duration_ms": 300,
        "prefix_padding_ms": 100,
        "create_response": False,
        "interrupt_response": False,
    }
}
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
DELTA = "conversation.item.input_audio_transcription.delta"


async def started(client: Client, **audio_input: object) -> None:
    await client.wait("session.created")
    await client.configure(audio={"input": audio_input})


# ---- turns ------------------------------------------------------------------------------------


async def test_a_turn_is_found_in_the_audio_and_becomes_an_item(autojump_clock: object) -> None:
    brain = Scripted()
    async with connected(brain) as client:
        await started(client, **QUIETLY)
        await client.play(b"\0" * 48 * 1000 + tone(600) + b"\0" * 48 * 500)
        done = await client.wait("conversation.item.done")
        assert client.kinds[2:] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        start, stop, committed = (event for _, event in client.got[2:5])
        assert start["audio_start_ms"] == 1000 - 100
        assert 1600 + 300 <= stop["audio_end_ms"] <= 1600 + 300 + 140
        ids = {start["item_id"], stop["item_id"], committed["item_id"], done["item"]["id"]}
        assert len(ids) == 1
        (turn,) = brain.turns
        assert turn.ms == stop["audio_end_ms"] - start["audio_start_ms"]
        assert len(turn.pcm) == turn.ms * 16


async def test_turns_form_a_chain(autojump_clock: object) -> None:
    async with connected(Scripted(otherwise=reply(say("Yes.", ms=100)))) as client:
        await started(client)
        for _ in range(3):
            await client.say()
        await client.wait("response.done", 3)
        order = [item.id for item in client.session.conversation]
        assert [item.role for item in client.session.conversation] == ["user", "assistant"] * 3
        committed = client.of("input_audio_buffer.committed")
        assert [event["previous_item_id"] for event in committed] == [None, order[1], order[3]]


@pytest.mark.parametrize("frame", [960, 1, 331, 9999])
def test_the_detector_does_not_mind_how_audio_is_cut(frame: int) -> None:
    silence = b"\0" * 16_000
    pcm = silence + from_mulaw(speak("Can I speak to a human?")) + silence
    whole = list(TurnDetector(VadSettings()).feed(pcm))
    detector = TurnDetector(VadSettings())
    cut = [e for at in range(0, len(pcm), frame) for e in detector.feed(pcm[at : at + frame])]
    assert cut == whole
    assert [type(event) for event in whole] == [Started, Stopped]


def test_a_higher_threshold_needs_a_louder_voice() -> None:
    quiet = tone(500, rate=PHONE_HZ, level_db=-42) + b"\0" * 16_000
    for judge in ("webrtc", "level"):
        assert list(TurnDetector(VadSettings(0.3), judge=judge).feed(quiet)), judge
        assert not list(TurnDetector(VadSettings(0.8), judge=judge).feed(quiet)), judge


def test_padding_never_reaches_into_the_turn_before() -> None:
    detector = TurnDetector(VadSettings(0.5, 2000, 200), judge="level")
    turn = tone(300, rate=PHONE_HZ) + b"\0" * 16 * 400
    events = list(detector.feed(turn + turn))
    first, second = (event for event in events if isinstance(event, Stopped))
    assert first.start_ms == 0
    assert second.start_ms == first.end_ms


def test_a_click_is_no_speech() -> None:
    click = tone(30, rate=PHONE_HZ) + b"\0" * 16 * 1000
    assert not list(TurnDetector(VadSettings(), judge="level").feed(click))


async def test_mu_law_is_heard_when_configured(autojump_clock: object) -> None:
    brain = Scripted()
    async with connected(brain) as client:
        await started(client, format={"type": "audio/pcmu"}, **QUIETLY)
        mulaw = to_mulaw(resample(tone(600), MODEL_HZ, PHONE_HZ)) + b"\xff" * 4000
        await client.play(mulaw, frame=160)
        await client.wait("conversation.item.done")
        assert client.session.appended_ms == len(mulaw) / 8
        assert brain.turns[0].ms == pytest.approx(600 + 300, abs=160)


async def test_bad_audio_is_answered_with_an_error(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client)
        await client.send("input_audio_buffer.append", audio="####", event_id="a1")
        error = (await client.wait("error"))["error"]
        assert (error["param"], error["event_id"]) == ("audio", "a1")
        await client.send("input_audio_buffer.append", audio=7)
        await client.send("input_audio_buffer.append", audio="", extra=True)
        await client.wait("error", 3)
        assert client.session.appended_ms == 0


async def test_one_append_holds_no_more_than_15_mib(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client, **BY_HAND)
        await client.append(bytes(15 * 1024 * 1024 + 2))
        assert (await client.wait("error"))["error"]["param"] == "audio"
        assert client.session.appended_ms == 0


# ---- by hand ----------------------------------------------------------------------------------


async def test_without_detection_the_client_commits(autojump_clock: object) -> None:
    brain = Scripted()
    async with connected(brain) as client:
        await started(client, **BY_HAND)
        await client.send("input_audio_buffer.commit")
        error = (await client.wait("error"))["error"]
        assert error["code"] == "input_audio_buffer_commit_empty"
        await client.say(500, quiet_ms=800)
        await client.send("input_audio_buffer.commit")
        await client.wait("conversation.item.done")
        assert "input_audio_buffer.speech_started" not in client.kinds
        assert "response.created" not in client.kinds
        assert brain.turns[0].ms == 1300
        await client.say(500)
        await client.send("input_audio_buffer.clear")
        await client.wait("input_audio_buffer.cleared")
        await client.send("input_audio_buffer.commit")
        await client.wait("error", 2)


async def test_what_is_committed_in_the_middle_of_a_turn_goes_on_as_another_item(
    autojump_clock: object,
) -> None:
    brain = Scripted()
    async with connected(brain) as client:
        await started(client, **QUIETLY)
        await client.play(tone(1000))
        await client.send("input_audio_buffer.commit")
        await client.play(tone(500) + b"\0" * 48 * 500)
        await client.wait("conversation.item.done", 2)
        first, second = (each["item_id"] for each in client.of("input_audio_buffer.committed"))
        (start,) = client.of("input_audio_buffer.speech_started")
        (stop,) = client.of("input_audio_buffer.speech_stopped")
        assert (start["item_id"], stop["item_id"]) == (first, second)
        assert first != second
        assert [turn.ms for turn in brain.turns] == [1000, stop["audio_end_ms"] - 1000]


# ---- what a turn sets off ---------------------------------------------------------------------


async def test_the_server_answers_and_is_interrupted_when_told_to(autojump_clock: object) -> None:
    long = reply(say("A very long story.", ms=20_000))
    async with connected(Scripted(long, long), Options(pace=2)) as client:
        await started(client)
        await client.say()
        await client.wait("response.output_audio.delta")
        await client.say()
        done = (await client.wait("response.done"))["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        await client.wait("response.created", 2)


async def test_the_server_waits_to_be_asked_when_told_to(autojump_clock: object) -> None:
    long = reply(say("A very long story.", ms=20_000))
    async with connected(Scripted(long)) as client:
        await started(client, **QUIETLY)
        await client.say()
        await trio.sleep(5)
        assert client.of("response.created") == []
        await client.send("response.create")
        await client.wait("response.output_audio.delta")
        await client.say()
        assert (await client.wait("response.done"))["response"]["status"] == "completed"


async def test_an_answer_waits_until_the_turn_was_heard(autojump_clock: object) -> None:
    class Slow(Scripted):
        async def hear(self, turn: Turn) -> str | None:
            await trio.sleep(2)
            return await super().hear(turn)

    brain = Slow(lambda request: reply(say(request.conversation[-1].text)), heard=["my words"])
    async with connected(brain) as client:
        await started(client)
        await client.say()
        done = (await client.wait("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == "my words"


# ---- transcripts ------------------------------------------------------------------------------


async def test_transcripts_can_overtake_each_other(autojump_clock: object) -> None:
    brain = Scripted(heard=["first turn", "second turn"])
    async with connected(brain, Options(transcript_s=(9.0, 0.1))) as client:
        await started(client, **TRANSCRIBE, **QUIETLY)
        await client.say()
        await client.say()
        await client.wait(COMPLETED, 2)
        assert [e["transcript"] for e in client.of(COMPLETED)] == ["second turn", "first turn"]
        order = [item.id for item in client.session.conversation]
        assert [e["item_id"] for e in client.of(COMPLETED)] == order[::-1]
        assert "".join(e["delta"] for e in client.of(DELTA)) == "second turn first turn "
        usage = client.of(COMPLETED)[0]["usage"]
        assert usage["input_tokens"] == -(-client.session.conversation[1].audio_ms // 100)


async def test_a_failed_transcript_is_no_error(autojump_clock: object) -> None:
    async with connected(Scripted(heard=[None, ""])) as client:
        await started(client, **TRANSCRIBE, **QUIETLY)
        await client.say()
        assert (await client.wait(FAILED))["error"]["code"] == "audio_unintelligible"
        await client.say()
        assert (await client.wait(COMPLETED))["transcript"] == ""
        assert client.of("error") == []


async def test_no_transcripts_unless_asked_for(autojump_clock: object) -> None:
    async with connected(Scripted(heard=["words"])) as client:
        await started(client, **QUIETLY)
        await client.say()
        await trio.sleep(5)
        assert client.session.conversation[0].said == "words"
        assert not [kind for kind in client.kinds if "transcription" in kind]
