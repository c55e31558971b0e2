import base64
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Misuse, PhoneProtocolError
from relay.wire.ticket import Ticket, issue, read

SECRET = "s3cret"
CALL = "CA" + "1" * 32
NOW = 1_800_000_000.25
TOKEN = issue(SECRET, CALL, 1_800_000_060, "n0nce")

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def fault(token: str, secret: str = SECRET, now: float = NOW) -> str:
    with pytest.raises(PhoneProtocolError) as caught:
        read(secret, token, now)
    return caught.value.kind


@given(secret=TEXT.filter(bool), call_sid=TEXT, nonce=TEXT, seconds=st.integers(1, 10**9))
def test_what_was_issued_can_be_read_and_stands_in_a_path(secret, call_sid, nonce, seconds):
    expires_at = int(NOW) + seconds
    token = issue(secret, call_sid, expires_at, nonce)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)
    assert read(secret, token, NOW) == Ticket(call_sid, nonce, expires_at)


def test_a_token_of_the_usual_size_is_short():
    assert len(issue(SECRET, CALL, 1_800_000_060, "f" * 32)) < 160


def test_a_token_is_good_until_it_expires():
    assert read(SECRET, TOKEN, 1_800_000_059.999).nonce == "n0nce"
    assert fault(TOKEN, now=1_800_000_060.0) == "stale_token"
    assert fault(TOKEN, now=float("inf")) == "stale_token"
    assert fault(TOKEN, now=float("nan")) == "stale_token"


def test_another_secrets_token_is_bad_and_not_stale():
    assert fault(TOKEN, secret="other") == "bad_token"
    assert fault(TOKEN, secret="other", now=2e9) == "bad_token"


@pytest.mark.parametrize("index", range(len(TOKEN)))
def test_no_character_can_be_changed(index):
    for other in ("A", "B", ".", "=", "é", "\ud800", ""):
        if other != TOKEN[index]:
            assert fault(TOKEN[:index] + other + TOKEN[index + 1 :]) == "bad_token"
    assert fault(TOKEN[:index]) == "bad_token"


@pytest.mark.parametrize("added", ["=", ".", "A", "\n", " ", "/", "?a=1"])
def test_nothing_can_be_added(added):
    assert fault(TOKEN + added) == "bad_token"
    assert fault(added + TOKEN) == "bad_token"


def test_parts_of_two_tokens_do_not_make_a_third():
    later = issue(SECRET, CALL, 1_900_000_000, "n0nce")
    body, _, _ = later.rpartition(".")
    _, _, mac = TOKEN.rpartition(".")
    assert fault(f"{body}.{mac}") == "bad_token"


@given(token=st.text(st.characters(exclude_categories=())))
def test_garbage_is_a_bad_token(token):
    assert fault(token) == "bad_token"


def test_a_token_is_what_another_release_would_read():
    body = f"{base64.urlsafe_b64encode(CALL.encode()).decode().rstrip('=')}.1800000060.bjBuY2U.new"
    digest = hmac.new(
        SECRET.encode(), b"relay stream ticket 2\n" + body.encode(), "sha256"
    ).digest()
    mac = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert f"{body}.{mac}" == TOKEN


def test_a_token_says_whether_the_call_had_a_stream_before():
    assert not read(SECRET, TOKEN, NOW).again
    assert read(SECRET, issue(SECRET, CALL, int(NOW) + 60, "n", again=True), NOW).again


def test_an_empty_secret_is_our_fault():
    with pytest.raises(Misuse):
        issue("", CALL, 1, "n")
    with pytest.raises(Misuse):
        read("", TOKEN, NOW)
