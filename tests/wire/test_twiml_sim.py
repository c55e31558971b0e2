"""What the relay writes, read by the simulated Twilio: understood, and without a warning.

And both held to Twilio's own classes: all that is written, and all that the simulator understands.
"""

import inspect
from xml.etree.ElementTree import fromstring, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect as TwiliosConnect
from twilio.twiml.voice_response import Dial as TwiliosDial
from twilio.twiml.voice_response import Stream, VoiceResponse

from relay.sim import twilio_twiml
from relay.sim.twilio_twiml import read_twiml
from relay.sim.twilio_verbs import (
    Confer,
    Connect,
    Dial,
    Gather,
    Hangup,
    Record,
    Redirect,
    Reject,
    Say,
)
from relay.wire import twiml
from tests.wire.twiml_oracle import attributes, check_twiml, snake

HOST = "https://relay.example.com"

DOCUMENTS = {
    "stream": (
        twiml.connect_stream(
            stream_url="wss://relay.example.com/stream/t",
            action_url=f"{HOST}/after",
            status_callback_url=f"{HOST}/stream",
            fallback_url=f"{HOST}/fallback",
            parameters={"name": "value"},
        ),
        (Connect, Redirect),
    ),
    "dial": (
        twiml.dial(
            "+15125550199",
            action_url=f"{HOST}/dialled",
            screen_url=f"{HOST}/screen?call=1",
            caller_id="+14155550123",
            say="One moment.",
        ),
        (Say, Dial),
    ),
    "screen": (
        twiml.screen("A caller about a boiler.", key_url=f"{HOST}/key", times=2),
        (Gather, Gather, Hangup),
    ),
    "go on": (twiml.go_on(), ()),
    "room": (
        twiml.enter_room("xfer", action_url=f"{HOST}/left", events_url=f"{HOST}/room", say="Hi."),
        (Say, Confer),
    ),
    "voicemail": (
        twiml.voicemail(
            "Leave a message.", action_url=f"{HOST}/m", recording_url=f"{HOST}/rec", bye="Goodbye."
        ),
        (Say, Record, Say, Hangup),
    ),
    "words": (twiml.say_and_hang_up("Goodbye."), (Say, Hangup)),
    "elsewhere": (twiml.redirect(f"{HOST}/on"), (Redirect,)),
    "end": (twiml.hang_up(), (Hangup,)),
    "no": (twiml.reject("busy"), (Reject,)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_simulated_twilio_understands_it(name):
    text, verbs = DOCUMENTS[name]
    document = read_twiml(text)
    assert document.warnings == ()
    assert tuple(type(verb) for verb in document.verbs) == verbs


# ---- against Twilio's own classes -----------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
URLS = st.sampled_from([HOST, f"{HOST}/a", f"{HOST}/a?b=1&c='2'", f'{HOST}/"<>'])
NUMBERS = st.from_regex(r"\+[1-9][0-9]{1,14}", fullmatch=True)
# Every function of the module that writes a document, with all that it may be asked for.
WRITERS = {
    twiml.connect_stream: {
        "stream_url": st.just("wss://relay.example.com/stream/t.1-_"),
        "action_url": URLS,
        "status_callback_url": URLS,
        "fallback_url": URLS,
        "parameters": st.dictionaries(
            st.text("abc -é&<\"'", min_size=1, max_size=9), st.text("abc -é&<\"'"), max_size=3
        ),
    },
    twiml.dial: {
        "number": NUMBERS,
        "action_url": URLS,
        "screen_url": st.just("") | URLS,
        "caller_id": st.none() | NUMBERS | TEXT,
        "timeout_s": st.integers(5, 600),
        "say": TEXT,
    },
    twiml.screen: {"text": TEXT, "key_url": URLS, "times": st.integers(1, 3)},
    twiml.go_on: {},
    twiml.enter_room: {
        "room": st.just("talk-1f"),
        "action_url": st.just("") | URLS,
        "events_url": st.just("") | URLS,
        "say": TEXT,
    },
    twiml.voicemail: {"say": TEXT, "action_url": URLS, "recording_url": URLS, "bye": TEXT},
    twiml.say_and_hang_up: {"text": TEXT},
    twiml.redirect: {"url": URLS},
    twiml.hang_up: {},
    twiml.reject: {"reason": st.sampled_from(["busy", "rejected"])},
}


def test_every_writer_is_among_those_that_are_tried() -> None:
    public = {
        f
        for _, f in inspect.getmembers(twiml, inspect.isfunction)
        if f.__module__ == twiml.__name__
    }
    assert {f for f in public if not f.__name__.startswith("_")} == WRITERS.keys()
    for writer, arguments in WRITERS.items():
        assert inspect.signature(writer).parameters.keys() == arguments.keys()


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@given(data=st.data())
def test_every_document_is_one_of_twilios(writer, data) -> None:
    arguments = {name: data.draw(value) for name, value in WRITERS[writer].items()}
    document = writer(**arguments)
    check_twiml(document)
    assert read_twiml(document).warnings == ()


WRONG = ['method="PUT"', 'timeout="4"', 'timeout="601"', 'timeout="soon"']
WRONG_WORDS = [
    *(f"<Dial {each}><Number>+15125550199</Number></Dial>" for each in WRONG),
    '<Dial><Number statusCallback="/x" statusCallbackEvent="end">+15125550199</Number></Dial>',
    '<Dial><Conference statusCallback="/x" statusCallbackEvent="completed">a</Conference></Dial>',
    '<Dial><Conference beep="yes">a</Conference></Dial>',
    '<Dial><Conference jitterBufferSize="tiny">a</Conference></Dial>',
    '<Record recordingStatusCallback="/x" recordingStatusCallbackEvent="done"/>',
    '<Record trim="yes"/>',
    '<Reject reason="bored"/>',
    '<Redirect method="post">/x</Redirect>',
]


@pytest.mark.parametrize("inside", WRONG_WORDS)
def test_the_simulated_twilio_warns_of_words_that_nobody_knows(inside: str) -> None:
    """Twilio's classes take any value, so that only the simulator can tell."""
    assert read_twiml(f"<Response>{inside}</Response>").warnings != ()


@pytest.mark.parametrize(
    "inside",
    [
        '<Dial foo="1"/>',
        "<Gather numdigits='1'/>",
        "<Hangup>now</Hangup>",
        "<Connect><Number>1</Number></Connect>",
        "<Transfer/>",
        '<Connect><Stream url="wss://x" statusCallbackEvent="stop"/></Connect>',
    ],
)
def test_what_is_not_twilios_is_found(inside: str) -> None:
    with pytest.raises(AssertionError):
        check_twiml(f"<Response>{inside}</Response>")


def test_the_simulated_twilio_knows_no_attribute_that_the_real_one_does_not() -> None:
    parents = {"Stream": TwiliosConnect, "Parameter": Stream}
    parents |= dict.fromkeys(["Number", "Conference"], TwiliosDial)
    for tag, known in twilio_twiml._ATTRIBUTES.items():
        if tag != "Response":
            verb = getattr(parents.get(tag, VoiceResponse), snake(tag).lstrip("_"))
            assert {snake(name) for name in known} <= attributes(verb), tag


@given(document=st.sampled_from([text for text, _ in DOCUMENTS.values()]), data=st.data())
def test_a_misspelt_attribute_is_found_by_both(document: str, data: st.DataObject) -> None:
    """TwiML is case-sensitive: what Twilio's classes do not know, the simulator warns of."""
    root = fromstring(document.encode())  # noqa: S314 - our own document
    places = [(each, name) for each in root.iter() for name in each.attrib]
    if not places:
        return
    element, name = data.draw(st.sampled_from(places))
    wrong = data.draw(st.sampled_from([name.lower(), name.upper(), f"{name}s", snake(name)]))
    if wrong == name:
        return
    element.set(wrong, element.attrib.pop(name))
    text = tostring(root, encoding="unicode")
    assert read_twiml(text).warnings != ()
    with pytest.raises(AssertionError):
        check_twiml(text)
