"""The simulated provider keeps to its API, and misbehaves when it is told to."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from relay.errors import SocketClosed
from relay.sim.elevenlabs import (
    BAD_KEY,
    MS_PER_LETTER,
    NO_VOICE,
    QUOTA,
    TOO_MANY,
    Options,
    Provider,
    hum,
    pieces,
)
from relay.sim.pair import memory_pair

PATH = "/v1/text-to-speech/rachel/multi-stream-input?model_id=m&output_format=ulaw_8000"
TEXT = "Nine to five. "


@asynccontextmanager
async def client(provider: Provider, path: str = PATH, key: str | None = None):
    ours, theirs = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(provider.serve, theirs, path, key=key))
        yield ours
        await ours.aclose()


async def say(socket, context: str, *texts: str, close: bool = True) -> None:
    await socket.send(json.dumps({"text": " ", "context_id": context}))
    for text in texts:
        await socket.send(json.dumps({"text": text, "context_id": context, "flush": True}))
    if close:
        await socket.send(json.dumps({"context_id": context, "close_context": True}))


async def hear(socket, finals: int = 1) -> list[dict]:
    messages = []
    while sum(bool(message.get("isFinal")) for message in messages) < finals:
        messages.append(json.loads(await socket.receive()))
    return messages


async def test_a_text_comes_as_telephone_sound_with_its_letters(autojump_clock):
    provider = Provider(Options(first_s=0.25))
    async with client(provider) as socket:
        began = trio.current_time()
        await say(socket, "a", TEXT)
        *sounds, final = await hear(socket)
    assert provider.first_at["a"] - began == pytest.approx(0.25)
    assert b"".join(base64.b64decode(each["audio"]) for each in sounds) == hum(TEXT)
    assert "".join("".join(each["alignment"]["chars"]) for each in sounds) == TEXT
    assert final == {"isFinal": True, "contextId": "a"}
    assert {each["contextId"] for each in sounds} == {"a"}
    assert (provider.characters, provider.said("a"), provider.violations) == (len(TEXT), TEXT, [])


def test_times_count_from_the_beginning_of_a_piece() -> None:
    at_ms, ends = 0, []
    for sound, alignment in pieces(TEXT, Options(piece_ms=(170,))):
        times = zip(alignment["charStartTimesMs"], alignment["charDurationsMs"], strict=True)
        ends += [at_ms + start + duration for start, duration in times]
        at_ms += len(sound) // 8
    assert ends == [MS_PER_LETTER * (n + 1) for n in range(len(TEXT))]


async def test_contexts_are_spoken_side_by_side(autojump_clock):
    async with client(Provider()) as socket:
        await say(socket, "a", TEXT, TEXT)
        await say(socket, "b", TEXT)
        told = await hear(socket, 2)
    assert [each["contextId"] for each in told if each.get("isFinal")] == ["b", "a"]


async def hear_all(socket, sounds: list[bytes]) -> None:
    while True:
        sounds.append(base64.b64decode(json.loads(await socket.receive())["audio"]))


async def refused(socket) -> str:
    told = json.loads(await socket.receive())
    with pytest.raises(SocketClosed) as gone:
        await socket.receive()
    assert gone.value.code == told["code"] == 1008
    return told["error"]


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        (Provider(Options(voices=frozenset({"adam"}))), NO_VOICE),
        (Provider(Options(error=QUOTA)), QUOTA),
        (Provider(key="right"), BAD_KEY),
    ],
)
async def test_a_refusal_is_a_message_and_a_close(autojump_clock, provider, error):
    async with client(provider, key="wrong") as socket:
        await say(socket, "a", TEXT)
        assert await refused(socket) == error[0]
    assert provider.texts == []


async def test_a_sixth_context_is_too_many(autojump_clock):
    async with client(Provider()) as socket:
        for name in "abcdef":
            await say(socket, name, close=False)
        assert await refused(socket) == TOO_MANY[0]


async def test_a_silent_client_is_closed(autojump_clock):
    async with client(Provider(Options(idle_s=20))) as socket:
        assert await refused(socket) == "input_timeout_exceeded"
        assert trio.current_time() == pytest.approx(20, abs=0.1)


async def test_it_dies_in_the_middle_of_a_text(autojump_clock):
    provider = Provider(Options(drop_after_ms=300))
    async with client(provider) as socket:
        await say(socket, "a", TEXT)
        sounds = []
        with pytest.raises(SocketClosed) as gone:
            await hear_all(socket, sounds)
        heard = len(b"".join(sounds)) // 8
    assert gone.value.code == 1006
    assert 300 <= heard < len(TEXT) * MS_PER_LETTER
    assert (provider.live, provider.open) == (0, 0)


@pytest.mark.parametrize("options", [Options(hang=True), Options(mute_after_ms=0)])
async def test_it_falls_silent(autojump_clock, options):
    async with client(Provider(options)) as socket:
        await say(socket, "a", TEXT)
        with trio.move_on_after(60) as silence:
            await socket.receive()
        assert silence.cancelled_caught


@pytest.mark.parametrize(
    "message",
    [
        {"text": "Hello. ", "context_id": "a", "flush": True},  # does not begin with a blank
        {"context_id": "a", "close_context": True},  # is not open
        {"text": " ", "contextId": "a"},  # spelt as the server does
        {"text": " "},
    ],
)
async def test_what_a_correct_client_never_does_is_noted(autojump_clock, message):
    provider = Provider()
    async with client(provider) as socket:
        await socket.send(json.dumps(message))
        await trio.sleep(1)
    assert len(provider.violations) >= 1


async def test_so_is_a_wrong_address(autojump_clock):
    provider = Provider()
    async with client(provider, PATH.replace("ulaw_8000", "mp3_44100_128") + "&mode=fast"):
        await trio.sleep(1)
    assert len(provider.violations) == 2
