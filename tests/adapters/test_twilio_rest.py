"""What the REST adapter asks of Twilio, when it asks again, and what it makes of bad answers."""

from __future__ import annotations

import base64
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import structlog.testing
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.adapters.twilio_rest import ALL_TRIES_S, MAX_BODY_BYTES, TRY_S, TwilioPhone
from relay.errors import PhoneControlError
from relay.ports import Leg, PhoneControl

ACCOUNT = "AC" + "0" * 32
CALL, RECORDING = "CA" + "1" * 32, "RE" + "2" * 32
OURS, HUMAN = "+14155550100", "+14155550199"
LEG = Leg(HUMAN, "https://relay.example/screen?t=sesame", "https://relay.example/leg", ring_s=15)
CALLS = f"/2010-04-01/Accounts/{ACCOUNT}/Calls"

Answer = httpx.Response | httpx.TransportError | None
Ask = Callable[[PhoneControl], Awaitable[object]]


class Body(httpx.AsyncByteStream):
    """A body that is still to be read, over and over if need be."""

    def __init__(self, body: bytes, times: int = 1) -> None:
        self.body, self.times = body, times

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.times):
            await trio.lowlevel.checkpoint()
            yield self.body


class Served(httpx.AsyncBaseTransport):
    """Twilio inside the process: answers in turn, the last one for ever; keeps the requests.

    None is an answer that never comes.
    """

    def __init__(self, *answers: Answer, takes_s: float = 0) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        self.times.append(trio.current_time())
        await trio.sleep(self.takes_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, httpx.TransportError):
            raise answer
        assert answer is not None
        body = answer.stream if isinstance(answer.stream, Body) else Body(answer.content)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=body)

    def form(self) -> dict[str, list[str]]:
        [request] = self.requests
        return parse_qs(request.content.decode(), strict_parsing=True)


def made(sid: str = CALL) -> httpx.Response:
    return httpx.Response(201, json={"sid": sid, "status": "queued"})


def refused(status: int, code: int | None = None) -> httpx.Response:
    text = f"The number {HUMAN} is not valid"
    return httpx.Response(status, json={"code": code, "message": text, "status": status})


def phone(served: httpx.AsyncBaseTransport, **rest: Any) -> TwilioPhone:
    return TwilioPhone(ACCOUNT, "12345", OURS, transport=served, **{"draw": lambda: 1.0, **rest})


ASKS: dict[str, Ask] = {
    "place": lambda control: control.place(LEG),
    "text": lambda control: control.text(HUMAN, "Hello"),
    "start_recording": lambda control: control.start_recording(CALL, "https://relay.example/rec"),
    "redirect": lambda control: control.redirect(CALL, "<Response/>"),
    "hang_up": lambda control: control.hang_up(CALL),
    "pause": lambda control: control.pause_recording(CALL, RECORDING),
    "resume": lambda control: control.resume_recording(CALL, RECORDING),
    "stop": lambda control: control.stop_recording(CALL, RECORDING),
    "delete": lambda control: control.delete_recording(RECORDING),
}
CREATES = ["place", "text", "start_recording"]
REPEATS = ["hang_up", "pause", "resume", "stop", "delete"]
UNSENT: list[Answer] = [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")]
LOST: list[Answer] = [
    httpx.ReadError("x"),
    httpx.WriteError("x"),
    httpx.RemoteProtocolError("x"),
    httpx.Response(200, text="<html>"),
    httpx.Response(200, json=[1]),
    httpx.Response(200, json={"sid": 7}),
]

every = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
creating = pytest.mark.parametrize("ask", [ASKS[name] for name in CREATES], ids=CREATES)
repeating = pytest.mark.parametrize("ask", [ASKS[name] for name in REPEATS], ids=REPEATS)


# ---- what is asked --------------------------------------------------------------------------


async def test_a_call_is_placed_and_all_its_states_are_to_be_told() -> None:
    served = Served(made())
    assert await phone(served).place(LEG) == CALL
    [request] = served.requests
    assert (request.method, str(request.url)) == ("POST", f"https://api.twilio.com{CALLS}.json")
    assert served.form() == {
        "To": [HUMAN],
        "From": [OURS],
        "Url": [LEG.screen_url],
        "Method": ["POST"],
        "StatusCallback": [LEG.status_url],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["15"],
    }


async def test_who_asks() -> None:
    served = Served(made())
    await phone(served).place(LEG)
    headers = served.requests[0].headers
    name, secret = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).split(b":")
    assert (name, secret) == (ACCOUNT.encode(), b"12345")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("name", "path", "form"),
    [
        ("hang_up", f"{CALLS}/{CALL}.json", {"Status": ["completed"]}),
        ("redirect", f"{CALLS}/{CALL}.json", {"Twiml": ["<Response/>"]}),
        (
            "pause",
            f"{CALLS}/{CALL}/Recordings/{RECORDING}.json",
            {"Status": ["paused"], "PauseBehavior": ["skip"]},
        ),
        ("resume", f"{CALLS}/{CALL}/Recordings/{RECORDING}.json", {"Status": ["in-progress"]}),
        ("stop", f"{CALLS}/{CALL}/Recordings/{RECORDING}.json", {"Status": ["stopped"]}),
        (
            "text",
            f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            {"To": [HUMAN], "From": [OURS], "Body": ["Hello"]},
        ),
    ],
)
async def test_what_else_is_asked(name: str, path: str, form: dict[str, list[str]]) -> None:
    served = Served(made())
    await ASKS[name](phone(served))
    assert served.requests[0].url.path == path
    assert served.form() == form


async def test_a_recording_has_two_channels_and_keeps_its_silence() -> None:
    served = Served(made(RECORDING))
    assert await phone(served).start_recording(CALL, "https://relay.example/rec") == RECORDING
    form = served.form()
    assert (form["RecordingChannels"], form["Trim"]) == (["dual"], ["do-not-trim"])
    assert form["RecordingStatusCallbackEvent"] == ["in-progress", "completed", "absent"]


async def test_a_recording_is_deleted() -> None:
    served = Served(httpx.Response(204))
    await phone(served).delete_recording(RECORDING)
    [request] = served.requests
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{RECORDING}.json"
    assert (request.method, request.url.path, request.content) == ("DELETE", path, b"")


@pytest.mark.parametrize("base", ["http://127.0.0.1:8099", "https://proxy.example/twilio/"])
async def test_another_api_can_be_named(base: str) -> None:
    served = Served(made())
    await phone(served, api_url=base).place(LEG)
    assert str(served.requests[0].url) == f"{base.rstrip('/')}{CALLS}.json"


async def test_the_processs_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    served = Served(made())
    await phone(served).place(LEG)
    assert served.requests[0].url.host == "api.twilio.com"


# ---- trying again ---------------------------------------------------------------------------


@every
@pytest.mark.parametrize("failure", [refused(429, 20429), *UNSENT], ids=repr)
async def test_what_was_certainly_not_done_is_tried_again(
    ask: Ask, failure: Answer, autojump_clock: trio.testing.MockClock
) -> None:
    served = Served(failure, failure, made())
    await ask(phone(served))
    assert len(served.requests) == 3
    assert served.times[1] - served.times[0] == pytest.approx(0.25)
    assert served.times[2] - served.times[1] == pytest.approx(0.75)


async def test_the_waits_are_drawn(autojump_clock: trio.testing.MockClock) -> None:
    served = Served(refused(429), refused(429), made())
    await phone(served, draw=lambda: 0.0).hang_up(CALL)
    assert served.times[2] - served.times[0] == pytest.approx(0.5)


@every
async def test_three_tries_are_enough(ask: Ask, autojump_clock: trio.testing.MockClock) -> None:
    served = Served(refused(429))
    with pytest.raises(PhoneControlError, match="HTTP 429") as caught:
        await ask(phone(served))
    assert len(served.requests) == 3
    assert not caught.value.doubtful


@creating
@pytest.mark.parametrize("failure", [refused(500), refused(503), *LOST], ids=repr)
async def test_nothing_is_made_twice(ask: Ask, failure: Answer) -> None:
    served = Served(failure, made())
    with pytest.raises(PhoneControlError) as caught:
        await ask(phone(served))
    assert len(served.requests) == 1
    assert caught.value.doubtful


@repeating
@pytest.mark.parametrize("failure", [refused(500), refused(503), *LOST[:3]], ids=repr)
async def test_what_comes_to_the_same_is_repeated(
    ask: Ask, failure: Answer, autojump_clock: trio.testing.MockClock
) -> None:
    served = Served(failure, failure, made())
    await ask(phone(served))
    assert len(served.requests) == 3


async def test_new_instructions_are_repeated_unless_they_may_be_followed_already(
    autojump_clock: trio.testing.MockClock,
) -> None:
    served = Served(refused(502), made())
    await phone(served).redirect(CALL, "<Response/>")
    assert len(served.requests) == 2
    for lost in LOST:
        served = Served(lost, made())
        with pytest.raises(PhoneControlError) as caught:
            await phone(served).redirect(CALL, "<Response/>")
        assert caught.value.doubtful
        assert len(served.requests) == 1


@every
async def test_a_refusal_is_final(ask: Ask) -> None:
    served = Served(refused(400, 21211), made())
    with pytest.raises(PhoneControlError, match="HTTP 400, Twilio error 21211") as caught:
        await ask(phone(served))
    assert len(served.requests) == 1
    assert (caught.value.gone, caught.value.doubtful) == (False, False)
    assert caught.value.refused


async def test_a_doubt_outlives_a_later_certainty(autojump_clock: trio.testing.MockClock) -> None:
    served = Served(refused(500), httpx.ConnectError("x"))
    with pytest.raises(PhoneControlError, match="no connection") as caught:
        await phone(served).redirect(CALL, "<Response/>")
    assert caught.value.doubtful


# ---- in time --------------------------------------------------------------------------------


@every
async def test_no_answer_ends_in_time(ask: Ask, autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(PhoneControlError, match="no answer in time") as caught:
        await ask(phone(Served(None)))
    assert caught.value.doubtful
    assert TRY_S <= trio.current_time() <= ALL_TRIES_S


async def test_slow_refusals_end_in_time(autojump_clock: trio.testing.MockClock) -> None:
    served = Served(refused(429), takes_s=2.7)
    with pytest.raises(PhoneControlError):
        await phone(served).hang_up(CALL)
    assert trio.current_time() <= ALL_TRIES_S
    assert len(served.requests) == 2


async def test_a_call_that_ends_ends_the_wait(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1):
        await phone(Served(None)).place(LEG)
    assert trio.current_time() == pytest.approx(1)


# ---- a call that is over --------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
@pytest.mark.parametrize("name", ["hang_up", "delete"])
async def test_what_is_gone_is_ended_already(name: str, status: int, code: int) -> None:
    served = Served(refused(status, code))
    await ASKS[name](phone(served))
    assert len(served.requests) == 1


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
@pytest.mark.parametrize("name", ["redirect", "start_recording", "pause", "resume", "stop"])
async def test_what_is_gone_cannot_be_changed(name: str, status: int, code: int) -> None:
    with pytest.raises(PhoneControlError) as caught:
        await ASKS[name](phone(Served(refused(status, code))))
    assert caught.value.gone


async def test_somebody_elses_404_is_no_proof() -> None:
    with pytest.raises(PhoneControlError, match="HTTP 404") as caught:
        await phone(Served(httpx.Response(404, text="no such page"))).hang_up(CALL)
    assert not caught.value.gone


# ---- bad answers ----------------------------------------------------------------------------


async def test_a_redirect_is_not_followed() -> None:
    served = Served(httpx.Response(307, headers={"Location": "http://169.254.169.254/"}))
    with pytest.raises(PhoneControlError, match="HTTP 307"):
        await phone(served).place(LEG)
    assert len(served.requests) == 1


async def test_an_endless_answer_is_left() -> None:
    endless = httpx.Response(200, stream=Body(b"[" * 65_536, times=4096))
    tracemalloc.start()
    try:
        with pytest.raises(PhoneControlError, match="names no SID"):
            await phone(Served(endless)).place(LEG)
        assert tracemalloc.get_traced_memory()[1] < 64 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


async def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=Body(gzip.compress(b"0" * 9_999_999))
    )
    tracemalloc.start()
    try:
        with pytest.raises(PhoneControlError, match="names no SID"):
            await phone(Served(bomb)).place(LEG)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(
    status=st.integers(200, 599),
    body=st.binary()
    | st.sampled_from([b'{"code": [], "sid": "x"}', b'{"code": true}', b"[" * 9999]),
    name=st.sampled_from(list(ASKS)),
)
def test_any_answer_is_an_answer_or_our_error(status: int, body: bytes, name: str) -> None:
    async def ask() -> None:
        with suppress(PhoneControlError):
            await ASKS[name](phone(Served(httpx.Response(status, content=body))))

    trio.run(ask, clock=trio.testing.MockClock(autojump_threshold=0))


# ---- what is told to whom -------------------------------------------------------------------


@every
async def test_neither_log_nor_error_names_a_number(
    ask: Ask, autojump_clock: trio.testing.MockClock
) -> None:
    for answer in (refused(400, 21211), refused(503), httpx.ConnectError(HUMAN), None):
        with structlog.testing.capture_logs() as lines, pytest.raises(PhoneControlError) as caught:
            await ask(phone(Served(answer)))
        assert lines
        for secret in (HUMAN, OURS, "sesame", "12345", "Hello"):
            assert secret not in repr(lines)
            assert secret not in str(caught.value)


async def test_closing_closes_the_pool() -> None:
    closed: list[bool] = []

    class Watched(Served):
        async def aclose(self) -> None:
            closed.append(True)

    async with aclosing(phone(Watched(made()))) as control:
        await control.place(LEG)
    assert closed
