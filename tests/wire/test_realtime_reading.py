import json

import pytest

from relay.core import events as e
from relay.errors import ModelProtocolError
from relay.wire.realtime import AudioDelta, AudioDone, TextDelta, parse
from tests.wire.strictness import server_event

PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
SESSION = {"type": "realtime", "output_modalities": ["audio"], "tools": []}
ASR = "conversation.item.input_audio_transcription"
CALL = {
    "id": "item_f",
    "object": "realtime.item",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "lookup_hours",
    "arguments": '{"day":"monday"}',
}
MESSAGE = {
    "id": "item_1",
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Hello."}],
}
USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
FLAT = {
    "input_text": 119,
    "input_audio": 13,
    "cached_text": 64,
    "cached_audio": 0,
    "output_text": 30,
    "output_audio": 91,
}


def sent(kind: str, **fields: object) -> dict:
    return {"type": kind, "event_id": "event_1", **fields}


def response(**fields: object) -> dict:
    base = {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "completed",
        "status_details": None,
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "output": [MESSAGE, CALL],
        "usage": None,
        "metadata": None,
    }
    return base | fields


DELTA = sent("response.output_audio.delta", **PLACE, delta="AAA=")
STARTED = sent("input_audio_buffer.speech_started", audio_start_ms=1000, item_id="item_1")
STOPPED = sent("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id="item_1")
COMMITTED = sent("input_audio_buffer.committed", previous_item_id="item_0", item_id="item_1")
TRANSCRIBED = sent(
    f"{ASR}.completed",
    item_id="item_1",
    content_index=0,
    transcript="Hey.",
    usage={"type": "duration", "seconds": 2.4},
)
CREATED = sent("response.created", response=response(status="in_progress", output=[]))
ITEM_DONE = sent("response.output_item.done", response_id="resp_1", output_index=0, item=CALL)
DONE = sent("response.done", response=response(usage=USAGE))
ERROR = sent(
    "error",
    error={
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "no",
        "param": "session.audio",
        "event_id": "cfg-1",
    },
)

# Every event that we read, as the API spells it, and what it means.
SAMPLES = [
    (sent("session.created", session=SESSION), e.ModelOpened("")),
    (sent("session.updated", session=SESSION), e.ModelReady()),
    (STARTED, e.SpeechStarted("item_1", 1000)),
    (STOPPED, e.SpeechStopped("item_1", 2000)),
    (COMMITTED, e.InputCommitted("item_1", "item_0")),
    (COMMITTED | {"previous_item_id": None}, e.InputCommitted("item_1", None)),
    (TRANSCRIBED, e.CallerTranscribed("item_1", "Hey.", usage={"audio_ms": 2400})),
    (
        sent(
            f"{ASR}.failed",
            item_id="item_1",
            content_index=0,
            error={"type": "transcription_error", "code": "audio_unintelligible"},
        ),
        e.CallerTranscribed("item_1", "", failed=True),
    ),
    (CREATED, e.ResponseStarted("resp_1", "")),
    (
        sent("response.created", response=response(metadata={"purpose": "greeting", "x": "y"})),
        e.ResponseStarted("resp_1", "greeting"),
    ),
    (
        sent("response.created", response=response(metadata={"x": "y"})),
        e.ResponseStarted("resp_1", ""),
    ),
    (DELTA, AudioDelta("resp_1", "item_1", "AAA=")),
    (sent("response.output_audio.done", **PLACE), AudioDone("resp_1", "item_1")),
    (
        sent("response.output_text.delta", **PLACE, delta="Hel"),
        TextDelta("resp_1", "item_1", "Hel"),
    ),
    (
        sent("response.output_text.done", **PLACE, text="Hello."),
        e.AgentWrote("resp_1", "Hello.", "item_1"),
    ),
    (
        sent("response.output_audio_transcript.done", **PLACE, transcript="Hello."),
        e.AgentTranscribed("resp_1", "item_1", "Hello."),
    ),
    (
        ITEM_DONE,
        e.FunctionCalled("resp_1", "item_f", "call_1", "lookup_hours", '{"day":"monday"}'),
    ),
    (ITEM_DONE | {"item": CALL | {"status": "incomplete"}}, None),
    (ITEM_DONE | {"item": MESSAGE}, None),
    (DONE, e.ResponseEnded("resp_1", "completed", usage=FLAT)),
    (
        sent(
            "response.done",
            response=response(
                status="cancelled",
                status_details={"type": "cancelled", "reason": "turn_detected"},
                usage=USAGE,
            ),
        ),
        e.ResponseEnded("resp_1", "cancelled", "turn_detected", usage=FLAT),
    ),
    (
        sent(
            "response.done",
            response=response(
                status="incomplete",
                status_details={"type": "incomplete", "reason": "max_output_tokens"},
            ),
        ),
        e.ResponseEnded("resp_1", "incomplete", "max_output_tokens"),
    ),
    (
        sent(
            "response.done",
            response=response(
                status="failed",
                status_details={
                    "type": "failed",
                    "error": {
                        "type": "tokens",
                        "code": "rate_limit_exceeded",
                        "message": "Please try again in 6.232s.",
                    },
                },
            ),
        ),
        e.ResponseEnded(
            "resp_1", "failed", "", "rate_limit_exceeded", "Please try again in 6.232s."
        ),
    ),
    (ERROR, e.ModelErrored("invalid_value", "no", "cfg-1")),
]

# Events that tell us nothing that another does not; each is in the API.
IGNORED = [
    sent("conversation.created", conversation={"id": "conv_1", "object": "realtime.conversation"}),
    sent("conversation.item.added", previous_item_id=None, item=MESSAGE),
    sent("conversation.item.done", previous_item_id=None, item=CALL),
    sent("conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=5),
    sent("conversation.item.deleted", item_id="item_1"),
    sent("input_audio_buffer.cleared"),
    sent(f"{ASR}.delta", item_id="item_1", content_index=0, delta="He"),
    sent("response.output_item.added", response_id="resp_1", output_index=0, item=CALL),
    sent(
        "response.function_call_arguments.done",
        response_id="resp_1",
        item_id="item_f",
        output_index=0,
        call_id="call_1",
        name="lookup_hours",
        arguments='{"day":',
    ),
    sent("response.output_audio_transcript.delta", **PLACE, delta="Hel"),
    sent("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 5, "remaining": 4}]),
]


def fault(event: object) -> str:
    """Parse what must not parse. Returns the kind."""
    text = event if isinstance(event, str | bytes) else json.dumps(event)
    with pytest.raises(ModelProtocolError) as caught:
        parse(text)
    return caught.value.kind


def spellings(event: dict) -> list[str]:
    """The event as this server, another server, and a patient one would write it."""
    backwards = dict(reversed(event.items()))
    return [
        json.dumps(event, separators=(",", ":"), ensure_ascii=False),
        json.dumps(event),
        json.dumps(backwards, separators=(",", ":")),
    ]


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "meaning"), SAMPLES)
def test_every_event_we_read_is_understood_however_it_is_spelt(event, meaning):
    assert [parse(text) for text in spellings(event)] == [meaning] * 3


@pytest.mark.parametrize("event", IGNORED)
def test_the_others_mean_nothing(event):
    assert [parse(text) for text in spellings(event)] == [None] * 3


@pytest.mark.parametrize("event", [event for event, _ in SAMPLES] + IGNORED)
def test_the_samples_are_the_apis_own(event):
    server_event(json.dumps(event))


@pytest.mark.parametrize(("event", "meaning"), SAMPLES)
def test_fields_that_are_new_change_nothing(event, meaning):
    extra = {"obfuscation": "x", "phase": None, "new": [{"id": 5, "type": 7}], "n": 2**80}
    grown = {
        name: extra | value if isinstance(value, dict) and name != "metadata" else value
        for name, value in event.items()
    }
    assert [parse(text) for text in spellings(grown | extra)] == [meaning] * 3


@pytest.mark.parametrize(
    "kind",
    ["", "response.cancelled", "response.audio.delta", "RESPONSE.DONE", "response.new", "💡"],
)
def test_events_that_are_not_in_the_api_mean_nothing(kind):
    assert parse(json.dumps({"type": kind, "item": 5, "error": []})) is None


def test_session_ids_are_a_courtesy():
    # The server sends them; the types of the openai package do not know them.
    named = sent("session.created", session=SESSION | {"id": "sess_1", "expires_at": 1})
    assert parse(json.dumps(named)) == e.ModelOpened("sess_1")
    assert parse('{"type":"session.created"}') == e.ModelOpened("")
    assert parse('{"type":"session.created","session":null}') == e.ModelOpened("")
    assert parse('{"type":"session.created","session":{"id":null}}') == e.ModelOpened("")
    assert parse('{"type":"session.updated","session":5}') == e.ModelReady()


# ---- function calls -------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["in_progress", "incomplete", None, "", "done"])
def test_a_call_that_is_not_completed_is_no_call(status):
    assert parse(json.dumps(ITEM_DONE | {"item": CALL | {"status": status}})) is None


@pytest.mark.parametrize("kind", ["message", "mcp_call", "function_call_output", "of_2027"])
def test_other_items_are_no_calls(kind):
    item = CALL | {"type": kind, "output": {"x": 1}, "error": {"type": "http_error"}}
    assert parse(json.dumps(ITEM_DONE | {"item": item})) is None


@pytest.mark.parametrize("arguments", ["", "{", "null", '{"a":"\\u00e9"}'])
def test_arguments_are_handed_on_as_they_are(arguments):
    called = parse(json.dumps(ITEM_DONE | {"item": CALL | {"arguments": arguments}}))
    assert called == e.FunctionCalled("resp_1", "item_f", "call_1", "lookup_hours", arguments)


@pytest.mark.parametrize("missing", ["call_id", "name"])
@pytest.mark.parametrize("value", [None, "", 5])
def test_a_call_that_cannot_be_answered_is_refused(missing, value):
    assert fault(ITEM_DONE | {"item": CALL | {missing: value}}) == "bad_shape"


# ---- the end of a response ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "flat"),
    [
        ({"type": "duration", "seconds": 2.4}, {"audio_ms": 2400}),
        ({"type": "duration", "seconds": 3}, {"audio_ms": 3000}),
        (
            {
                "type": "tokens",
                "input_tokens": 26,
                "input_token_details": {"text_tokens": 2, "audio_tokens": 24},
                "output_tokens": 5,
                "total_tokens": 31,
            },
            {"input_text": 2, "input_audio": 24, "output_text": 5},
        ),
        (
            {"type": "tokens", "input_tokens": 24, "output_tokens": 5},
            {"input_text": 0, "input_audio": 24, "output_text": 5},
        ),
        ({"type": "duration", "seconds": -1}, {}),
        ({"type": "duration", "seconds": "long"}, {}),
        ({"type": "tokens"}, {}),
        ({"type": "of next year"}, {}),
        (None, {}),
        ([5], {}),
    ],
)
def test_words_are_read_whatever_their_bill_looks_like(usage, flat):
    heard = parse(json.dumps(TRANSCRIBED | {"usage": usage}))
    assert heard == e.CallerTranscribed("item_1", "Hey.", usage=flat)


@pytest.mark.parametrize("usage", [5, "x", [], {"input_token_details": 5}, {"a": [1]}, None])
def test_a_response_ends_even_if_its_bill_cannot_be_read(usage):
    ended = parse(json.dumps(sent("response.done", response=response(usage=usage))))
    assert isinstance(ended, e.ResponseEnded)
    assert not any(ended.usage.values())


@pytest.mark.parametrize("details", [5, "x", [], {"reason": 5}, {"error": "x"}, {}])
def test_a_response_ends_even_if_its_reason_cannot_be_read(details):
    event = sent("response.done", response=response(status="failed", status_details=details))
    assert parse(json.dumps(event)) == e.ResponseEnded("resp_1", "failed")


def test_a_response_ends_with_the_least_that_can_be_said():
    text = '{"type":"response.done","response":{"id":"r","status":"completed"}}'
    assert parse(text) == e.ResponseEnded("r", "completed")


@pytest.mark.parametrize(
    ("cached", "text", "audio"),
    [(0, 0, 0), (64, 64, 0), (119, 119, 0), (125, 119, 6), (132, 119, 13), (999, 119, 13)],
)
def test_cached_tokens_without_parts_are_text_first(cached, text, audio):
    inputs = {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": cached}
    usage = {"input_token_details": inputs, "output_token_details": None}
    ended = parse(json.dumps(sent("response.done", response=response(usage=usage))))
    assert isinstance(ended, e.ResponseEnded)
    assert (ended.usage["cached_text"], ended.usage["cached_audio"]) == (text, audio)
    assert ended.usage.get("cached_guessed", 0) == (cached is not None and cached > 0)


@pytest.mark.parametrize("code", [None, ""])
def test_a_fault_without_a_code_goes_by_its_type(code):
    error = {"type": "server_error", "code": code, "message": None, "event_id": None}
    assert parse(json.dumps(sent("error", error=error))) == e.ModelErrored("server_error", "", "")
    details = {"type": "failed", "error": error}
    ended = parse(json.dumps(sent("response.done", response=response(status_details=details))))
    assert isinstance(ended, e.ResponseEnded)
    assert ended.error_code == "server_error"


# ---- refusing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (DELTA, "delta"),
        (DELTA, "item_id"),
        (DELTA, "response_id"),
        (STARTED, "item_id"),
        (STARTED, "audio_start_ms"),
        (STOPPED, "audio_end_ms"),
        (COMMITTED, "item_id"),
        (TRANSCRIBED, "transcript"),
        (CREATED, "response"),
        (ITEM_DONE, "item"),
        (ITEM_DONE, "response_id"),
        (DONE, "response"),
        (ERROR, "error"),
        (DELTA, "type"),
    ],
)
def test_what_an_event_must_have_it_must_have(event, field):
    lacking = {name: value for name, value in event.items() if name != field}
    bads = [lacking, event | {field: None}, event | {field: ["x"]}]
    if field.endswith("_id"):
        bads.append(event | {field: ""})
    for bad in bads:
        for text in spellings(bad):
            assert fault(text) == "bad_shape"


@pytest.mark.parametrize("ms", [-1, 2**53, 10**400, 1.5, "5", True])
def test_a_clock_shows_a_small_whole_number(ms):
    assert fault(STARTED | {"audio_start_ms": ms}) == "bad_shape"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "binary"),
        (b'{"type":"session.updated"}', "binary"),
        ("", "bad_json"),
        ('{"type":"session.updated"', "bad_json"),
        ('{"type":"error","x":Infinity}', "bad_json"),
        ('{"type":"error","x":"\udfff"}', "bad_json"),
        ('{"type":"error","x":"\\udfff"}', "bad_json"),
        ('{"type":"response.output_audio.delta",', "bad_json"),
        ('{"type":"response.output_audio.delta","delta":"\ud800"}', "bad_json"),
        ('{"type":"response.output_audio.delta","x":' + "[" * 100_000, "too_deep"),
        ('{"type":"response.done","response":{"usage":' + '{"x":' * 100_000, "too_deep"),
        ("[]", "bad_shape"),
        ("null", "bad_shape"),
        ("{}", "bad_shape"),
        ('{"type":5}', "bad_shape"),
    ],
)
def test_nonsense_is_counted_by_kind(frame, kind):
    assert fault(frame) == kind


def test_a_fault_says_where_and_never_what():
    with pytest.raises(ModelProtocolError) as caught:
        parse(json.dumps(TRANSCRIBED | {"transcript": ["my number is 555"]}))
    assert "transcript" in str(caught.value)
    assert "555" not in str(caught.value)
