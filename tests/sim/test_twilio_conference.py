"""Conferences: who hears whom, the order of what is told, and who ends it."""

import pytest
import trio

from relay.sim.twilio_conference import BEEP, JITTER_MS
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.ulaw import loudness_db, tone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, ORIGIN, Relay, open_twilio

STATUS = 'statusCallback="/conf" statusCallbackEvent="start end join leave"'
LOW, HIGH = tone(250, 400, -15), tone(900, 400, -15)


def conference(attributes='beep="false" waitUrl="" jitterBufferSize="small"', name="xfer-1"):
    return f'<Dial action="/left"><Conference {attributes} {STATUS}>{name}</Conference></Dial>'


async def meet(pages, phone, script, *, caller_after_s=4.0):
    """The human is in the conference first, then a caller comes. Returns both calls."""
    relay = Relay(pages | {"/left": "<Hangup/>"})
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        human = await twilio.ring()
        await trio.sleep(caller_after_s)
        caller = twilio.cloud.place(NUMBER, CALLER)
        await twilio.cloud.run(caller, script)
        await human.ended.wait()
        await trio.sleep(1)
    return relay, caller, human, twilio.cloud.conferences


def told(relay):
    return [
        (form["SequenceNumber"], form["StatusCallbackEvent"], form.get("CallSid"))
        for form in relay.forms("/conf")
    ]


async def quiet(person):
    await trio.sleep(600)


async def test_two_in_a_conference_and_all_that_is_told(autojump_clock):
    async def script(person):
        await trio.sleep(1)
        await person.say(LOW)
        await trio.sleep(4)
        person.hang_up()

    phone = HumanPhone(acts=[Act(say=HIGH, after_s=4.0)])
    ending = 'beep="false" waitUrl="" jitterBufferSize="small" endConferenceOnExit="true"'
    pages = {"/screen": conference(ending), "/voice": conference(ending)}
    relay, caller, human, conferences = await meet(pages, phone, script)
    assert told(relay) == [
        ("1", "participant-join", human.sid),
        ("2", "conference-start", None),
        ("3", "participant-join", caller.sid),
        ("4", "participant-leave", caller.sid),
        ("5", "participant-leave", human.sid),
        ("6", "conference-end", None),
    ]
    for form in relay.forms("/conf"):
        assert (form["ConferenceSid"], form["FriendlyName"]) == (conferences[0].sid, "xfer-1")
    join, leave, out, end = (relay.forms("/conf")[n] for n in (2, 3, 4, 5))
    assert (join["Muted"], join["Hold"], join["EndConferenceOnExit"]) == ("false", "false", "true")
    assert leave["ReasonParticipantLeft"] == "participant_hung_up"
    assert out["ReasonParticipantLeft"] == "moderator_ended_conference"
    assert end["CallSidEndingConference"] == caller.sid
    assert end["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    left = {form["CallSid"]: form for form in relay.forms("/left")}
    assert {form["DialCallStatus"] for form in left.values()} == {"answered"}
    assert set(left) == {caller.sid, human.sid}
    assert "DialCallDuration" not in left[human.sid]
    assert (left[caller.sid]["CallStatus"], left[human.sid]["CallStatus"]) == (
        "completed",
        "in-progress",
    )
    assert HIGH[400:-400] in bytes(caller.line.heard.audio)
    assert LOW[400:-400] in bytes(human.line.heard.audio)
    assert HIGH[400:-400] not in bytes(human.line.heard.audio)


@pytest.mark.parametrize("size", ["off", "small", "medium", "large"])
async def test_the_jitter_buffer_makes_a_voice_late(autojump_clock, size):
    said = {}

    async def script(person):
        await trio.sleep(2)
        said["at"] = trio.current_time()
        await person.say(LOW)
        await trio.sleep(3)
        person.hang_up()

    page = conference(
        f'beep="false" waitUrl="" endConferenceOnExit="true" jitterBufferSize="{size}"'
    )
    _, _, human, _ = await meet({"/screen": page, "/voice": page}, HumanPhone(), script)
    start = human.line.time(human.line.heard.spans[0][0])
    late_ms = 1000 * (start - said["at"])
    assert JITTER_MS[size] <= late_ms <= JITTER_MS[size] + 41


async def test_the_first_hears_music_until_the_second_comes(autojump_clock):
    async def script(person):
        await trio.sleep(2)
        person.hang_up()

    page = conference('beep="false" endConferenceOnExit="true"')
    _, caller, human, conferences = await meet(
        {"/screen": page, "/voice": page}, HumanPhone(), script
    )
    began = human.line.sample(
        next(at for at, event, _ in conferences[0].happened if "start" in event)
    )
    assert loudness_db(human.line.heard.read(0, began)) > -40
    assert loudness_db(human.line.heard.read(began, began + 16_000)) == -100.0
    assert loudness_db(bytes(caller.line.heard.audio)) == -100.0


async def test_the_wait_can_be_a_document_of_the_relay_s(autojump_clock):
    async def script(person):
        await trio.sleep(2)
        person.hang_up()

    page = conference('beep="false" waitUrl="/wait" endConferenceOnExit="true"')
    pages = {"/screen": page, "/voice": page, "/wait": "<Say>Hold.</Say><Pause length='1'/>"}
    _, _, human, _ = await meet(pages, HumanPhone(), script)
    assert {words for words, _ in human.prompts.ended} == {"Hold."}


async def test_who_enters_is_announced_by_a_beep_unless_told_not_to(autojump_clock):
    async def script(person):
        await trio.sleep(2)
        person.hang_up()

    page = conference('waitUrl="" endConferenceOnExit="true"')
    _, caller, human, _ = await meet({"/screen": page, "/voice": page}, HumanPhone(), script)
    assert BEEP in bytes(human.line.heard.audio)
    assert BEEP in bytes(caller.line.heard.audio)


async def test_a_conference_waits_for_one_who_may_start_it(autojump_clock):
    async def script(person):
        await person.say(LOW)
        await trio.sleep(2)
        person.hang_up()

    page = conference('beep="false" waitUrl="" startConferenceOnEnter="false"')
    relay, _, human, _ = await meet(
        {"/screen": page, "/voice": page}, HumanPhone(acts=[Act(hang_up=True, after_s=20)]), script
    )
    assert "conference-start" not in [event for _, event, _ in told(relay)]
    assert loudness_db(bytes(human.line.heard.audio)) == -100.0
    assert relay.forms("/conf")[-1]["ReasonConferenceEnded"] == "last-participant-left"


async def test_three_are_mixed_and_one_is_muted(autojump_clock):
    others = {HUMAN: LOW, "+15125550101": HIGH, "+15125550102": tone(1500, 400, -15)}
    phones = {
        number: HumanPhone(
            answer_after_s=1, acts=[Act(say=sound, after_s=3), Act(hang_up=True, after_s=6)]
        )
        for number, sound in others.items()
    }
    page = conference('beep="false" waitUrl="" jitterBufferSize="off"')
    muted = conference('beep="false" waitUrl="" jitterBufferSize="off" muted="true"')
    relay = Relay({"/screen": page, "/muted": muted})
    async with open_twilio(relay, phones=phones) as twilio:
        low, high = [await twilio.ring(To=number) for number in list(others)[:2]]
        still = await twilio.ring(To="+15125550102", Url=f"{ORIGIN}/muted")
        await still.ended.wait()
    assert loudness_db(bytes(low.line.heard.audio).strip(b"\xff")) == pytest.approx(-15, abs=0.5)
    assert HIGH[400:-400] in bytes(low.line.heard.audio)
    assert LOW[400:-400] in bytes(high.line.heard.audio)
    both = bytes(still.line.heard.audio).strip(b"\xff")
    assert loudness_db(both) == pytest.approx(-12, abs=0.5)
    joined = {participant for _, event, participant in told(relay) if "join" in event}
    assert joined == {low.sid, high.sid, still.sid}


async def test_a_participant_who_gets_other_instructions_leaves(autojump_clock):
    page = conference('beep="false" waitUrl=""')
    relay = Relay({"/screen": page, "/voice": page, "/left": "<Hangup/>"})
    phone = HumanPhone(acts=[Act(hang_up=True, after_s=15)])
    async with open_twilio(relay, phones={HUMAN: phone}) as twilio:
        human = await twilio.ring()
        await trio.sleep(4)
        caller = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, caller)
            await trio.sleep(3)
            await twilio.post(f"Calls/{caller.sid}", Twiml="<Response><Say>Back.</Say></Response>")
        await human.ended.wait()
        await trio.sleep(1)
    leaves = [form for form in relay.forms("/conf") if "leave" in form["StatusCallbackEvent"]]
    assert [(form["CallSid"], form["ReasonParticipantLeft"]) for form in leaves] == [
        (caller.sid, "participant_updated_via_api"),
        (human.sid, "participant_hung_up"),
    ]
    assert relay.values("/left", "CallSid") == [human.sid]
    assert [words for words, _ in caller.prompts.ended] == ["Back."]


async def test_a_name_can_be_used_again_once_the_conference_is_over(autojump_clock):
    page = conference('beep="false" waitUrl=""')
    relay = Relay({"/screen": page})
    async with open_twilio(
        relay, phones={HUMAN: HumanPhone(acts=[Act(hang_up=True, after_s=1)])}
    ) as twilio:
        for _ in range(2):
            await (await twilio.ring()).ended.wait()
    assert len({each.sid for each in twilio.cloud.conferences}) == 2
