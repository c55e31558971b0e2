"""Calls of every kind that are hung up, redirected, ended and canceled at random moments: each one
ends, and what is told of it fits together."""

import random

import trio

from relay.sim.twilio_dial import Act, HumanPhone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, ORIGIN, STREAM, Relay, open_twilio

LIMIT_S = 120.0
EVENTS = 'statusCallback="/child" statusCallbackEvent="initiated ringing answered completed"'
ROOM = 'beep="false" waitUrl="" statusCallback="/conf" statusCallbackEvent="start end join leave"'
PAGES = (
    STREAM,
    f"<Dial action='/next'><Number url='/whisper' {EVENTS}>{HUMAN}</Number></Dial>",
    f"<Dial action='/next'><Conference endConferenceOnExit='true' {ROOM}>room</Conference></Dial>",
    f"<Dial action='/next'><Conference {ROOM}>room</Conference></Dial>",
    "<Gather action='/next' numDigits='1' timeout='3'><Say>Press.</Say></Gather>",
    "<Record action='/next' timeout='3'/>",
    "<Say>A few words.</Say><Pause length='2'/><Redirect>/next</Redirect>",
)
WHISPERS = ("", "<Hangup/>", "<Gather numDigits='1' timeout='3' action='/key'/><Hangup/>")
LAST = ("completed", "busy", "failed", "no-answer", "canceled")


class Dice:
    """Everything random of one run."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    def page(self, form):
        return self.draw.choice(PAGES) if self.draw.random() < 0.7 else "<Hangup/>"

    def human(self):
        outcomes = ["answer"] * 4 + ["busy", "no-answer", "failed", "voicemail"]
        return HumanPhone(
            answer_after_s=self.draw.uniform(0, 8),
            outcome=self.draw.choice(outcomes),
            acts=[
                Act(press=self.draw.choice("12#"), after_s=self.draw.uniform(0, 6)),
                Act(hang_up=True, after_s=self.draw.uniform(0, 40)),
            ],
            voicemail_s=self.draw.uniform(0, 30),
        )

    async def caller(self, person):
        for _ in range(self.draw.randrange(6)):
            await trio.sleep(self.draw.uniform(0, 6))
            person.press(self.draw.choice("0123#"))
        await trio.sleep(self.draw.uniform(0, 20))
        person.hang_up()

    async def meddle(self, twilio):
        """Ask REST for something sensible or not, about any call there is or was."""
        for _ in range(self.draw.randrange(10)):
            await trio.sleep(self.draw.uniform(0, 5))
            sid = self.draw.choice(list(twilio.cloud.calls))
            match self.draw.randrange(6):
                case 0:
                    await twilio.post(f"Calls/{sid}", Status="completed")
                case 1:
                    await twilio.post(f"Calls/{sid}", Status="canceled")
                case 2:
                    await twilio.post(f"Calls/{sid}", Url=f"{ORIGIN}/next")
                case 3:
                    await twilio.post(f"Calls/{sid}", Twiml="<Response><Pause/></Response>")
                case 4:
                    await twilio.post(f"Calls/{sid}/Recordings")
                case _:
                    await twilio.ring(
                        Url=f"{ORIGIN}/next",
                        StatusCallback=f"{ORIGIN}/leg",
                        StatusCallbackEvent=["initiated", "ringing", "answered", "completed"],
                    )


async def mayhem(seed):
    dice = Dice(seed)
    pages = {
        "/voice": dice.page,
        "/next": dice.page,
        "/after": dice.page,
        "/whisper": dice.draw.choice(WHISPERS),
    }
    relay = Relay(pages)
    async with open_twilio(relay, phones={HUMAN: dice.human()}) as twilio:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                call = twilio.cloud.place(NUMBER, CALLER)
                nursery.start_soon(twilio.cloud.run, call, dice.caller)
            nursery.start_soon(dice.meddle, twilio)
        with trio.fail_after(LIMIT_S):
            while going := [call for call in twilio.cloud.calls.values() if not call.ended_at]:
                await going[0].ended.wait()
        await trio.sleep(3)
    return relay, twilio.cloud


def check_callbacks(forms):
    """One call's callbacks: numbered without a gap, in order, and one last word."""
    assert [int(form["SequenceNumber"]) for form in forms] == list(range(len(forms)))
    states = [form["CallStatus"] for form in forms]
    assert [state for state in states if state in LAST] == states[-1:]
    assert states[:-1] == ["initiated", "ringing", "in-progress"][: len(states) - 1]


def check(relay, cloud):
    for call in cloud.calls.values():
        assert (call.status in LAST, call.log.closed) == (True, True)
        told = [form for form in relay.forms("/status") if form["CallSid"] == call.sid]
        assert len(told) == (call.direction == "inbound")
        assert not {complaint.code for complaint in call.complaints} - {15004}
    for path, direction in (("/leg", "outbound-api"), ("/child", "outbound-dial")):
        for call in cloud.calls.values():
            if call.direction == direction:
                check_callbacks([form for form in relay.forms(path) if form["CallSid"] == call.sid])
    for conference in cloud.conferences:
        check_conference(conference)
    for recording in cloud.recordings.values():
        assert recording.state in ("completed", "absent")


def check_conference(conference):
    assert conference.over.is_set()
    events = [event for _, event, _ in conference.happened]
    assert events[0] == "participant-join"
    assert events[-1] == "conference-end"
    assert events.count("conference-end") == 1
    assert events.count("conference-start") <= 1
    joined = [who for _, event, who in conference.happened if event == "participant-join"]
    left = [who for _, event, who in conference.happened if event == "participant-leave"]
    assert sorted(joined) == sorted(left)


async def test_every_call_ends_and_what_is_told_fits(autojump_clock):
    seen = set()
    for seed in range(40):
        relay, cloud = await mayhem(seed)
        check(relay, cloud)
        seen |= {kind for call in cloud.calls.values() for kind in call.log.kinds()}
        seen |= {call.status for call in cloud.calls.values()}
    # Were all runs cut short, they would prove nothing.
    assert seen >= {"bridged", "conference-start", "gathered", "recorded", "stream-ended", *LAST}
