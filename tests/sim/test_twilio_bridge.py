"""<Dial> with a whisper: what the callee hears first, who is bridged, what is told."""

import pytest
import trio

from relay.sim.twilio_account import tone_speech
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.ulaw import tone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, ORIGIN, Relay, open_twilio

EVENTS = 'statusCallback="/leg" statusCallbackEvent="initiated ringing answered completed"'
DIAL = (
    f'<Dial action="/dialled" timeout="20"><Number url="/whisper?from=relay" {EVENTS}>{HUMAN}'
    "</Number></Dial>"
)
WHISPER = '<Gather numDigits="1" timeout="8" action="/key"><Say>Press 1.</Say></Gather><Hangup/>'
VOICE = tone(300, 700, -15)
PAGES = {
    "/voice": DIAL,
    "/whisper": WHISPER,
    "/key": lambda form: "" if form["Digits"] == "1" else "<Hangup/>",
    "/dialled": "<Hangup/>",
}


async def dialled(phone, script, *, pages=None, **settings):
    relay = Relay(PAGES | (pages or {}))
    async with open_twilio(relay, phones={HUMAN: phone}, **settings) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        await twilio.cloud.run(call, script)
        await trio.sleep(1)
    return relay, call


async def say_hello(person):
    """The caller: talks all the time, and hangs up in the end."""
    for _ in range(30):
        await person.say(VOICE)
        await trio.sleep(0.3)
    person.hang_up()


async def test_a_key_in_the_whisper_bridges(autojump_clock):
    phone = HumanPhone(
        acts=[
            Act(press="1", prompt="Press 1", after_s=1.0),
            Act(say=tone(700, 500), prompt="Press 1", after_s=2.0),
            Act(hang_up=True, prompt="Press 1", after_s=6.0),
        ]
    )
    relay, call = await dialled(phone, say_hello)
    record, leg = call.dials[0], relay.forms("/whisper")[0]
    assert (leg["Direction"], leg["ParentCallSid"], leg["CallSid"], leg["To"]) == (
        "outbound-dial",
        call.sid,
        record.sid,
        HUMAN,
    )
    assert relay.forms("/key")[0]["CallSid"] == record.sid
    bridged = record.line.sample(record.bridged_at)
    assert bytes(record.line.heard.read(0, bridged)).count(tone_speech("Press 1.")) == 1
    assert VOICE[800:1600] in bytes(record.line.heard.read(bridged, bridged + 16_000))
    assert tone(700, 500)[400:-400] in bytes(call.line.heard.audio)
    form = relay.forms("/dialled")[0]
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert (form["DialCallSid"], form["DialCallDuration"]) == (record.sid, "5")
    assert relay.values("/leg", "CallStatus") == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert relay.values("/leg", "SequenceNumber") == ["0", "1", "2", "3"]
    assert relay.values("/leg", "CallDuration")[-1] == "7"


@pytest.mark.parametrize(
    "phone",
    [
        HumanPhone(acts=[Act(press="2", prompt="Press 1", after_s=1.0)]),
        HumanPhone(acts=[Act(hang_up=True, after_s=0.4)]),
        HumanPhone(),
        HumanPhone(outcome="voicemail", says=tone(500, 3000)),
    ],
    ids=["pressed 2", "hung up", "no key", "voicemail"],
)
async def test_without_the_key_nobody_is_bridged_though_the_call_was_completed(
    autojump_clock, phone
):
    relay, call = await dialled(phone, say_hello)
    form = relay.forms("/dialled")[0]
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "false")
    assert "DialCallDuration" not in form
    assert relay.values("/leg", "CallStatus")[-1] == "completed"
    assert VOICE[800:1600] not in bytes(call.dials[0].line.heard.audio)


async def test_a_whisper_that_ends_without_hanging_up_bridges_a_voicemail_too(autojump_clock):
    phone = HumanPhone(outcome="voicemail", says=tone(500, 1000), voicemail_s=10)
    relay, call = await dialled(phone, say_hello, pages={"/whisper": "<Say>A call.</Say>"})
    assert relay.forms("/dialled")[0]["DialBridged"] == "true"
    assert tone(500, 1000)[5000:] in bytes(call.line.heard.audio)


async def test_the_caller_hears_ringing_while_the_callee_hears_the_whisper(autojump_clock):
    phone = HumanPhone(acts=[Act(press="1", prompt="Press 1", after_s=7.0)])
    _, call = await dialled(phone, say_hello)
    record = call.dials[0]
    rang, bridged = call.line.sample(record.rang_at), call.line.sample(record.bridged_at)
    spans = [(a - rang, b - rang) for a, b in call.line.heard.spans if b <= bridged]
    assert spans == [(0, 16_000), (48_000, 64_000)]


async def test_a_caller_who_hangs_up_in_the_whisper_ends_the_leg(autojump_clock):
    async def script(person):
        await trio.sleep(3)
        person.hang_up()

    relay, call = await dialled(HumanPhone(), script)
    form = relay.forms("/dialled")[0]
    assert (form["CallStatus"], form["DialBridged"]) == ("completed", "false")
    assert relay.values("/leg", "CallStatus")[-1] == "completed"
    assert call.ended_by == "caller"


async def test_the_other_numbers_stop_ringing_and_say_so(autojump_clock):
    numbers = "".join(f"<Number {EVENTS}>{number}</Number>" for number in (HUMAN, "+15125550198"))
    relay = Relay({"/voice": f"<Dial action='/dialled'>{numbers}</Dial>", "/dialled": "<Hangup/>"})
    phones = {HUMAN: HumanPhone(acts=[Act(hang_up=True, after_s=3)])}
    phones["+15125550198"] = HumanPhone(answer_after_s=9)
    async with open_twilio(relay, phones=phones) as twilio:
        await twilio.cloud.run(twilio.cloud.place(NUMBER, CALLER))
        await trio.sleep(1)
    ends = {
        form["To"]: form["CallStatus"]
        for form in relay.forms("/leg")
        if form["CallStatus"] not in ("initiated", "ringing", "in-progress")
    }
    assert ends == {HUMAN: "completed", "+15125550198": "no-answer"}


async def test_rest_can_end_the_callee_s_leg(autojump_clock):
    relay = Relay({"/voice": f"<Dial action='/dialled'>{HUMAN}</Dial>", "/dialled": "<Hangup/>"})
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, call)
            await trio.sleep(5)
            await twilio.post(f"Calls/{call.dials[0].sid}", Status="completed")
    form = relay.forms("/dialled")[0]
    assert (form["DialCallStatus"], form["DialCallDuration"]) == ("completed", "3")
    assert call.duration_s == 5
    leg = twilio.cloud.calls[call.dials[0].sid]
    assert (leg.status, leg.ended_by, leg.log.closed) == ("completed", "api", True)


async def test_new_instructions_end_a_dial_without_its_action(autojump_clock):
    relay = Relay({"/voice": f"<Dial action='/dialled'>{HUMAN}</Dial><Say>never</Say>"})
    async with open_twilio(relay, phones={HUMAN: HumanPhone()}) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, call)
            await trio.sleep(5)
            twiml = f"<Response><Redirect>{ORIGIN}/other</Redirect></Response>"
            await twilio.post(f"Calls/{call.sid}", Twiml=twiml)
    assert relay.paths()[-2:] == ["/other", "/status"]
    assert "/dialled" not in relay.paths()
    assert (call.dials[0].status, twilio.cloud.calls[call.dials[0].sid].ended_by) == (
        "completed",
        "relay",
    )
