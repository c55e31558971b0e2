"""The adapter against a Twilio that does what it is asked, so that phones ring and texts go out."""

import pytest
import trio

from relay.adapters.twilio_rest import TwilioPhone
from relay.errors import PhoneControlError
from relay.ports import Leg
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_rest import BROKEN, LOST, REFUSED, TOO_MANY, RestTransport
from tests.sim.twilio_relay import ACCOUNT, HUMAN, NUMBER, ORIGIN, TOKEN, Relay, open_twilio

LEG = Leg(HUMAN, f"{ORIGIN}/screen", f"{ORIGIN}/leg", 20)
PAGES = {"/screen": "<Pause length='100'/>"}


def control(twilio):
    return TwilioPhone(ACCOUNT, TOKEN, NUMBER.number, transport=RestTransport(twilio.rest))


async def test_a_call_rings_is_redirected_recorded_and_ended(autojump_clock):
    relay = Relay(PAGES)
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        phone = control(twilio)
        sid = await phone.place(LEG)
        call = twilio.cloud.calls[sid]
        await call.answered.wait()
        await trio.sleep(1)
        await phone.redirect(sid, "<Response><Say>Hello.</Say><Pause length='90'/></Response>")
        recording = await phone.start_recording(sid, f"{ORIGIN}/rec")
        await trio.sleep(2)
        await phone.pause_recording(sid, recording)
        await trio.sleep(2)
        await phone.resume_recording(sid, recording)
        await trio.sleep(1)
        await phone.stop_recording(sid, recording)
        await trio.sleep(2)
        assert twilio.cloud.recordings[recording].duration_s == 3
        for _ in range(2):
            await phone.delete_recording(recording)
        for _ in range(2):
            await phone.hang_up(sid)
            await trio.sleep(1)
        with pytest.raises(PhoneControlError) as caught:
            await phone.redirect(sid, "<Response/>")
        await phone.aclose()
    assert caught.value.gone
    assert [words for words, _ in call.prompts.ended] == ["Hello."]
    assert twilio.cloud.recordings == {}
    assert relay.values("/leg", "CallStatus") == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert relay.values("/rec", "RecordingStatus") == ["in-progress", "completed"]


async def test_a_text_is_sent_once_whatever_goes_wrong_before_it(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        phone = control(twilio)
        twilio.rest.fail("messages.create", REFUSED, TOO_MANY)
        sid = await phone.text(HUMAN, "A caller wants a quote.")
        await phone.aclose()
    assert [(each.sid, each.body) for each in twilio.cloud.messages] == [
        (sid, "A caller wants a quote.")
    ]


@pytest.mark.parametrize(("fault", "rings"), [(LOST, 1), (BROKEN, 0)])
async def test_a_phone_never_rings_twice(autojump_clock, fault, rings):
    human = HumanPhone()
    async with open_twilio(Relay(PAGES), phones={HUMAN: human}) as twilio:
        phone = control(twilio)
        twilio.rest.fail("calls.create", fault)
        with pytest.raises(PhoneControlError) as caught:
            await phone.place(LEG)
        await trio.sleep(10)
        await phone.aclose()
    assert caught.value.doubtful
    assert len(human.calls) == rings
