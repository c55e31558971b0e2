"""A notice's words: bounded, visible, signed, and for the right eyes."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ports import Notice
from relay.shell import notices

NOTICE = Notice(
    "ab" * 16,
    "webhook",
    "CA1",
    "message",
    datetime(2026, 11, 26, 9, 40, tzinfo=UTC),
    "Please call back about the crown.",
    "+14155550123",
    1,
)


@pytest.mark.parametrize("kind", [*notices.HEADLINES, "of a later version"])
def test_who_is_told(kind: str) -> None:
    assert notices.channels(kind) == ()
    assert notices.channels(kind, webhook=True) == ("webhook",)
    everybody = notices.channels(kind, webhook=True, sms_owner=True, sms_caller=True)
    confirmed = kind in {"booked", "changed", "cancelled"}
    assert everybody == ("webhook", "sms_owner", *(["sms_caller"] if confirmed else []))


def test_what_is_posted() -> None:
    assert json.loads(notices.payload(NOTICE)) == {
        "id": "ab" * 16,
        "kind": "message",
        "call_sid": "CA1",
        "at": "2026-11-26T09:40:00.000+00:00",
        "caller": "+14155550123",
        "text": "Please call back about the crown.",
    }
    assert json.loads(notices.payload(replace(NOTICE, caller=None)))["caller"] == ""


def test_the_signature_is_over_time_and_body() -> None:
    headers = notices.signed(b'{"id":1}', "a-secret-of-ours", 1764150000)
    mac = hmac.new(b"a-secret-of-ours", b'1764150000.{"id":1}', hashlib.sha256).hexdigest()
    assert headers["Relay-Signature"] == f"t=1764150000,v1={mac}"
    assert headers["Content-Type"] == "application/json"


def test_the_owners_text_says_what_and_who() -> None:
    assert notices.to_owner(NOTICE) == "Message: Please call back about the crown. (+14155550123)"
    for caller in ("", None, "anonymous", "+1415; call me"):
        assert notices.to_owner(replace(NOTICE, caller=caller)).endswith("(number withheld)")
    long = notices.to_owner(replace(NOTICE, text="word " * 200))
    assert len(long) == notices.MAX_SMS
    assert long.endswith("… (+14155550123)")


@pytest.mark.parametrize("kind", notices.CONFIRMED)
def test_a_confirmation_says_from_whom(kind: str) -> None:
    text = notices.to_caller(replace(NOTICE, kind=kind, text="Cleaning, 10:00"), "Test Clinic")
    assert text == f"Test Clinic: {notices.CONFIRMED[kind]}. Cleaning, 10:00"


@pytest.mark.parametrize(
    "name",
    ["https://evil.example/x", "evil.example", "www.evil.example", "a@evil.example", "xn--e.рф"],
)
def test_a_confirmation_holds_no_link(name: str) -> None:
    text = notices.to_caller(replace(NOTICE, kind="booked", text=f"Cleaning for {name}"), "Clinic")
    assert "://" not in text
    assert "evil.example" not in text
    assert ".рф" not in text


def test_times_and_prices_stay_whole() -> None:
    text = notices.to_caller(replace(NOTICE, kind="booked", text="10.30, $9.50. Bye."), "Clinic")
    assert text.endswith("10.30, $9.50. Bye.")


@given(st.text(), st.integers(2, 50))
def test_a_plain_text_is_one_bounded_visible_line(text: str, most: int) -> None:
    line = notices.plain(text, most)
    assert len(line) <= most
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert line == " ".join(line.split())
    line.encode("utf-8")


@given(st.text(), st.text(max_size=30), st.text(), st.text(max_size=400))
def test_whatever_was_said_can_be_sent(text: str, kind: str, caller: str, business: str) -> None:
    notice = replace(NOTICE, text=text, kind=kind, caller=caller)
    assert json.loads(notices.payload(notice))["kind"] == kind
    assert len(notices.to_owner(notice)) <= notices.MAX_SMS
    assert len(notices.to_caller(replace(notice, kind="booked"), business)) <= notices.MAX_SMS
