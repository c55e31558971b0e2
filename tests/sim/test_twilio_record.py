"""<Record>: a message that is left, or not, and what is told of it."""

import pytest
import trio

from relay.sim.line import FRAME
from relay.sim.twilio_record import BEEP
from relay.sim.ulaw import tone
from tests.sim.twilio_relay import CALLER, NUMBER, Relay, open_twilio

LEAVE = (
    '<Say>Leave a message.</Say><Record action="/left" maxLength="{max}" timeout="4" {more} '
    'recordingStatusCallback="/rec" recordingStatusCallbackEvent="in-progress completed absent"/>'
    "<Say>Nothing heard.</Say>"
)
MESSAGE = tone(320, 3000, -15)


async def quiet(person):
    await trio.sleep(600)


async def left(script, *, longest=90, more="", voice=LEAVE):
    """Run a call to a voicemail. Returns the relay, the call and the recordings."""
    relay = Relay({"/voice": voice.format(max=longest, more=more), "/left": "<Hangup/>"})
    async with open_twilio(relay) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        await twilio.cloud.run(call, script)
        await trio.sleep(3)
    return relay, call, list(twilio.cloud.recordings.values())


def speak(*, then=None, after_s=0.0):
    """A caller who speaks after the beep, and then presses a key, hangs up, or waits."""

    async def script(person):
        await person.hear_until_silence(1000)
        await person.say(MESSAGE)
        await trio.sleep(after_s)
        if then == "hang up":
            person.hang_up()
        elif then:
            person.press(then)
        await trio.sleep(600)

    return script


@pytest.mark.parametrize(
    ("script", "digits"),
    [
        (speak(then="#", after_s=1), "#"),
        (speak(then="5", after_s=1), "5"),
        (speak(), ""),
        (speak(then="hang up", after_s=1), "hangup"),
    ],
    ids=["hash", "digit", "silence", "hang-up"],
)
async def test_a_message_is_left(autojump_clock, script, digits):
    relay, call, (recording,) = await left(script)
    form = relay.forms("/left")[0]
    assert (form["Digits"], form["RecordingSid"], form["RecordingUrl"]) == (
        digits,
        recording.sid,
        recording.url,
    )
    assert form["CallStatus"] == ("completed" if digits == "hangup" else "in-progress")
    assert form["RecordingDuration"] == str(recording.duration_s) == "4"
    said, _ = recording.sound()
    assert abs(len(said) - said.index(MESSAGE[:-FRAME]) - len(MESSAGE)) < FRAME
    assert relay.values("/rec", "RecordingStatus") == ["in-progress", "completed"]
    assert relay.values("/rec", "RecordingSource") == ["RecordVerb"] * 2
    assert BEEP in bytes(call.line.heard.audio)
    assert "Nothing heard." not in [words for words, _ in call.prompts.ended]


@pytest.mark.parametrize("more", ["", "playBeep='false'"])
async def test_where_nothing_is_said_the_next_verb_follows(autojump_clock, more):
    relay, call, (recording,) = await left(quiet, more=more)
    assert "/left" not in relay.paths()
    assert [words for words, _ in call.prompts.ended][-1] == "Nothing heard."
    assert relay.values("/rec", "RecordingStatus") == ["in-progress", "absent"]
    assert recording.duration_s == 0
    assert (BEEP in bytes(call.line.heard.audio)) is not more


async def test_nobody_speaks_longer_than_allowed(autojump_clock):
    async def script(person):
        await person.say(tone(320, 60_000, -15))

    relay, _, (recording,) = await left(script, longest=10)
    assert (recording.duration_s, relay.values("/left", "Digits")) == (10, [""])


async def test_silence_at_the_end_is_trimmed_unless_told_not_to(autojump_clock):
    _, _, (recording,) = await left(speak(then="#", after_s=2), more="trim='do-not-trim'")
    assert recording.duration_s == 6


async def test_only_the_named_keys_end_it(autojump_clock):
    relay, _, _ = await left(speak(then="5", after_s=1), more="finishOnKey='#'")
    assert relay.values("/left", "Digits") == [""]


async def test_without_action_the_same_page_is_told(autojump_clock):
    relay = Relay()
    relay.pages["/voice"] = lambda form: (
        "<Hangup/>" if form.get("RecordingSid") else "<Record timeout='2'/>"
    )
    async with open_twilio(relay) as twilio:
        await twilio.cloud.run(twilio.cloud.place(NUMBER, CALLER), speak(then="#"))
    assert relay.values("/voice", "Digits") == [None, "#"]
