"""A notice's words: bounded, visible, signed, and for the right eyes."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ports import Appointment, Booked, Notice
from relay.shell import notices
from relay.tools import ToolPorts, book_appointment, cancel_appointment, change_appointment
from relay.tools.messages import MAX_TEXT as MAX_MESSAGE

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


@pytest.mark.parametrize(
    "kind", ["booked", "changed", "cancelled", "message", "failed", "of a later version"]
)
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
    assert notices.to_owner(NOTICE) == "Please call back about the crown. (+14155550123)"
    for caller in ("", None, "anonymous", "+1415; call me"):
        assert notices.to_owner(replace(NOTICE, caller=caller)).endswith(" (number withheld)")
    for text in ("Ann (+14155550123) booked: cleaning", "Ann (number withheld) booked: cleaning"):
        assert notices.to_owner(replace(NOTICE, text=text)) == text
    flagged = notices.to_owner(replace(NOTICE, kind="flagged"))
    assert flagged.startswith("Please look at this call. Please call back")


def test_the_owners_text_says_how_many_it_stands_for() -> None:
    failed = replace(NOTICE, kind="failed", text="A call could not be finished (model lost).")
    assert notices.to_owner(replace(failed, more=1)).endswith(
        "(+14155550123) And 1 more call since the last text."
    )
    crowd = notices.to_owner(replace(failed, more=12, text="x" * 5000))
    assert crowd.endswith("… (+14155550123) And 12 more calls since the last text.")
    assert len(crowd) == notices.MAX_TO_OWNER


def test_the_longest_message_reaches_the_owner_in_full() -> None:
    text = f"Ann Lee (+14155550123) left a message: {'x' * MAX_MESSAGE}; call back: +14155550123"
    assert notices.to_owner(replace(NOTICE, text=text)) == text
    endless = notices.to_owner(replace(NOTICE, text="word " * 400))
    assert len(endless) == notices.MAX_TO_OWNER
    assert endless.endswith("… (+14155550123)")


NOBODY: Any = None  # these lines are made from memory: nobody is asked
PORTS = ToolPorts(NOBODY, "+14155550123", "CA1", "key-1", NOBODY)
TEN = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
WHEN = "Tuesday 2026-11-24 10:00, no. 7"
OURS = Appointment("7", "cleaning", TEN, "Ann")


@pytest.mark.parametrize(
    ("kind", "line", "details"),
    [
        (
            "booked",
            book_appointment._notice(Booked("7", "cleaning", TEN), "Ann", PORTS),
            f"cleaning, {WHEN}",
        ),
        ("changed", change_appointment._notice(OURS, PORTS), f"cleaning, now {WHEN}"),
        ("cancelled", cancel_appointment._notice(OURS, PORTS), f"cleaning, {WHEN}"),
    ],
)
def test_a_confirmation_says_what_the_business_says(kind: str, line: str, details: str) -> None:
    """From the line that the function itself writes for the owner."""
    text = notices.to_caller(replace(NOTICE, kind=kind, text=line), "Test Clinic")
    assert text == f"Test Clinic: {notices.CONFIRMED[kind]}. {details}"


@given(st.text(max_size=80))
def test_a_confirmation_holds_nothing_that_the_caller_said(name: str) -> None:
    line = book_appointment._notice(Booked("7", "cleaning", TEN), name, PORTS)
    assert notices.to_caller(replace(NOTICE, kind="booked", text=line), "Clinic") == (
        notices.to_caller(
            replace(NOTICE, kind="booked", text=f"x booked: cleaning, {WHEN}"), "Clinic"
        )
    )


def test_a_line_of_another_shape_confirms_the_bare_fact() -> None:
    text = notices.to_caller(replace(NOTICE, kind="booked", text="call evil.example"), "Clinic")
    assert text == "Clinic: Your appointment is booked."


@pytest.mark.parametrize("link", ["https://x.example/a", "x.example", "a@x.example", "a.рф"])
def test_a_confirmation_holds_no_link(link: str) -> None:
    line = f"Ann booked: cleaning {link}, 10.30, $9.50."
    text = notices.to_caller(replace(NOTICE, kind="booked", text=line), "Clinic")
    assert "://" not in text
    assert "x.example" not in text
    assert ".рф" not in text
    assert text.endswith("10.30, $9.50.")


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
    assert len(notices.to_owner(notice)) <= notices.MAX_TO_OWNER
    confirmation = notices.to_caller(replace(notice, kind="booked"), business)
    assert len(confirmation) <= notices.MAX_TO_CALLER
