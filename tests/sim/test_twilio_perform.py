"""New instructions by REST while a verb runs, and documents that came that way."""

from functools import partial

import pytest
import trio

from relay.sim.person import say_nothing
from relay.sim.twilio_conductor import APPLICATION_ERROR
from relay.sim.twilio_dial import HumanPhone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, ORIGIN, STREAM, Relay, open_twilio

LIMIT_S = 60  # some calls have nobody who hangs up


async def updated(relay, *, after_s=3.0, phones=None, script=say_nothing, **form):
    """Run a call and update it while its first verb runs. Returns it, and the update's answer."""
    async with open_twilio(relay, phones=phones) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            run = partial(twilio.cloud.run, time_limit_s=LIMIT_S)
            nursery.start_soon(run, call, script)
            await trio.sleep(after_s)
            answer = await twilio.post(f"Calls/{call.sid}", **form)
    return call, answer


def said(call):
    return [event.detail for event in call.log.events if event.kind == "say"]


async def test_a_stream_gets_stop_and_a_close_and_then_the_document_runs(autojump_clock):
    relay = Relay({"/voice": STREAM + "<Say>never</Say>"})
    call, answer = await updated(relay, Twiml="<Response><Say>Hello again.</Say></Response>")
    assert answer.status_code == 200
    events = [message["event"] for message in relay.heard]
    assert events[:2] == ["connected", "start"]
    assert events[-1] == "stop"
    assert set(events[2:-1]) == {"media"}
    end = call.streams[0].ended
    assert (end.by, end.code) == ("phone", 1000)
    assert said(call) == ["Hello again."]
    assert "/after" not in relay.paths()
    assert call.complaints == []


async def test_a_url_is_asked_with_the_call_s_own_form(autojump_clock):
    relay = Relay({"/new": "<Hangup/>"})
    call, _ = await updated(relay, Url=f"{ORIGIN}/new")
    form = relay.forms("/new")[0]
    assert (form["CallSid"], form["CallStatus"], form["Direction"]) == (
        call.sid,
        "in-progress",
        "inbound",
    )
    assert relay.when("/new") - call.answered_at == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    "page",
    [
        STREAM,
        f"<Dial action='/left'>{HUMAN}</Dial>",
        "<Dial action='/left'><Conference waitUrl=''>x</Conference></Dial>",
        "<Gather action='/left' timeout='60' actionOnEmptyResult='true'/>",
        "<Record action='/left' timeout='60'/>",
        "<Say>" + "x" * 500 + "</Say>",
        "<Pause length='60'/>",
    ],
)
@pytest.mark.parametrize("end", [False, True])
async def test_whatever_runs_is_broken_off(autojump_clock, page, end):
    relay = Relay({"/voice": page + "<Say>never</Say>"})
    form = {"Status": "completed"} if end else {"Twiml": "<Response><Say>New.</Say></Response>"}
    call, _ = await updated(relay, phones={HUMAN: HumanPhone(answer_after_s=1)}, **form)
    assert ("New." in said(call)) is not end
    assert "never" not in said(call)
    assert (call.status, call.ended_by) == ("completed", "api" if end else "relay")
    assert call.duration_s == (3 if end else 4)
    assert ("/left" in relay.paths()) is (end and "<Dial" in page)


async def test_the_newest_instructions_count(autojump_clock):
    relay = Relay({"/voice": "<Pause length='60'/>"})
    async with open_twilio(relay) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, call)
            await trio.sleep(3)
            for word in ("One.", "Two."):
                twiml = f"<Response><Say>{word}</Say></Response>"
                await twilio.post(f"Calls/{call.sid}", Twiml=twiml)
    assert said(call)[-1] == "Two."


async def test_a_call_that_is_over_takes_no_instructions(autojump_clock):
    async def script(person):
        await trio.sleep(1)
        person.hang_up()

    _, answer = await updated(Relay(), script=script, Twiml="<Response/>")
    assert (answer.status_code, answer.json()["code"]) == (400, 21220)


@pytest.mark.parametrize(
    "twiml",
    [
        "<Redirect>/other</Redirect>",
        "<Dial action='/left'><Conference>x</Conference></Dial>",
        "<Gather numDigits='1'/>",
        f"<Dial><Number url='/whisper'>{HUMAN}</Number></Dial>",
    ],
)
async def test_a_document_from_rest_has_no_address_to_begin_from(autojump_clock, twiml):
    human = HumanPhone(answer_after_s=1)
    call, _ = await updated(Relay(), phones={HUMAN: human}, Twiml=f"<Response>{twiml}</Response>")
    assert human.calls == []
    assert [complaint.code for complaint in call.complaints] == [15004]
    assert (said(call), call.ended_by) == ([APPLICATION_ERROR], "error")


async def test_a_document_from_rest_that_is_none_is_an_application_error(autojump_clock):
    call, _ = await updated(Relay(), Twiml="<Response>")
    assert [complaint.code for complaint in call.complaints] == [12100]
    assert f"{ORIGIN}/number-fallback" in [exchange.url for exchange in call.exchanges]


async def test_both_a_url_and_a_document_are_too_much(autojump_clock):
    _, answer = await updated(Relay(), Twiml="<Response/>", Url=f"{ORIGIN}/new", after_s=0.3)
    assert (answer.status_code, answer.json()["code"]) == (400, 20001)
