"""Signatures of webhooks: Twilio's own code signs, any change of a byte is a 403 without a body."""

from string import printable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from relay.web.forms import Form
from tests.core.driver import TIMES
from tests.web.conftest import Office, make_office

FORM = {"CallSid": "CA1", "From": "+14155550123", "To": "+14155550100", "FromCity": ""}


async def answer(office: Office, target: str = "/twilio/fallback", **how: object) -> int:
    reply = await office.post_form(target, FORM, **how)
    if reply.status_code == 403:
        assert await reply.get_data(as_text=False) == b""
    return reply.status_code


async def test_a_signed_form_with_blanks_is_believed(office: Office) -> None:
    assert await answer(office) == 200


async def test_the_query_is_signed_too(office: Office) -> None:
    target = "/twilio/fallback?ErrorCode=11200&x=&u=%2Fa%20b"
    assert await answer(office, target) == 200
    assert await answer(office, target, signed=office.sign("/twilio/fallback", FORM)) == 403


async def test_unsigned_and_forged_requests_end_with_403_and_no_body(office: Office) -> None:
    for signed in ("", "x", "R1215WfPgG1/gu4Eq89B4Qoteoc=", "é"):
        assert await answer(office, signed=signed) == 403


async def test_every_page_is_behind_the_signature(office: Office) -> None:
    rules = [rule.rule for rule in office.app.url_map.iter_rules() if "twilio" in rule.rule]
    pages = [rule.replace("<attempt>", "unknown") for rule in rules]
    assert len(pages) == 16
    for page in pages:
        assert await answer(office, page, signed="x") == 403
        assert await answer(office, page) in {200, 204}


async def test_a_changed_body_is_refused(office: Office) -> None:
    body = "CallSid=CA1&From=%2B14155550123&To=%2B14155550100&FromCity="
    assert await answer(office, body=body) == 200
    for changed in (
        "",
        body.replace("FromCity=", ""),
        body + "&",
        body + "&x=1",
        body + "&x=",
        body.replace("123", "124"),
        body.replace("%2B", "+"),
        body + "\xe9",
        "x=1&" * 500,
    ):
        # A bare separator at the end adds no parameter: the form is the same.
        assert await answer(office, body=changed) == (200 if changed == body + "&" else 403)


async def test_repeated_names_are_signed_once_each_and_the_first_counts(office: Office) -> None:
    form = MultiDict([("CallSid", "CA1"), ("x", "b"), ("x", "a"), ("x", "b")])
    body = "CallSid=CA1&x=b&x=a&x=b"
    assert (await office.post_form("/twilio/fallback", form, body=body)).status_code == 200
    assert Form([("a", "1"), ("a", "2")])["a"] == "1"


@settings(max_examples=20 * TIMES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=40), max_size=8))
async def test_any_form_that_twilio_signs_is_believed(extra: dict[str, str]) -> None:
    office = make_office()
    clean = {
        name: value
        for name, value in {**extra, "CallSid": "CA1"}.items()
        if (name + value).isprintable()
    }
    assert (await office.post_form("/twilio/fallback", clean)).status_code == 200


async def test_a_form_without_a_call_is_a_400(office: Office) -> None:
    for form in ({"From": "+1"}, {"CallSid": ""}, {"CallSid": "C" * 65}):
        assert (await office.post_form("/twilio/fallback", form)).status_code == 400


async def test_a_body_beyond_64_kib_is_a_413(office: Office) -> None:
    form = {**FORM, "x": "y" * 70_000}
    assert (await office.post_form("/twilio/fallback", form)).status_code == 413


async def test_get_and_unknown_pages_say_no_more_than_their_status(office: Office) -> None:
    client = office.app.test_client()
    for page, status in (("/twilio/incoming", 405), ("/twilio/other", 404), ("/", 404)):
        reply = await client.get(page)
        assert (reply.status_code, await reply.get_data(as_text=False)) == (status, b"")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("+14155550123", "+14155550123"),
        ("+266696687", ""),
        ("anonymous", ""),
        ("client:ann", ""),
        ("sip:ann@example.com", ""),
        ("", ""),
        ("+1415555012345678", ""),
        (printable, ""),
    ],
)
def test_withheld_numbers_are_no_numbers(value: str, number: str) -> None:
    assert Form([("From", value)]).number("From") == number
