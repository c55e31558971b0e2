"""ElevenLabs' messages, spelt and read; and a whole connection over a real port."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.adapters.elevenlabs import ElevenLabs, meaning
from relay.errors import DialError, VoiceError
from relay.ports import VoiceOver, VoiceSound
from relay.shell import sockets
from relay.sim.elevenlabs import BAD_KEY, NO_VOICE, QUOTA, Options, Provider, hum, listen

SOUND = base64.b64encode(b"\x01\x02").decode()


def voice(url: str = "wss://api.example.com", key: str = "xi", name: str = "rachel") -> ElevenLabs:
    return ElevenLabs(url, key, "eleven_flash_v2_5", name, sockets.dial)


def test_the_address_asks_for_telephone_sound_and_times() -> None:
    url = urlsplit(voice(name="a/b").address())
    assert url.path == "/v1/text-to-speech/a%2Fb/multi-stream-input"
    assert parse_qs(url.query) == {
        "model_id": ["eleven_flash_v2_5"],
        "output_format": ["ulaw_8000"],
        "inactivity_timeout": ["180"],
        "sync_alignment": ["true"],
        "auto_mode": ["true"],
    }


def test_an_item_is_a_context() -> None:
    theirs = voice()
    assert json.loads(theirs.begin("i")) == {"text": " ", "context_id": "i"}
    said = {"text": "Hello. ", "context_id": "i", "flush": True}
    assert json.loads(theirs.say("i", "Hello.")) == said
    assert json.loads(theirs.say("i", "Hello. ")) == said
    assert json.loads(theirs.end("i")) == {"context_id": "i", "close_context": True}


def test_sound_comes_with_the_end_of_each_letter() -> None:
    alignment = {"chars": ["H", "i"], "charStartTimesMs": [0, 40], "charDurationsMs": [40, 65]}
    message = {
        "audio": SOUND,
        "isFinal": None,
        "contextId": "i",
        "alignment": alignment,
        "normalizedAlignment": None,
        "something_new": 1,
    }
    read = voice().parse(json.dumps(message))
    assert read == VoiceSound("i", b"\x01\x02", (("H", 40), ("i", 105)))


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ({"audio": SOUND, "contextId": "i"}, VoiceSound("i", b"\x01\x02")),
        ({"audio": SOUND, "contextId": "i", "alignment": None}, VoiceSound("i", b"\x01\x02")),
        ({"audio": None, "isFinal": True, "contextId": "i"}, VoiceOver("i")),
        ({"is_final": True, "contextId": "i"}, VoiceOver("i")),
        ({"audio": "", "contextId": "i"}, None),
        ({"contextId": None, "isFinal": True}, None),
        ({"mood": "cheerful"}, None),
    ],
)
def test_what_else_they_say(message: dict[str, object], read: object) -> None:
    assert voice().parse(json.dumps(message)) == read


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (QUOTA, "quota"),
        (NO_VOICE, "voice"),
        (("voice_not_found", "?"), "voice"),
        (BAD_KEY, "key"),
        (("authentication_required", "?"), "key"),
        (("detected_unusual_activity", "Free Tier usage disabled."), "key"),
        (("input_timeout_exceeded", "Have not received a new text input."), "closed"),
        (("something_new", "No."), "refused"),
    ],
)
def test_a_refusal_says_why(error: tuple[str, str], why: str) -> None:
    code, message = error
    told = json.dumps({"error": code, "message": message, "code": 1008})
    with pytest.raises(VoiceError) as refused:
        voice().parse(told)
    assert (refused.value.why, refused.value.detail) == (why, f"{code} {message}")


@pytest.mark.parametrize(
    ("code", "reason", "why"),
    [
        (1006, "", "closed"),
        (1000, "", "closed"),
        (1011, "internal error", "closed"),
        (1008, "This request exceeds your quota of 10000.", "quota"),
        (1008, "A voice with voice_id x does not exist.", "voice"),
        (1008, "something went wrong", "refused"),
        (1009, "", "refused"),
        (1008, "Have not received a new text input within the timeout of 20 seconds.", "closed"),
    ],
)
def test_a_close_says_why(code: int, reason: str, why: str) -> None:
    assert voice().why(code, reason) == why
    assert meaning("") == "refused"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["audio", "isFinal", "contextId", "alignment", "error", "message"])


@given(st.dictionaries(FIELDS, JSON).map(json.dumps) | st.text() | st.binary())
def test_whatever_comes_is_read_or_refused(message: str | bytes) -> None:
    try:
        said, why = voice().parse(message), "broken"
    except VoiceError as refused:
        said, why = None, refused.why
    assert said is None or said.item_id or said.item_id == ""
    assert why in {"quota", "voice", "key", "refused", "closed", "broken"}


# ---- over a real port -----------------------------------------------------------------------


async def test_a_text_is_spoken_over_a_real_connection() -> None:
    provider = Provider(Options(first_s=0.0, pace=1000.0), key="xi")
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, provider)
        theirs = voice(f"ws://127.0.0.1:{port}")
        heard, letters = b"", ""
        with trio.fail_after(10):
            async with theirs.dial() as socket:
                for message in (theirs.begin("i"), theirs.say("i", "Hello. "), theirs.end("i")):
                    await socket.send(message)
                while not isinstance(said := theirs.parse(await socket.receive()), VoiceOver):
                    if said is not None:
                        heard += said.mulaw
                        letters += "".join(letter for letter, _ in said.letters)
        nursery.cancel_scope.cancel()
    assert heard == hum("Hello. ")
    assert letters == "Hello. "
    assert provider.violations == []


async def test_a_server_that_refuses_is_no_connection() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, Provider(refuse=403))
        with trio.fail_after(10), pytest.raises(DialError, match="403"):
            async with voice(f"ws://127.0.0.1:{port}").dial():
                pass
        nursery.cancel_scope.cancel()
