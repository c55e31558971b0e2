"""The walker itself: it must be able to say no."""

import json

import pytest

from tests.wire.strictness import client_event, extras, server_event

UPDATE = {"type": "session.update", "session": {"type": "realtime", "voice": "marin"}}
TYPO = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_ms": 500}}},
    },
}


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (UPDATE, "$.session.voice"),
        (TYPO, "$.session.audio.input.turn_detection.silence_ms"),
        ({"type": "response.create", "respnse": {}}, "$.respnse"),
    ],
)
def test_a_beta_name_or_a_typo_is_found_wherever_it_is(event, path):
    with pytest.raises(AssertionError, match="the API has no") as found:
        client_event(json.dumps(event))
    assert path in str(found.value)


def test_a_type_that_does_not_exist_is_no_event():
    with pytest.raises(AssertionError):
        client_event('{"type":"response.audio.delta","delta":""}')
    with pytest.raises(AssertionError):
        server_event('{"type":"response.cancelled"}')


def test_fields_that_the_server_is_known_to_add_pass():
    delta = {
        "type": "response.output_audio_transcript.delta",
        "event_id": "e",
        "response_id": "r",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hello",
    }
    assert list(extras(server_event(json.dumps(delta | {"obfuscation": "x7"})))) == []
    with pytest.raises(AssertionError, match="kept"):
        server_event(json.dumps(delta | {"output_index": "0"}))
