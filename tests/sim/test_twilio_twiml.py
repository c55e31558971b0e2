"""TwiML as the simulated cloud reads it."""

import pytest

from relay.sim.twilio_twiml import TwimlError, read_twiml
from relay.sim.twilio_verbs import (
    Callback,
    Callee,
    Confer,
    Connect,
    Dial,
    Gather,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
)

LONG = "x" * 499


def read(inside):
    return read_twiml(f'<?xml version="1.0" encoding="UTF-8"?><Response>{inside}</Response>')


def test_a_stream_with_everything():
    document = read(
        '<Connect action="/after" method="GET"><Stream url="wss://h/s/1" name="n" '
        'statusCallback="/st"><Parameter name="a" value="1 &amp; 2"/></Stream></Connect>'
        "<Redirect>https://h/fallback</Redirect>"
    )
    assert document.warnings == ()
    assert document.verbs == (
        Connect("wss://h/s/1", "/after", "GET", "n", "/st", "POST", {"a": "1 & 2"}),
        Redirect("https://h/fallback"),
    )


@pytest.mark.parametrize(
    ("inside", "verb"),
    [
        ("<Say voice='x'> Good <!-- no --> </Say>", Say("Good")),
        ("<Say loop='2'>a</Say>", Say("a", 2)),
        ("<Pause/>", Pause(1)),
        ("<Pause length='5'/>", Pause(5)),
        ("<Hangup/>", Hangup()),
        ("<Reject reason='busy'/>", Reject("busy")),
        ("<Dial>+1555</Dial>", Dial((Callee("+1555"),))),
        (
            "<Dial action='d' timeout='9' callerId='1'><Number>2</Number><Number>3</Number></Dial>",
            Dial((Callee("2"), Callee("3")), "d", "POST", 9, "1"),
        ),
        (
            (
                "<Dial><Number url='/w?x=1' statusCallback='/s' statusCallbackEvent='answered'>2"
                "</Number></Dial>"
            ),
            Dial((Callee("2", "/w?x=1", "POST", Callback("/s", "POST", ("answered",))),)),
        ),
        (
            "<Dial><Number statusCallback='/s'>2</Number></Dial>",
            Dial((Callee("2", status=Callback("/s", "POST", ("completed",))),)),
        ),
        (
            (
                "<Dial action='d'><Conference beep='false' waitUrl='' endConferenceOnExit='true' "
                "jitterBufferSize='small' statusCallback='/c' statusCallbackEvent='start end'>x"
                "</Conference></Dial>"
            ),
            Confer(
                "x",
                "d",
                beep="false",
                wait_url="",
                end_on_exit=True,
                jitter_buffer="small",
                status=Callback("/c", "POST", ("start", "end")),
            ),
        ),
        (
            "<Gather numDigits='1' timeout='8' action='k'><Say>Press</Say><Play>s</Play></Gather>",
            Gather((Say("Press"), Play("s")), "k", "POST", 8, 1),
        ),
        (
            (
                "<Record maxLength='90' action='r' playBeep='false' trim='do-not-trim' "
                "recordingStatusCallback='/rs'/>"
            ),
            Record(
                "r",
                max_length_s=90,
                beep=False,
                trim=False,
                status=Callback("/rs", "POST", ("completed",)),
            ),
        ),
    ],
)
def test_verbs(inside, verb):
    document = read(inside)
    assert document.verbs == (verb,)
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("inside", "verbs", "word"),
    [
        ("<hangup/>", 0, "<hangup>"),
        ("<gather/>", 0, "<gather>"),
        ("<Gather input='dtmf speech'/>", 1, "only dtmf"),
        ("<Gather><Dial>+1</Dial></Gather>", 1, "<Dial> in <Gather>"),
        ("<Record playBeep='no'/>", 1, "neither true nor false"),
        ("<Dial><Conference jitterBufferSize='tiny'>x</Conference></Dial>", 1, "tiny"),
        ("<Dial><Conference/></Dial>", 0, "one <Conference> with a name"),
        ("<Connect/>", 0, "exactly one <Stream>"),
        ("<Connect><Stream url='wss://h'/><Stream url='wss://h'/></Connect>", 0, "exactly one"),
        ("<Connect Action='/x'><Stream url='wss://h'/></Connect>", 1, "'Action'"),
        ("<Connect><Stream Url='wss://h'/></Connect>", 1, "'Url'"),
        ("<Connect><Stream url='wss://h' track='both_tracks'/></Connect>", 1, "both_tracks"),
        ("<Connect><Stream url='wss://h'><Parameter/></Stream></Connect>", 1, "<Parameter>"),
        (
            f"<Connect><Stream url='wss:'><Parameter name='a' value='{LONG}'/></Stream></Connect>",
            1,
            "500 characters",
        ),
        ("<Dial/>", 0, "nobody"),
        ("<Dial><Sip>sip:a@b</Sip></Dial>", 0, "<Sip>"),
        ("<Dial timeout='soon'>+1</Dial>", 1, "timeout='soon'"),
        ("<Pause length='-1'/>", 1, "length='-1'"),
    ],
)
def test_mistakes_are_warnings(inside, verbs, word):
    document = read(inside)
    assert len(document.verbs) == verbs
    assert any(word in warning for warning in document.warnings)


@pytest.mark.parametrize(
    "text", ["", "hello", "<Response>", "<Twiml/>", " <?xml version='1.0'?><Response/>"]
)
def test_what_is_no_twiml_is_12100(text):
    with pytest.raises(TwimlError) as caught:
        read_twiml(text)
    assert caught.value.code == 12100


def test_an_empty_response_is_a_document():
    assert read("").verbs == ()
