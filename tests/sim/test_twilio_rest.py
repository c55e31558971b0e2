"""Twilio's REST API, simulated: routes, refusals, latency and faults, under a jumping clock; and
driven by the real `twilio` package, in memory and over a real port."""

import httpx
import pytest
import trio
from twilio.base.exceptions import TwilioRestException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from relay.errors import Misuse
from relay.sim.twilio_call import Number
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_rest import (
    BROKEN,
    GONE,
    LOST,
    NOT_IN_PROGRESS,
    REFUSED,
    TOO_MANY,
    RestFault,
)
from tests.sim.twilio_relay import (
    ACCOUNT,
    API,
    CALLER,
    HUMAN,
    NUMBER,
    ORIGIN,
    TOKEN,
    Relay,
    open_twilio,
)

CALL = {"To": HUMAN, "From": NUMBER.number, "Url": f"{ORIGIN}/screen"}


class HttpxClient(AsyncHttpClient):
    """The `twilio` package's way out, over httpx."""

    def __init__(self, client):
        super().__init__(None, True, 5.0)
        self.client = client

    async def request(self, method, url, *, params, data, headers, auth, **_):
        answer = await self.client.request(
            method, url, params=params, data=data, headers=headers, auth=auth
        )
        return Response(answer.status_code, answer.text, answer.headers)


def sdk(twilio):
    return Client(ACCOUNT, TOKEN, http_client=HttpxClient(twilio.client))


# ---- the real client ------------------------------------------------------------------------


async def test_the_twilio_package_places_and_ends_a_call(autojump_clock):
    phones = {HUMAN: HumanPhone()}
    async with open_twilio(Relay({"/screen": "<Pause length='60'/>"}), phones=phones) as twilio:
        client = sdk(twilio)
        call = await client.calls.create_async(
            to=HUMAN,
            from_=NUMBER.number,
            url=f"{ORIGIN}/screen",
            timeout=20,
            status_callback=f"{ORIGIN}/leg",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
        assert (call.status, call.to, call._from, call.direction) == (
            "queued",
            HUMAN,
            NUMBER.number,
            "outbound-api",
        )
        await trio.sleep(5)
        call = await client.calls(call.sid).fetch_async()
        assert call.status == "in-progress"
        began = call.start_time - call.date_created
        await client.calls(call.sid).update_async(status="completed")
        await trio.sleep(0.1)
        call = await client.calls(call.sid).fetch_async()
        assert (call.status, call.duration) == ("completed", "3")
        assert 2 <= began.total_seconds() <= 3
        assert 2 <= (call.end_time - call.start_time).total_seconds() <= 4
        with pytest.raises(TwilioRestException) as caught:
            await client.calls(call.sid).update_async(twiml="<Response/>")
        assert (caught.value.status, caught.value.code) == (400, 21220)
        with pytest.raises(TwilioRestException) as caught:
            await client.calls("CA" + "0" * 32).fetch_async()
        assert (caught.value.status, caught.value.code) == (404, 20404)


async def test_the_twilio_package_sends_texts_and_sets_numbers_up(autojump_clock):
    relay = Relay()
    async with open_twilio(relay) as twilio:
        own = twilio.cloud.own(NUMBER)
        client = sdk(twilio)
        message = await client.messages.create_async(
            to=CALLER, from_=NUMBER.number, body="See you.", status_callback=f"{ORIGIN}/text"
        )
        assert (message.status, message.body, message.num_segments) == ("queued", "See you.", "1")
        found = await client.incoming_phone_numbers.list_async(phone_number=NUMBER.number)
        assert [(number.sid, number.voice_url) for number in found] == [(own, NUMBER.voice_url)]
        changed = await client.incoming_phone_numbers(own).update_async(
            voice_url="https://new.example.com/voice",
            voice_method="GET",
            voice_fallback_url="https://new.example.com/fallback",
            status_callback="https://new.example.com/status",
        )
        assert changed.voice_url == "https://new.example.com/voice"
        assert twilio.cloud.numbers[own] == Number(
            NUMBER.number,
            "https://new.example.com/voice",
            "https://new.example.com/fallback",
            "https://new.example.com/status",
            "GET",
        )
        assert await client.incoming_phone_numbers.list_async(phone_number="+1999") == []
        await trio.sleep(2)
    assert relay.values("/text", "MessageStatus") == ["sent", "delivered"]
    assert relay.values("/text", "MessageSid") == [message.sid] * 2


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "form", "status", "code"),
    [
        ("Calls", CALL | {"To": "somebody"}, 400, 21211),
        ("Calls", CALL | {"From": "+1"}, 400, 21212),
        ("Calls", CALL | {"Url": ""}, 400, 21205),
        ("Calls", CALL | {"Url": "ftp://h"}, 400, 21205),
        ("Calls", CALL | {"Url": "", "Twiml": "<" * 4001}, 400, 20001),
        ("Calls", CALL | {"Timeout": "soon"}, 400, 20001),
        ("Calls/CA" + "0" * 32, {"Status": "completed"}, 404, 20404),
        ("Calls/CA" + "0" * 32 + "/Recordings", {}, 404, 20404),
        ("Calls/CA" + "0" * 32 + "/Recordings/Twilio.CURRENT", {"Status": "paused"}, 404, 20404),
        ("Messages", {"To": HUMAN, "From": NUMBER.number, "Body": ""}, 400, 21602),
        ("Messages", {"To": HUMAN, "From": NUMBER.number, "Body": "x" * 1601}, 400, 21617),
        ("Nothing", {}, 404, 20404),
    ],
)
async def test_what_makes_no_sense_is_refused_with_twilio_s_code(
    autojump_clock, path, form, status, code
):
    async with open_twilio(Relay()) as twilio:
        answer = await twilio.post(path, **form)
    body = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status)
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert twilio.cloud.calls == {}


async def test_a_number_of_somebody_else_s_can_neither_call_nor_text(autojump_clock):
    text = {"To": HUMAN, "From": NUMBER.number, "Body": "x"}
    async with open_twilio(Relay()) as twilio:
        twilio.cloud.own(Number("+15125550777", ""))
        assert (await twilio.post("Calls", **CALL)).json()["code"] == 21210
        assert (await twilio.post("Messages", **text)).json()["code"] == 21606


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        (f"{API}/Calls.json", (ACCOUNT, "wrong")),
        (f"{API}/Calls.json", None),
        (API.replace("1" * 32, "2" * 32) + "/Calls.json", (ACCOUNT, TOKEN)),
    ],
)
async def test_only_the_account_itself_is_admitted(autojump_clock, url, auth):
    async with open_twilio(Relay()) as twilio:
        twilio.client.auth = auth
        answer = await twilio.client.post(url, data=CALL)
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    assert twilio.cloud.calls == {}


# ---- latency and faults ---------------------------------------------------------------------


async def test_latency_is_half_the_way_there_and_half_back(autojump_clock):
    async with open_twilio(Relay(), latency_s=0.5) as twilio:
        twilio.rest.delays_s["calls.fetch"] = 2.0
        start = trio.current_time()
        call = await twilio.ring()
        assert trio.current_time() - start == pytest.approx(0.5)
        assert call.line.origin - start == pytest.approx(0.25)
        await twilio.get(f"Calls/{call.sid}")
        assert trio.current_time() - start == pytest.approx(2.5)
    assert [(kept.kind, kept.took_s) for kept in twilio.rest.requests] == [
        ("calls.create", pytest.approx(0.5)),
        ("calls.fetch", pytest.approx(2.0)),
    ]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (TOO_MANY, 429, 20429),
        (BROKEN, 500, 20500),
        (GONE, 404, 20404),
        (NOT_IN_PROGRESS, 400, 21220),
    ],
)
async def test_a_fault_is_one_request_s_and_does_nothing(autojump_clock, fault, status, code):
    async with open_twilio(Relay()) as twilio:
        twilio.rest.fail("calls.create", None, fault)
        answers = [await twilio.post("Calls", **CALL) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, status, 201]
    assert answers[1].json()["code"] == code
    assert len(twilio.cloud.calls) == 2


async def test_a_fault_of_no_kind_is_a_mistake(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        with pytest.raises(Misuse, match=r"calls\.create"):
            twilio.rest.fail("call.create", BROKEN)


async def test_a_lost_answer_is_carried_out(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        twilio.rest.fail("messages.create", LOST)
        start = trio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await twilio.post("Messages", To=HUMAN, From=NUMBER.number, Body="hello")
        assert trio.current_time() - start == pytest.approx(5.0)
    assert [message.body for message in twilio.cloud.messages] == ["hello"]
    assert [(kept.status, kept.text) for kept in twilio.rest.requests] == [(0, "lost")]


async def test_a_client_that_gives_up_does_not_undo_its_request(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        twilio.rest.fail("calls.create", RestFault(delay_s=20))
        with pytest.raises(httpx.ReadTimeout):
            await twilio.post("Calls", **CALL)
        assert twilio.cloud.calls == {}
        await trio.sleep(10)
        assert len(twilio.cloud.calls) == 1


async def test_a_refused_connection_does_nothing(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        twilio.rest.fail("calls.create", REFUSED)
        with pytest.raises(httpx.ConnectError):
            await twilio.post("Calls", **CALL)
    assert twilio.cloud.calls == {}


async def test_every_request_is_kept(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        await trio.sleep(3)
        call = await twilio.ring()
        await twilio.get("IncomingPhoneNumbers", PhoneNumber="+1")
    create, numbers = twilio.rest.requests
    assert (create.method, create.path, create.fields) == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json",
        CALL,
    )
    assert call.sid in create.text
    assert (create.status, create.at) == (201, pytest.approx(3.0 + trio.current_time() - 3.0))
    assert (numbers.kind, numbers.fields) == ("numbers.list", {"PhoneNumber": "+1"})
    assert twilio.rest.of_kind("calls.create") == [create]


async def test_a_text_that_is_not_delivered_says_why(autojump_clock):
    relay = Relay()
    fate = {"text_fate": lambda to: ("undelivered", 30003)}
    async with open_twilio(relay, **fate) as twilio:
        await twilio.post(
            "Messages", To=HUMAN, From=NUMBER.number, Body="x", StatusCallback=f"{ORIGIN}/text"
        )
        await trio.sleep(2)
        answer = await twilio.get(f"Messages/{twilio.cloud.messages[0].sid}")
    assert relay.values("/text", "MessageStatus") == ["sent", "undelivered"]
    assert relay.values("/text", "ErrorCode") == [None, "30003"]
    assert (answer.json()["status"], answer.json()["error_code"]) == ("undelivered", 30003)
