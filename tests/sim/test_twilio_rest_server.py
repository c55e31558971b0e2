"""The REST API on a real port, driven by the `twilio` package's own synchronous client in a
thread."""

from functools import partial

import pytest
import requests
import trio
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_rest import LOST, REFUSED
from relay.sim.twilio_rest_server import serve_rest
from tests.sim.twilio_relay import ACCOUNT, HUMAN, NUMBER, ORIGIN, TOKEN, Relay, open_twilio

REAL = "https://api.twilio.com"
PHONES = {HUMAN: HumanPhone(answer_after_s=0.1)}


class Local(TwilioHttpClient):
    """The package's client, with the API's host replaced and no pool that would outlive it."""

    def __init__(self, origin):
        super().__init__(pool_connections=False, timeout=2.0)
        self.origin = origin

    def request(self, method, url, *rest, **options):
        return super().request(method, url.replace(REAL, self.origin), *rest, **options)


async def in_thread(work):
    return await trio.to_thread.run_sync(work)


async def sdk(twilio):
    origin = await twilio.rest.nursery.start(serve_rest, twilio.rest)
    return Client(ACCOUNT, TOKEN, http_client=Local(origin))


async def test_a_call_and_its_recording_over_a_real_port():
    relay = Relay({"/screen": "<Pause length='60'/>"})
    async with open_twilio(relay, phones=PHONES) as twilio:
        client = await sdk(twilio)
        create = partial(
            client.calls.create, to=HUMAN, from_=NUMBER.number, url=f"{ORIGIN}/screen", timeout=20
        )
        call = await in_thread(create)
        with trio.fail_after(5):
            await twilio.cloud.calls[call.sid].answered.wait()
        mine = client.calls(call.sid)
        recording = await in_thread(partial(mine.recordings.create, recording_channels="dual"))
        assert (recording.status, recording.channels) == ("in-progress", 2)
        update = mine.recordings("Twilio.CURRENT").update
        paused = await in_thread(partial(update, status="paused", pause_behavior="skip"))
        assert (paused.sid, paused.status) == (recording.sid, "paused")
        await in_thread(partial(update, status="stopped"))
        await in_thread(partial(mine.update, status="completed"))
        with trio.fail_after(5):
            await twilio.cloud.calls[call.sid].ended.wait()
        assert (await in_thread(mine.fetch)).status == "completed"
        assert await in_thread(client.recordings(recording.sid).delete)
        with pytest.raises(TwilioRestException) as caught:
            await in_thread(client.recordings(recording.sid).fetch)
        assert (caught.value.status, caught.value.code) == (404, 20404)
    assert [kept.status for kept in twilio.rest.requests] == [
        201,
        201,
        200,
        200,
        200,
        200,
        204,
        404,
    ]


async def test_a_text_and_a_list_over_a_real_port():
    async with open_twilio(Relay()) as twilio:
        twilio.cloud.own(NUMBER)
        client = await sdk(twilio)
        text = "Tuesday, 3 p.m.: überholt & bestätigt"
        send = partial(client.messages.create, to=HUMAN, from_=NUMBER.number, body=text)
        assert (await in_thread(send)).body == text
        numbers = await in_thread(client.incoming_phone_numbers.list)
        assert [number.phone_number for number in numbers] == [NUMBER.number]


@pytest.mark.parametrize(
    ("fault", "error"),
    [(LOST, requests.exceptions.ReadTimeout), (REFUSED, requests.exceptions.ConnectionError)],
)
async def test_faults_of_the_network_over_a_real_port(fault, error):
    async with open_twilio(Relay(), phones=PHONES) as twilio:
        client = await sdk(twilio)
        client.http_client.timeout = 0.3
        twilio.rest.fail("messages.create", fault)
        send = partial(client.messages.create, to=HUMAN, from_=NUMBER.number, body="x")
        with pytest.raises(error):
            await in_thread(send)
    assert len(twilio.cloud.messages) == (1 if fault is LOST else 0)
