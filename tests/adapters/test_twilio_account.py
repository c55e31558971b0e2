"""The account and its numbers, as the SDK asks for them, against a server in memory."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import pytest
import trio
import trio.testing

from relay.adapters.twilio_account import ASK_S, TwilioAccount
from relay.errors import PhoneControlError
from relay.ports import Account, NumberRoutes

SID, TOKEN, OURS = "AC" + "0" * 32, "12345", "+14155550100"
NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # the same moment
ENTRY = {
    "sid": "PN1",
    "phone_number": OURS,
    "voice_url": "https://relay.example.com/twilio/incoming",
    "voice_method": "POST",
    "voice_fallback_url": "https://handler.example.com/x",
    "voice_fallback_method": "GET",
    "status_callback": "",
    "status_callback_method": "POST",
    "voice_application_sid": "",
    "trunk_sid": None,
}


def account(
    answer: Callable[[httpx.Request], httpx.Response], clock: float = NOW
) -> tuple[TwilioAccount, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(request)

    transport = httpx.MockTransport(handle)
    return TwilioAccount(SID, TOKEN, transport=transport, wall_clock=lambda: clock), seen


def says(value: object, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, headers={"Date": DATE}, text=json.dumps(value))


async def test_the_account_is_read_with_its_own_credentials() -> None:
    twilio, seen = account(says({"status": "active", "type": "Trial"}))
    assert await twilio.account() == Account("active", "Trial")
    assert seen[0].url.path == f"/2010-04-01/Accounts/{SID}.json"
    assert seen[0].headers["authorization"].startswith("Basic ")
    await twilio.aclose()


async def test_a_number_is_found_with_whom_it_asks() -> None:
    twilio, seen = account(says({"incoming_phone_numbers": [ENTRY]}))
    number = await twilio.number(OURS)
    assert number is not None
    assert (number.sid, number.methods) == ("PN1", ("GET",))
    assert number.routes == NumberRoutes(ENTRY["voice_url"], ENTRY["voice_fallback_url"])
    assert seen[0].url.params["PhoneNumber"] == OURS


async def test_a_number_that_the_account_has_not_is_none() -> None:
    twilio, _ = account(says({"incoming_phone_numbers": []}))
    assert await twilio.number(OURS) is None


async def test_an_application_is_seen() -> None:
    entry = {**ENTRY, "trunk_sid": "TK1"}
    twilio, _ = account(says({"incoming_phone_numbers": [entry]}))
    number = await twilio.number(OURS)
    assert number is not None
    assert number.routes.application == "TK1"


async def test_routes_are_set_by_post_and_what_is_empty_stays() -> None:
    twilio, seen = account(says(ENTRY))
    await twilio.route("PN1", NumberRoutes("https://a.example", "", "https://c.example"))
    assert (seen[0].method, seen[0].url.path.rpartition("/")[2]) == ("POST", "PN1.json")
    assert parse_qs(seen[0].content.decode()) == {
        "VoiceUrl": ["https://a.example"],
        "VoiceMethod": ["POST"],
        "StatusCallback": ["https://c.example"],
        "StatusCallbackMethod": ["POST"],
    }


@pytest.mark.parametrize(("clock", "ahead_s"), [(NOW, 0.0), (NOW + 90, 90.0), (NOW - 7, -7.0)])
async def test_the_clocks_are_compared(clock: float, ahead_s: float) -> None:
    twilio, _ = account(says({"status": "active", "type": "Full"}), clock)
    assert twilio.clock_ahead_s is None
    await twilio.account()
    assert twilio.clock_ahead_s == ahead_s


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"code": 20003, "message": "Authenticate"}, "HTTP 401, Twilio error 20003"),
        (500, {}, "HTTP 500"),
    ],
)
async def test_a_refusal_is_one_error_of_ours(status: int, body: object, words: str) -> None:
    twilio, _ = account(says(body, status))
    with pytest.raises(PhoneControlError, match=words):
        await twilio.account()


async def test_no_connection_and_no_answer_are_errors_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    twilio, _ = account(away)
    with pytest.raises(PhoneControlError, match="no connection: ConnectError"):
        await twilio.account()

    expired = ssl.SSLCertVerificationError()
    expired.verify_message = "certificate has expired"

    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no TLS") from expired

    twilio, _ = account(refused)
    with pytest.raises(PhoneControlError, match="no connection: certificate has expired"):
        await twilio.account()

    async def never(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    silent = TwilioAccount(SID, TOKEN, transport=httpx.MockTransport(never))
    with pytest.raises(PhoneControlError, match=f"no answer within {ASK_S:g} s"):
        await silent.account()
