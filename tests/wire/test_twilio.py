import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.commands import ClearPhone, SendAudio
from relay.core.events import KeyPressed, MarkEchoed, PhoneStarted, PhoneStopped
from relay.errors import PhoneProtocolError
from relay.wire.twilio import Media, parse, render

SID = "MZ" + "0" * 32
CALL = "CA" + "1" * 32

START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC2",
        "streamSid": SID,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"call": "x", "от": "мир"},
    },
    "streamSid": SID,
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "3",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "//8="},
    "streamSid": SID,
}
MARK = {"event": "mark", "sequenceNumber": "4", "streamSid": SID, "mark": {"name": "1:item_x:200"}}
DTMF = {
    "event": "dtmf",
    "streamSid": SID,
    "sequenceNumber": "5",
    "dtmf": {"track": "inbound_track", "digit": "1"},
}
STOP = {
    "event": "stop",
    "sequenceNumber": "40",
    "streamSid": SID,
    "stop": {"accountSid": "AC2", "callSid": CALL},
}
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STARTED = PhoneStarted(SID, CALL, "AC2", {"call": "x", "от": "мир"})

# Each as Twilio documents it, the stream that has started by then, and what it means.
SAMPLES = [
    (CONNECTED, None, None),
    (START, None, STARTED),
    (START, SID, STARTED),
    (MEDIA, SID, Media(1, 5, "//8=")),
    (MARK, SID, MarkEchoed("1:item_x:200")),
    (DTMF, SID, KeyPressed("1")),
    (STOP, SID, PhoneStopped()),
]


def fault(event: object, stream_sid: str | None = SID) -> str:
    """Parse what must not parse. Returns the kind."""
    text = event if isinstance(event, str | bytes) else json.dumps(event)
    with pytest.raises(PhoneProtocolError) as caught:
        parse(text, stream_sid)
    return caught.value.kind


def patched(event: dict, path: str, value: object) -> dict:
    """A copy of event with the value at a dotted path replaced."""
    head, _, rest = path.partition(".")
    return event | {head: patched(event[head], rest, value) if rest else value}


def without(event: dict, path: str) -> dict:
    head, _, rest = path.partition(".")
    if rest:
        return event | {head: without(event[head], rest)}
    return {name: value for name, value in event.items() if name != head}


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "stream_sid", "meaning"), SAMPLES)
def test_every_documented_message_is_understood(event, stream_sid, meaning):
    assert parse(json.dumps(event), stream_sid) == meaning
    assert parse(json.dumps(event, ensure_ascii=False, indent=1), stream_sid) == meaning


@pytest.mark.parametrize(("event", "stream_sid", "meaning"), SAMPLES)
def test_fields_that_are_new_change_nothing(event, stream_sid, meaning):
    extra = {"new": [1, {"deep": None}], "sequence": 2**70, "ratio": 1e-9}
    grown = {
        name: value | extra if isinstance(value, dict) and name != "customParameters" else value
        for name, value in event.items()
    }
    assert parse(json.dumps(extra | grown), stream_sid) == meaning


@pytest.mark.parametrize("event", ["", "MEDIA", "media ", "ready", "💡"])
def test_unknown_events_mean_nothing(event):
    assert parse(json.dumps({"event": event, "streamSid": 7}), SID) is None


def test_numbers_may_be_numbers_or_strings():
    event = patched(patched(MEDIA, "media.chunk", 12), "media.timestamp", "240")
    assert parse(json.dumps(event), SID) == Media(12, 240, "//8=")


def test_a_payload_may_have_any_length_and_is_not_looked_into():
    for payload in ("", "A" * 40_000, "not base64!"):
        event = patched(MEDIA, "media.payload", payload)
        assert parse(json.dumps(event), SID) == Media(1, 5, payload)


def test_our_own_voice_is_not_the_callers():
    assert parse(json.dumps(patched(MEDIA, "media.track", "outbound")), SID) is None


@pytest.mark.parametrize("digit", "0123456789*#ABCDabcd")
def test_every_key_of_a_phone_is_a_key(digit):
    assert parse(json.dumps(patched(DTMF, "dtmf.digit", digit)), SID) == KeyPressed(digit.upper())


@pytest.mark.parametrize("digit", ["", "11", "E", "1\n", "\n", "\u00b9", "\u0661", 1, None])
def test_what_no_phone_has_is_no_key(digit):
    assert fault(patched(DTMF, "dtmf.digit", digit)) == "bad_shape"


def test_start_needs_neither_parameters_nor_a_format():
    event = without(without(START, "start.customParameters"), "start.mediaFormat")
    assert parse(json.dumps(event), None) == PhoneStarted(SID, CALL, "AC2", {})


# ---- refusing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [("encoding", "audio/x-alaw"), ("sampleRate", 16000), ("channels", 2), ("channels", "2")],
)
def test_other_audio_is_refused(path, value):
    assert fault(patched(START, f"start.mediaFormat.{path}", value), None) == "bad_format"


@pytest.mark.parametrize("event", [START, MEDIA, MARK, DTMF, STOP])
def test_another_streams_message_is_refused(event):
    assert fault(event, "MZ" + "f" * 32) == "wrong_stream"
    assert fault(patched(event, "streamSid", "MZother")) == "wrong_stream"


def test_a_start_that_names_two_streams_is_refused():
    assert fault(patched(START, "start.streamSid", "MZother"), None) == "wrong_stream"


@pytest.mark.parametrize("event", [MEDIA, MARK, DTMF, STOP])
def test_nothing_belongs_to_a_stream_before_it_starts(event):
    assert fault(event, None) == "before_start"


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (MEDIA, "media"),
        (MEDIA, "media.chunk"),
        (MEDIA, "media.timestamp"),
        (MEDIA, "media.payload"),
        (MEDIA, "streamSid"),
        (MEDIA, "event"),
        (MARK, "mark.name"),
        (MARK, "mark"),
        (DTMF, "dtmf"),
        (STOP, "streamSid"),
        (START, "start"),
        (START, "start.callSid"),
        (START, "start.streamSid"),
    ],
)
def test_what_an_event_must_have_it_must_have(event, path):
    assert fault(without(event, path)) == "bad_shape"
    assert fault(patched(event, path, None)) == "bad_shape"
    assert fault(patched(event, path, ["x"])) == "bad_shape"


@pytest.mark.parametrize("path", ["start.callSid", "start.streamSid"])
def test_a_start_names_its_call_and_stream(path):
    assert fault(patched(START, path, ""), None) == "bad_shape"


@pytest.mark.parametrize(
    "number", ["", "x", "-1", -1, 1.5, "1.5", True, 2**53, "9" * 5000, "\u0663"]
)
def test_a_count_is_a_small_whole_number(number):
    assert fault(patched(MEDIA, "media.chunk", number)) == "bad_shape"
    assert fault(patched(MEDIA, "media.timestamp", number)) == "bad_shape"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "binary"),
        (b'{"event":"connected"}', "binary"),
        ("", "bad_json"),
        ("{", "bad_json"),
        ('{"event":"media"', "bad_json"),
        ('{"event":"stop","x":NaN}', "bad_json"),
        ('{"event":"stop","x":"\ud800"}', "bad_json"),
        ('{"event":"stop","x":"\\ud800"}', "bad_json"),
        ('{"event":"stop"} {}', "bad_json"),
        ('\ufeff{"event":"stop"}', "bad_json"),
        ("[" * 100_000, "bad_shape"),
        ('{"event":"stop","x":' + '{"x":' * 100_000, "too_deep"),
        ("[]", "bad_shape"),
        ("null", "bad_shape"),
        ("5", "bad_shape"),
        ('"media"', "bad_shape"),
        ('{"event":5}', "bad_shape"),
    ],
)
def test_nonsense_is_counted_by_kind(frame, kind):
    assert fault(frame) == kind


def test_a_fault_says_where_and_never_what():
    secret = "+14155550100"
    with pytest.raises(PhoneProtocolError) as caught:
        parse(json.dumps(patched(START, "start.customParameters", {secret: [secret]})), None)
    assert "customParameters" in str(caught.value)
    assert secret not in str(caught.value)


# ---- writing --------------------------------------------------------------------------------


def test_what_we_send_has_exactly_twilios_keys():
    media, mark = render(SendAudio(b"\xff\x00\x7f", "1:item_x:200"), SID)
    assert json.loads(media) == {"event": "media", "streamSid": SID, "media": {"payload": "/wB/"}}
    assert json.loads(mark) == {"event": "mark", "streamSid": SID, "mark": {"name": "1:item_x:200"}}
    (clear,) = render(ClearPhone(), SID)
    assert json.loads(clear) == {"event": "clear", "streamSid": SID}


@given(mulaw=st.binary(max_size=2000), name=st.text(st.characters(codec="utf-8")))
def test_any_audio_and_any_name_arrive_whole(mulaw, name):
    media, mark = map(json.loads, render(SendAudio(mulaw, name), name))
    assert base64.b64decode(media["media"]["payload"], validate=True) == mulaw
    assert media["streamSid"] == name
    assert (mark["streamSid"], mark["mark"]) == (name, {"name": name})


@given(name=st.text(st.characters(codec="utf-8")))
def test_a_mark_comes_back_under_the_name_it_went_out_with(name):
    _, mark = render(SendAudio(b"", name), SID)
    echo = json.loads(mark) | {"sequenceNumber": "9"}
    assert parse(json.dumps(echo), SID) == MarkEchoed(name)
