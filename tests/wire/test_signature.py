from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from relay.errors import Misuse
from relay.wire.signature import matches, sign

TOKEN = "12345"
FORM = (
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675310"),
    ("Digits", "1234"),
    ("From", "+14158675310"),
    ("To", "+18005551212"),
)
MY_COMPANY = "https://mycompany.com/myapp.php?foo=1&bar=2"
EXAMPLE = "https://example.com/myapp?foo=1&bar=2"
VOICE = "https://relay.example.com/twilio/voice"
STREAM = "wss://relay.example.com/twilio/stream"

VECTORS = [
    (MY_COMPANY, FORM, "sha1", "GvWf1cFY/Q7PnoempGyD5oXAezc="),
    (EXAMPLE, FORM, "sha1", "GPSRTlODYHi4+bX3Qs97BVmS45M="),
    (MY_COMPANY, FORM, "sha256", "/Px0ZZziCxf9Zt7wehmYS+fbCh+oLQi2VrfCqcV1vPM="),
    (VOICE, (("A", ""), ("B", "x")), "sha1", "R1215WfPgG1/gu4Eq89B4Qoteoc="),
    (STREAM, (), "sha1", "s/qHejFvv4PfsJmt3oOj0NTMW/A="),
    (f"{STREAM}/", (), "sha1", "PXs/hjiYzWZl3/VPCuvoJQBuQtQ="),
    ("wss://relay.example.com:443/twilio/stream", (), "sha1", "aYXJ/jW3XGSpF5kxikFjvGkqyq8="),
    ("https://relay.example.com/twilio/stream", (), "sha1", "UZyPnwtlk5KEbKZGFzFgsVYZHrE="),
]

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
# Few names, so that they repeat; blanks among both.
PARAMS = st.lists(st.tuples(st.sampled_from(["", "A", "a", "From", "é"]) | TEXT, TEXT), max_size=8)
# Any text that a str can hold, lone surrogates included, which st.text() alone leaves out.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
ODDITIES = st.sampled_from(["", "?", "?a=1", "?a=%20+&b", "/", "//x/", "/tö/💡", "/a:5/b?c=:80"])
URLS = st.builds(
    "{}://relay.example.com{}{}".format,
    st.sampled_from(["https", "http", "wss"]),
    st.sampled_from(["", ":443", ":80", ":8443"]),
    ODDITIES,
)


class Form(dict):
    """Repeated names as Twilio's own validator expects them from a web framework."""

    def __init__(self, params):
        super().__init__(params)
        self.params = params

    def getall(self, name):
        return [value for key, value in self.params if key == name]


@pytest.mark.parametrize(("url", "params", "algorithm", "signature"), VECTORS)
def test_vectors(url, params, algorithm, signature):
    assert sign(TOKEN, url, params, algorithm=algorithm) == signature
    assert sign(TOKEN, url, tuple(reversed(params)), algorithm=algorithm) == signature
    assert matches(TOKEN, url, params, signature, algorithm=algorithm)


@given(token=TEXT.filter(bool), url=URLS, params=PARAMS)
def test_twilios_own_validator_signs_alike(token, url, params):
    oracle = RequestValidator(token)
    assert sign(token, url, params) == oracle.compute_signature(url, Form(params))
    assert sign(token, url, params, algorithm="sha256") == oracle.compute_signature(
        url, Form(params), "HMAC_SHA256"
    )


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("path", ["", "/", "/x?a=1", "/x/?a=%20+&b", "/a:5/b?c=:80"])
def test_every_spelling_that_twilios_own_validator_accepts_is_accepted(scheme, path):
    hosts = [f"{scheme}://relay.example.com{port}" for port in ("", ":80", ":443", ":8443")]
    accepted = 0
    for signed in hosts:
        signature = sign(TOKEN, signed + path, FORM)
        for received in hosts:
            if RequestValidator(TOKEN).validate(received + path, dict(FORM), signature):
                assert matches(TOKEN, received + path, FORM, signature)
                accepted += 1
    assert accepted >= len(hosts) * 2  # itself and without a port, at the least


@given(params=PARAMS)
def test_a_form_that_came_over_http_still_matches(params):
    body = urlencode(params)
    received = parse_qsl(body, keep_blank_values=True)
    assert matches(TOKEN, VOICE, received, sign(TOKEN, VOICE, params))


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        (STREAM, f"{STREAM}/"),
        (f"{STREAM}/", STREAM),
        (STREAM, "wss://relay.example.com:443/twilio/stream"),
        (STREAM, "wss://relay.example.com:443/twilio/stream/"),
        ("wss://relay.example.com:443/twilio/stream", STREAM),
        ("https://relay.example.com:443/x?a=1", "https://relay.example.com/x?a=1"),
        ("http://relay.example.com/x", "http://relay.example.com:80/x"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]:443/x"),
        ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]/x"),
        ("https://relay.example.com:8443", "https://relay.example.com"),
    ],
)
def test_an_address_may_be_spelt_in_several_ways(url, signed):
    assert matches(TOKEN, url, (), sign(TOKEN, signed, ()))


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        (STREAM, "https://relay.example.com/twilio/stream"),
        (STREAM, "wss://relay.example.org/twilio/stream"),
        (STREAM, "wss://relay.example.com:444/twilio/stream"),
        (STREAM, "wss://relay.example.com/twilio/stream//"),
        (VOICE, f"{VOICE}/"),
        (VOICE, f"{VOICE}?a=1"),
        ("not a url", "wss://not a url"),
    ],
)
def test_another_address_is_another_address(url, signed):
    assert not matches(TOKEN, url, (), sign(TOKEN, signed, ()))


@given(params=PARAMS, extra=st.tuples(TEXT, TEXT))
def test_a_forged_form_does_not_match(params, extra):
    signature = sign(TOKEN, VOICE, params)
    if extra not in params and "".join(extra):
        assert not matches(TOKEN, VOICE, [*params, extra], signature)
    assert not matches("54321", VOICE, params, signature)
    assert not matches(TOKEN, VOICE, params, signature, algorithm="sha256")


@pytest.mark.parametrize("params", [(("A", ""), ("B", "x")), (("B", "x"), ("B", "y"))])
def test_nothing_may_be_dropped_from_a_form(params):
    signature = sign(TOKEN, VOICE, params)
    kept_blanks = [pair for pair in params if pair[1]][:1]
    assert not matches(TOKEN, VOICE, kept_blanks, signature)


@given(url=ANY_TEXT, params=st.lists(st.tuples(ANY_TEXT, ANY_TEXT)), signature=ANY_TEXT)
@example(url="https://a/\ud800", params=[("\udfff", "")], signature="\ud800")
def test_no_text_at_all_makes_it_fail(url, params, signature):
    assert matches(TOKEN, url, params, signature) is False


def test_an_empty_token_is_our_fault():
    with pytest.raises(Misuse):
        sign("", VOICE, FORM)
    with pytest.raises(Misuse):
        matches("", VOICE, FORM, "x")
