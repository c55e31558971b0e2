"""Recordings by REST: what is kept, to the sample, and what is told."""

from email.utils import parsedate_to_datetime

import pytest
import trio

from relay.sim.twilio_dial import HumanPhone
from relay.sim.ulaw import loudness_db, tone
from tests.sim.twilio_relay import (
    ACCOUNT,
    API,
    CALLER,
    HUMAN,
    NUMBER,
    ORIGIN,
    STREAM,
    Relay,
    open_twilio,
)

STATUS = {
    "RecordingStatusCallback": f"{ORIGIN}/rec",
    "RecordingStatusCallbackEvent": ["in-progress completed absent"],
}
TONES = {second: tone(300 + 40 * second, 1000, -15) for second in range(12)}


async def count(person):
    """A caller who says another tone every second, and then hangs up."""
    for second in range(12):
        await person.say(TONES[second])
    person.hang_up()


class Tape:
    """A call with the seconds at which things are asked of its recording."""

    def __init__(self, *steps, voice=STREAM, script=count, **form):
        self.steps, self.script = steps, script
        self.form = {"RecordingChannels": "dual"} | STATUS | form
        self.relay = Relay({"/voice": voice})
        self.answers = []

    async def run(self):
        async with open_twilio(self.relay) as twilio:
            call = twilio.cloud.place(NUMBER, CALLER)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(twilio.cloud.run, call, self.script)
                await call.answered.wait()
                for at, what in self.steps:
                    await trio.sleep_until(call.answered_at + at)
                    self.answers.append(await self.do(twilio, call, what))
            await trio.sleep(3)
        (self.recording,) = twilio.cloud.recordings.values()
        self.call = call
        return self

    async def do(self, twilio, call, what):
        path = f"Calls/{call.sid}/Recordings"
        if what == "start":
            return await twilio.post(path, **self.form)
        status, _, behavior = what.partition(" ")
        form = {"Status": status} | ({"PauseBehavior": behavior} if behavior else {})
        return await twilio.post(f"{path}/Twilio.CURRENT", **form)

    def heard(self):
        """The seconds whose tones are on channel 1, each at least half."""
        said, _ = self.recording.sound()
        return [second for second, sound in TONES.items() if sound[4000:] in said]


async def test_nothing_from_before_the_start_or_after_the_stop_is_kept(autojump_clock):
    tape = await Tape((3, "start"), (7, "stopped")).run()
    assert tape.heard() == [3, 4, 5, 6]
    said, heard = tape.recording.sound()
    assert len(said) == len(heard) == 4 * 8000
    assert tape.answers[0].json()["status"] == "in-progress"


@pytest.mark.parametrize(("behavior", "seconds"), [("silence", 8), ("skip", 5), ("", 8)])
async def test_nothing_from_a_pause_is_kept(autojump_clock, behavior, seconds):
    steps = (1, "start"), (3, f"paused {behavior}".strip()), (6, "in-progress"), (9, "stopped")
    tape = await Tape(*steps).run()
    assert tape.heard() == [1, 2, 6, 7, 8]
    said, _ = tape.recording.sound()
    assert len(said) == seconds * 8000
    if seconds == 8:
        assert loudness_db(said[2 * 8000 : 5 * 8000]) == -100.0
    assert [answer.json()["status"] for answer in tape.answers[1:3]] == ["paused", "in-progress"]


async def test_it_tells_its_beginning_and_its_end(autojump_clock):
    tape = await Tape((2, "start")).run()
    begun, done = tape.relay.forms("/rec")
    assert (begun["RecordingStatus"], done["RecordingStatus"]) == ("in-progress", "completed")
    assert "RecordingDuration" not in begun
    assert parsedate_to_datetime(done.pop("RecordingStartTime"))
    url = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{tape.recording.sid}"
    assert done == {
        "AccountSid": ACCOUNT,
        "CallSid": tape.call.sid,
        "RecordingSid": tape.recording.sid,
        "RecordingUrl": url,
        "RecordingStatus": "completed",
        "RecordingDuration": "10",
        "RecordingChannels": "2",
        "RecordingTrack": "both",
        "RecordingSource": "StartCallRecordingAPI",
    }


async def test_channel_two_is_what_the_caller_hears(autojump_clock):
    tape = await Tape((0.5, "start"), voice="<Pause/><Say>Hello.</Say><Pause/>", script=quiet).run()
    said, heard = tape.recording.sound()
    assert loudness_db(said) == -100.0
    assert loudness_db(heard) > -30


async def quiet(person):
    await trio.sleep(600)


async def test_it_goes_on_over_new_instructions_and_ends_with_the_call(autojump_clock):
    relay = Relay({"/voice": STREAM})
    async with open_twilio(relay) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, call, count)
            await trio.sleep(2)
            await twilio.post(f"Calls/{call.sid}/Recordings", RecordingChannels="dual")
            await trio.sleep(2)
            twiml = "<Response><Pause length='30'/></Response>"
            await twilio.post(f"Calls/{call.sid}", Twiml=twiml)
        (recording,) = twilio.cloud.recordings.values()
        assert not recording.active
        assert recording.duration_s == 10


@pytest.mark.parametrize("when", ["ringing", "over"])
async def test_only_a_call_in_progress_can_be_recorded(autojump_clock, when):
    async with open_twilio(Relay(), phones={HUMAN: HumanPhone(outcome="busy")}) as twilio:
        call = await twilio.ring()
        if when == "over":
            await call.ended.wait()
        answer = await twilio.post(f"Calls/{call.sid}/Recordings")
    assert (answer.status_code, answer.json()["code"]) == (400, 21220)
    assert twilio.cloud.recordings == {}


async def test_a_recording_that_is_over_cannot_be_paused(autojump_clock):
    tape = await Tape((1, "start"), (2, "stopped"), (3, "paused")).run()
    assert tape.answers[2].json()["code"] == 20404


async def test_what_a_recording_can_be_asked_for(autojump_clock):
    tape = await Tape((1, "start"), (2, "rewound"), (3, "paused loudly")).run()
    assert [answer.json()["code"] for answer in tape.answers[1:]] == [20001, 20001]
    assert tape.recording.state == "completed"


@pytest.mark.parametrize(
    ("form", "channels"),
    [
        ({"RecordingChannels": "mono"}, 1),
        ({"RecordingTrack": "inbound"}, 1),
        ({"RecordingChannels": "dual"}, 2),
    ],
)
async def test_how_many_channels_a_recording_has(autojump_clock, form, channels):
    tape = await Tape((1, "start"), **form).run()
    assert tape.answers[0].json()["channels"] == channels


async def test_a_recording_can_be_fetched_and_deleted_once_it_is_over(autojump_clock):
    async with open_twilio(Relay()) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, call, count)
            await trio.sleep(2)
            made = await twilio.post(f"Calls/{call.sid}/Recordings")
            url = f"{API}/Recordings/{made.json()['sid']}.json"
            early = await twilio.client.delete(url)
        await trio.sleep(0.5)
        states = [(await twilio.client.get(url)).json()]
        await trio.sleep(1)
        states.append((await twilio.client.get(url)).json())
        gone = [await twilio.client.delete(url) for _ in range(2)]
    assert early.json()["code"] == 20001
    assert [(each["status"], each["duration"]) for each in states] == [
        ("processing", None),
        ("completed", "10"),
    ]
    assert [answer.status_code for answer in gone] == [204, 404]
