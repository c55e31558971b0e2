"""Our messages and the simulated service's, held to the types of the `elevenlabs` package.

Those types accept any extra field, so that a typo validates; the walk of tests/wire/strictness.py
names each. A JSON null stands for a field that is not there. The package has two sets of types for
this endpoint: one message with every field, and one type for each thing that is said. They disagree
in one name: the first has a client's context as `contextId`, the others, and what is told of the
service, as `context_id`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, get_args

import pytest
import trio
from elevenlabs.types.alignment import Alignment
from elevenlabs.types.audio_output_multi import AudioOutputMulti
from elevenlabs.types.close_context import CloseContext
from elevenlabs.types.close_socket import CloseSocket
from elevenlabs.types.final_output_multi import FinalOutputMulti
from elevenlabs.types.flush_context import FlushContext
from elevenlabs.types.initialize_connection_multi import InitializeConnectionMulti
from elevenlabs.types.send_text_multi import SendTextMulti
from elevenlabs.types.text_to_dialogue_websocket_error import TextToDialogueWebsocketError
from elevenlabs.types.tts_output_format import TtsOutputFormat
from elevenlabs.types.websocket_tts_client_message_multi import WebsocketTtsClientMessageMulti
from elevenlabs.types.websocket_tts_server_message_multi import WebsocketTtsServerMessageMulti
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from relay.adapters.elevenlabs import ElevenLabs
from relay.errors import VoiceError
from relay.ports import VoiceOver, VoiceSound
from relay.shell import sockets
from relay.sim import elevenlabs as sim
from relay.sim.elevenlabs import BAD_KEY, NO_VOICE, QUOTA, TOO_MANY, Options, Provider
from relay.sim.pair import MemorySocket, memory_pair
from tests.wire.strictness import extras

VOICE = ElevenLabs("wss://api.example.com", "xi", "eleven_flash_v2_5", "rachel", sockets.dial)
PATH = VOICE.address().removeprefix(VOICE.url)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TIMES = st.lists(st.tuples(st.characters(exclude_categories=["Cs"]), *[st.integers(0, 9999)] * 2))


def exactly(kind: type[BaseModel], message: str) -> BaseModel:
    """Read a message as a type. Raises when it is not one, or says what the type does not know."""
    told = {name: value for name, value in json.loads(message).items() if value is not None}
    read = kind.model_validate(told, strict=True)
    unknown = list(extras(read))
    assert not unknown, f"{kind.__name__} has no {unknown}"
    return read


def spelt(model: BaseModel) -> str:
    """A message as the package itself would write it."""
    return json.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True))


def wire_names(kind: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()}


def test_the_walk_sees_what_the_types_let_pass() -> None:
    exactly(SendTextMulti, '{"text":"Hi ","context_id":"a","flush":null}')
    for wrong in ('{"text":"Hi ","contextid":"a"}', '{"text":"Hi ","context_id":"a","flsh":true}'):
        with pytest.raises(AssertionError, match="SendTextMulti has no"):
            exactly(SendTextMulti, wrong)
    with pytest.raises(ValidationError):
        exactly(SendTextMulti, '{"text":7}')


# ---- what we send ---------------------------------------------------------------------------


@given(TEXTS, TEXTS)
def test_what_we_send_is_what_they_take(item: str, text: str) -> None:
    begun = exactly(InitializeConnectionMulti, VOICE.begin(item))
    assert begun == InitializeConnectionMulti(text=" ", context_id=item)
    said = VOICE.say(item, text)
    for kind in (SendTextMulti, FlushContext):
        read: Any = exactly(kind, said)
        assert (read.context_id, read.flush) == (item, True)
        assert read.text.startswith(text)
        assert read.text.endswith(" ")
    assert exactly(CloseContext, VOICE.end(item)) == CloseContext(
        context_id=item, close_context=True
    )


def test_we_ask_for_a_sound_that_they_make() -> None:
    formats = {word for member in get_args(TtsOutputFormat) for word in get_args(member)}
    assert "ulaw_8000" in formats
    assert "output_format=ulaw_8000" in VOICE.address()


# ---- what we read ---------------------------------------------------------------------------


@given(TEXTS, st.binary(min_size=1, max_size=64), TIMES)
def test_sound_as_they_spell_it_is_read_with_its_letters(
    item: str, mulaw: bytes, times: list[tuple[str, int, int]]
) -> None:
    alignment = Alignment(
        chars=[char for char, _, _ in times],
        char_start_times_ms=[start for _, start, _ in times],
        char_durations_ms=[lasts for _, _, lasts in times],
    )
    audio = base64.b64encode(mulaw).decode()
    letters = tuple((char, start + lasts) for char, start, lasts in times)
    for kind in (AudioOutputMulti, WebsocketTtsServerMessageMulti):
        message = spelt(kind(audio=audio, context_id=item, alignment=alignment))
        assert VOICE.parse(message) == VoiceSound(item, mulaw, letters)
        assert VOICE.parse(spelt(kind(audio=audio, context_id=item))) == VoiceSound(item, mulaw)


@pytest.mark.parametrize("kind", [FinalOutputMulti, WebsocketTtsServerMessageMulti])
def test_the_end_as_they_spell_it_is_read(kind: type[BaseModel]) -> None:
    assert VOICE.parse(spelt(kind(is_final=True, context_id="i"))) == VoiceOver("i")


def test_a_refusal_as_they_spell_it_is_read() -> None:
    """This endpoint's has no type; the dialogue's, which has one, says the same."""
    told = TextToDialogueWebsocketError(error="quota_exceeded", message="No more.", code=1008)
    with pytest.raises(VoiceError) as refused:
        VOICE.parse(spelt(told))
    assert (refused.value.why, refused.value.detail) == ("quota", "quota_exceeded No more.")


# ---- the simulated service ------------------------------------------------------------------


@asynccontextmanager
async def client(provider: Provider, key: str | None = None) -> AsyncIterator[MemorySocket]:
    ours, theirs = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(provider.serve, theirs, PATH, key=key))
        yield ours
        await ours.aclose()


async def test_the_service_speaks_as_they_do(autojump_clock: object) -> None:
    heard, letters = b"", ""
    async with client(Provider()) as socket:
        for message in (VOICE.begin("a"), VOICE.say("a", "Nine to five. "), VOICE.end("a")):
            await socket.send(message)
        while "audio" in json.loads(message := str(await socket.receive())):
            told = json.loads(message)
            assert told.pop("isFinal") is None
            sound: Any = exactly(AudioOutputMulti, json.dumps(told))
            heard += base64.b64decode(sound.audio, validate=True)
            times = (sound.alignment.char_start_times_ms, sound.alignment.char_durations_ms)
            assert {len(each) for each in times} == {len(sound.alignment.chars)}
            letters += "".join(sound.alignment.chars)
        assert exactly(FinalOutputMulti, message) == FinalOutputMulti(context_id="a")
    assert (heard, letters) == (sim.hum("Nine to five. "), "Nine to five. ")


@pytest.mark.parametrize("error", [QUOTA, NO_VOICE, BAD_KEY, TOO_MANY])
async def test_the_service_refuses_as_they_do(
    autojump_clock: object, error: tuple[str, str]
) -> None:
    voices = frozenset({"another"}) if error == NO_VOICE else None
    provider = Provider(Options(voices=voices, error=QUOTA), key="xi")
    async with client(provider, key="no" if error == BAD_KEY else "xi") as socket:
        for number in range(6 if error == TOO_MANY else 1):
            await socket.send(VOICE.begin(f"{number}"))
        await socket.send(VOICE.say("0", "Hello."))
        told: Any = exactly(TextToDialogueWebsocketError, str(await socket.receive()))
    assert (told.error, told.message, told.code) == (*error, sim.REFUSED)


async def test_the_service_knows_their_messages_and_no_other(autojump_clock: object) -> None:
    provider = Provider()
    async with client(provider) as socket:
        for model in (
            InitializeConnectionMulti(context_id="a"),
            FlushContext(context_id="a", text="Hello. ", flush=True),
            CloseContext(context_id="a", close_context=True),
        ):
            await socket.send(spelt(model))
        await trio.sleep(5)
        assert provider.violations == []
        await socket.send('{"text":" ","contextid":"a"}')
        await trio.sleep(1)
    assert len(provider.violations) > 0
    kinds = (InitializeConnectionMulti, SendTextMulti, FlushContext, CloseContext, CloseSocket)
    assert set().union(*map(wire_names, kinds)) >= sim._FIELDS
    assert wire_names(WebsocketTtsClientMessageMulti) | {"context_id"} >= sim._FIELDS
