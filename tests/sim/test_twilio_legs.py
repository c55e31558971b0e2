"""Calls that are placed by REST: ringing, answers, callbacks, and being ended or redirected."""

import pytest
import trio

from relay.sim.twilio_account import CallQueue, tone_speech
from relay.sim.twilio_dial import VOICEMAIL_BEEP, Act, HumanPhone
from relay.sim.ulaw import tone
from tests.sim.twilio_relay import HUMAN, NUMBER, ORIGIN, Relay, open_twilio

HELLO = tone(250, 400, -12)
EVENTS = {
    "StatusCallback": f"{ORIGIN}/leg",
    "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
}
SCREEN = "<Gather numDigits='1' action='/key'><Say>Press 1 to accept.</Say></Gather><Hangup/>"


def told(relay):
    return [
        (form["CallStatus"], form["SequenceNumber"], form.get("CallDuration"))
        for form in relay.forms("/leg")
    ]


async def test_a_leg_from_the_queue_to_its_last_callback(autojump_clock):
    relay = Relay({"/screen": SCREEN, "/key": "<Say>Thank you.</Say>"})
    phone = HumanPhone(says=HELLO, acts=[Act(press="1", prompt="Press 1", after_s=0.7)])
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        call = await twilio.ring(**EVENTS)
        assert (call.status, call.direction) == ("queued", "outbound-api")
        await call.ended.wait()
        await trio.sleep(1)
    assert told(relay) == [
        ("initiated", "0", None),
        ("ringing", "1", None),
        ("in-progress", "2", None),
        ("completed", "3", "3"),
    ]
    screen, key = relay.forms("/screen")[0], relay.forms("/key")[0]
    assert (screen["Direction"], screen["From"], screen["To"], screen["CallStatus"]) == (
        "outbound-api",
        NUMBER.number,
        HUMAN,
        "in-progress",
    )
    assert screen["CallSid"] == call.sid == phone.calls[0].sid
    assert "StirVerstat" not in screen
    assert (key["Digits"], key["CallSid"]) == ("1", call.sid)
    assert relay.when("/screen") - call.answered_at == pytest.approx(0.0)
    heard = bytes(phone.calls[0].line.heard.audio)
    assert tone_speech("Press 1 to accept.") in heard
    assert tone_speech("Thank you.") in heard
    assert HELLO in bytes(phone.calls[0].line.said.audio)


@pytest.mark.parametrize(
    ("phone", "status", "after_s"),
    [
        (HumanPhone(outcome="busy"), "busy", 1.0),
        (HumanPhone(outcome="no-answer"), "no-answer", 25.0),
        (HumanPhone(answer_after_s=25.1), "no-answer", 25.0),
        (HumanPhone(outcome="no-answer", rings_s=10.0), "no-answer", 10.0),
        (HumanPhone(outcome="failed"), "failed", 0.0),
        (None, "failed", 0.0),
    ],
)
async def test_a_leg_that_nobody_answers(autojump_clock, phone, status, after_s):
    relay = Relay()
    async with open_twilio(relay, phones={HUMAN: phone} if phone else {}) as twilio:
        call = await twilio.ring(**EVENTS, Timeout="20")
        await call.ended.wait()
        rang = call.log.when("ringing")
        assert trio.current_time() - rang == pytest.approx(after_s)
        await trio.sleep(1)
        assert (await twilio.get(f"Calls/{call.sid}")).json()["status"] == status
    assert told(relay)[-1] == (status, "2", "0")
    assert "/screen" not in relay.paths()


async def test_only_the_end_is_told_unless_more_is_asked(autojump_clock):
    relay = Relay()
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        call = await twilio.ring(StatusCallback=f"{ORIGIN}/leg")
        await call.ended.wait()
        await trio.sleep(1)
    assert relay.values("/leg", "CallStatus") == ["completed"]


@pytest.mark.parametrize("status", ["canceled", "completed"])
async def test_ringing_can_be_called_off(autojump_clock, status):
    relay = Relay({"/screen": SCREEN})
    phone = HumanPhone(answer_after_s=5)
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        call = await twilio.ring(**EVENTS)
        await trio.sleep(2)
        await twilio.post(f"Calls/{call.sid}", Status=status)
        await trio.sleep(30)
        again = await twilio.post(f"Calls/{call.sid}", Status=status)
    assert told(relay)[-1] == ("canceled", "2", "0")
    assert (phone.calls[0].status, phone.calls[0].line) == ("canceled", None)
    assert "/screen" not in relay.paths()
    assert again.json()["code"] == 21220


async def test_canceling_leaves_an_answered_call_alone(autojump_clock):
    relay = Relay({"/screen": "<Pause length='20'/>"})
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        call = await twilio.ring()
        await trio.sleep(5)
        answer = await twilio.post(f"Calls/{call.sid}", Status="canceled")
        assert (answer.status_code, answer.json()["status"]) == (200, "in-progress")
        await twilio.post(f"Calls/{call.sid}", Status="completed")
        await trio.sleep(0.1)
    assert (call.status, call.ended_by, call.duration_s) == ("completed", "api", 3)


async def test_a_leg_gets_new_instructions_only_once_it_is_answered(autojump_clock):
    relay = Relay({"/screen": "<Pause length='60'/><Say>never</Say>", "/other": "<Say>Over.</Say>"})
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        call = await twilio.ring()
        early = await twilio.post(f"Calls/{call.sid}", Twiml="<Response/>")
        await trio.sleep(5)
        await twilio.post(f"Calls/{call.sid}", Url=f"{ORIGIN}/other")
        await call.ended.wait()
    assert early.json()["code"] == 21220
    assert [event.detail for event in call.log.events if event.kind == "say"] == ["Over."]


async def test_a_voicemail_greets_beeps_and_presses_nothing(autojump_clock):
    relay = Relay({"/screen": SCREEN})
    phone = HumanPhone(
        outcome="voicemail", says=HELLO, acts=[Act(press="1", prompt="")], voicemail_s=30
    )
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        call = await twilio.ring()
        await call.ended.wait()
    assert "/key" not in relay.paths()
    assert call.ended_by == "relay"
    assert HELLO + VOICEMAIL_BEEP in bytes(phone.calls[0].line.said.audio)


async def test_a_voicemail_hangs_up_in_the_end(autojump_clock):
    relay = Relay({"/screen": "<Pause length='300'/>"})
    phone = HumanPhone(outcome="voicemail", voicemail_s=30)
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        call = await twilio.ring()
        await call.ended.wait()
    assert (call.ended_by, call.duration_s) == ("caller", 31)


async def test_a_human_hangs_up_at_a_given_moment(autojump_clock):
    relay = Relay({"/screen": SCREEN})
    phone = HumanPhone(acts=[Act(hang_up=True, after_s=0.5)])
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        call = await twilio.ring(**EVENTS)
        await call.ended.wait()
        await trio.sleep(1)
    assert call.ended_at - call.answered_at == pytest.approx(0.5)
    assert told(relay)[-1] == ("completed", "3", "1")


async def test_what_a_human_s_script_asserts_comes_out(autojump_clock):
    async def script(person):
        raise ZeroDivisionError

    async def place():
        phones = {HUMAN: HumanPhone(script=script)}
        async with open_twilio(Relay({"/screen": SCREEN}), phones=phones) as twilio:
            await twilio.ring()
            await trio.sleep(60)

    with pytest.raises(BaseExceptionGroup) as caught:
        await place()
    assert caught.group_contains(ZeroDivisionError)


async def test_callbacks_get_lost_doubled_and_late(autojump_clock):
    fates = {"initiated": (4.0,), "ringing": (), "in-progress": (0.0, 0.0), "completed": (0.0,)}
    relay = Relay()
    async with open_twilio(
        relay,
        phones={HUMAN: HumanPhone(answer_after_s=1)},
        deliveries=lambda url, form: fates[form["CallStatus"]],
    ) as twilio:
        await twilio.ring(**EVENTS, Twiml="<Response><Pause/></Response>", Url="")
        await trio.sleep(10)
    assert [(status, number) for status, number, _ in told(relay)] == [
        ("in-progress", "2"),
        ("in-progress", "2"),
        ("completed", "3"),
        ("initiated", "0"),
    ]


async def test_calls_beyond_one_a_second_wait_for_their_turn(autojump_clock):
    relay = Relay()
    async with open_twilio(
        relay, phones={HUMAN: HumanPhone()}, queue=CallQueue(interval_s=1.0)
    ) as twilio:
        calls = [await twilio.ring() for _ in range(3)]
        await trio.sleep(0.5)
        assert [call.status for call in calls] == ["ringing", "queued", "queued"]
        await trio.sleep(10)
    rang = [call.log.when("ringing") for call in calls]
    assert [at - rang[0] for at in rang] == pytest.approx([0.0, 1.0, 2.0])
