from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect, Dial, Stream, VoiceResponse

from relay.errors import Misuse
from relay.wire.twiml import connect_stream, dial, hang_up, reject, say_and_hang_up

BASE = "https://relay.example.com/twilio"
STREAM = "wss://relay.example.com/twilio/stream/tok.1-_"
HUMAN = "+15551230000"

# What XML 1.0 can hold; attribute white space is the parser's to normalise.
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"]), max_size=60
)


def connect(**changes) -> str:
    given = {
        "stream_url": STREAM,
        "action_url": f"{BASE}/after-stream",
        "status_callback_url": f"{BASE}/stream-status",
        "fallback_url": f"{BASE}/fallback",
        "parameters": {},
    }
    return connect_stream(**given | changes)


def read(document: str) -> Element:
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?><Response')
    return fromstring(document.encode())  # noqa: S314 - our own document


def same(document: str, oracle: VoiceResponse) -> bool:
    """Whether both say the same, whatever the order of attributes."""

    def shape(element: Element) -> tuple:
        return element.tag, element.attrib, element.text or "", [shape(sub) for sub in element]

    return shape(read(document)) == shape(read(str(oracle)))


# ---- connect --------------------------------------------------------------------------------


@given(parameters=st.dictionaries(XML_TEXT.filter(bool), XML_TEXT, max_size=4))
def test_connect_says_what_twilios_own_builder_says(parameters):
    oracle = VoiceResponse()
    verb = Connect(action=f"{BASE}/after-stream?a=1&b='2'")
    stream = Stream(url=STREAM, status_callback=f"{BASE}/stream-status")
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    verb.append(stream)
    oracle.append(verb)
    oracle.redirect(f"{BASE}/fallback")
    document = connect(action_url=f"{BASE}/after-stream?a=1&b='2'", parameters=parameters)
    assert same(document, oracle)


def test_the_next_step_is_written_behind_the_stream():
    assert [verb.tag for verb in read(connect())] == ["Connect", "Redirect"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ws://relay.example.com/x",
        "https://relay.example.com/x",
        "wss:///x",
        "wss://relay.example.com/x?token=1",
        "wss://relay.example.com/x?",
        "wss://relay.example.com/x#1",
        "wss://relay.example.com/x y",
        "wss://relay.example.com/\x00",
        "wss://[bad/x",
        "/twilio/stream",
    ],
)
def test_a_stream_is_wss_without_a_query(url):
    with pytest.raises(Misuse):
        connect(stream_url=url)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080"])
def test_a_simulated_stream_may_be_plain_on_this_machine(host):
    url = f"ws://{host}/twilio/stream/t"
    assert f'url="{url}"' in connect(stream_url=url)


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "a"])
def test_a_plain_stream_goes_nowhere_else(host):
    with pytest.raises(Misuse):
        connect(stream_url=f"ws://{host}/twilio/stream/t")


@pytest.mark.parametrize("name", ["action_url", "status_callback_url", "fallback_url"])
@pytest.mark.parametrize(
    "url", ["", "/twilio/x", "relay.example.com/x", "ftp://a/b", "https://", "https://a/\n"]
)
def test_every_other_url_is_absolute(name, url):
    with pytest.raises(Misuse):
        connect(**{name: url})


def test_a_parameter_has_a_name_and_stays_under_500_characters():
    assert read(connect(parameters={"n" * 9: "v" * 490})).find(".//Parameter") is not None
    for parameters in ({"n" * 10: "v" * 490}, {"": "v"}, {"n": "\x00"}, {"n": "\ud800"}):
        with pytest.raises(Misuse):
            connect(parameters=parameters)


# ---- dial -----------------------------------------------------------------------------------


@given(say=XML_TEXT)
def test_dial_says_what_twilios_own_builder_says(say):
    oracle = VoiceResponse()
    if say.strip():
        oracle.say(say)
    verb = Dial(action=f"{BASE}/dial-done", timeout=25, caller_id="+14155550100")
    verb.number(HUMAN)
    oracle.append(verb)
    document = dial(
        HUMAN,
        action_url=f"{BASE}/dial-done",
        caller_id="+14155550100",
        timeout_s=25,
        say=say,
    )
    assert same(document, oracle)


def test_dial_rings_20_seconds_and_says_nothing_by_itself():
    verbs = list(read(dial(HUMAN, action_url=f"{BASE}/dial-done")))
    assert [verb.tag for verb in verbs] == ["Dial"]
    assert verbs[0].attrib == {"action": f"{BASE}/dial-done", "timeout": "20"}


@pytest.mark.parametrize("caller_id", [None, "", "anonymous", "unknown", "client:ann", "5551230"])
def test_a_withheld_number_is_not_passed_on(caller_id):
    verb = read(dial(HUMAN, action_url=f"{BASE}/x", caller_id=caller_id)).find("Dial")
    assert verb is not None
    assert "callerId" not in verb.attrib


@pytest.mark.parametrize("number", ["", "5551230", "+0555", "+1 555", "+1555\n", "sip:a@b", "+1x"])
def test_only_a_telephone_number_is_dialled(number):
    with pytest.raises(Misuse):
        dial(number, action_url=f"{BASE}/x")


def test_dial_takes_what_twilio_takes():
    for timeout_s in (4, 601):
        with pytest.raises(Misuse):
            dial(HUMAN, action_url=f"{BASE}/x", timeout_s=timeout_s)
    with pytest.raises(Misuse):
        dial(HUMAN, action_url="/x")


# ---- the end --------------------------------------------------------------------------------


@given(text=XML_TEXT.filter(str.strip))
def test_last_words_are_as_twilios_own_builder_writes_them(text):
    oracle = VoiceResponse()
    oracle.say(text)
    oracle.hangup()
    assert same(say_and_hang_up(text), oracle)


@given(text=st.text(st.characters(exclude_categories=())))
@example(text="\ud800 \ufffe \x00")
def test_no_words_at_all_break_the_document(text):
    verbs = [verb.tag for verb in read(say_and_hang_up(text))]
    assert verbs[-1] == "Hangup"
    assert set(verbs[:-1]) <= {"Say"}


def test_words_are_never_markup():
    (say, _) = read(say_and_hang_up("</Say><Dial>+1900</Dial> & \x07 bye"))
    assert say.text == "</Say><Dial>+1900</Dial> &  bye"
    assert len(say) == 0


def test_hanging_up_needs_no_words():
    oracle = VoiceResponse()
    oracle.hangup()
    assert same(hang_up(), oracle)
    assert same(say_and_hang_up(" "), oracle)


@pytest.mark.parametrize("reason", ["busy", "rejected"])
def test_reject_is_the_first_verb(reason):
    oracle = VoiceResponse()
    oracle.reject(reason=reason)
    assert same(reject(reason), oracle)


def test_reject_knows_two_reasons():
    with pytest.raises(Misuse):
        reject("bored")
