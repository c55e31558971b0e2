"""<Gather>: which keys count, what they do to a prompt, and where the call goes then."""

import pytest
import trio

from relay.sim.twilio_account import tone_speech
from relay.sim.twilio_call import Number
from relay.sim.twilio_net import NetworkError
from relay.sim.ulaw import SILENCE
from tests.sim.twilio_relay import CALLER, NUMBER, ORIGIN, Relay, open_twilio

PROMPT = "Press a key."  # takes 0.84 s
SAID = len(tone_speech(PROMPT)) / 8000
ASKED = 0.05  # the relay's own time for an answer


def keys(*presses):
    """A caller who presses keys so long after the answer."""

    async def script(person):
        start = trio.current_time()
        for at, digits in presses:
            await trio.sleep_until(start + at)
            person.press(digits)

    return script


async def gathered(attributes, script, *, inside=f"<Say>{PROMPT}</Say>"):
    """Run a call through one <Gather>. Returns what `action` was told, and when; or None."""
    asked = f"<Gather action='/key' {attributes}>{inside}</Gather>"
    relay = Relay({"/voice": asked + "<Redirect>/none</Redirect>"})
    async with open_twilio(relay) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        await twilio.cloud.run(call, script)
    assert ("/none" in relay.paths()) != ("/key" in relay.paths())
    then = "/key" if "/key" in relay.paths() else "/none"
    forms = relay.forms("/key")
    return (forms[0] if forms else None), relay.when(then) - call.answered_at, call


@pytest.mark.parametrize(
    ("attributes", "presses", "digits", "after_s"),
    [
        ("numDigits='1'", [(2, "1")], "1", 2.0),
        ("numDigits='1'", [(0.3, "1")], "1", 0.3),
        ("numDigits='3'", [(0.3, "12"), (1.5, "34")], "123", 1.5),
        ("", [(2, "42#")], "42", 2.0),
        ("", [(2, "42")], "42", 7.0),
        ("timeout='2'", [(1, "4"), (2.5, "2")], "42", 4.5),
        ("finishOnKey='*'", [(1, "4#2*")], "4#2", 1.0),
        ("finishOnKey='' numDigits='2'", [(1, "#*")], "#*", 1.0),
    ],
)
async def test_keys_that_count(autojump_clock, attributes, presses, digits, after_s):
    form, at, _ = await gathered(attributes, keys(*presses))
    assert form["Digits"] == digits
    assert at == pytest.approx(after_s)


@pytest.mark.parametrize(
    ("attributes", "presses", "after_s"),
    [
        ("numDigits='1'", [], SAID + 5),
        ("timeout='8'", [], SAID + 8),
        ("", [(2, "#")], 2.0),
        ("numDigits='4' timeout='2'", [(SAID + 2.5, "1")], SAID + 2),
    ],
)
async def test_no_key_falls_through(autojump_clock, attributes, presses, after_s):
    form, at, _ = await gathered(attributes, keys(*presses))
    assert form is None
    assert at == pytest.approx(after_s)


async def test_no_key_can_be_told(autojump_clock):
    form, at, _ = await gathered("actionOnEmptyResult='true' timeout='2'", keys())
    assert (form["Digits"], at) == ("", pytest.approx(SAID + 2))


async def test_the_first_key_breaks_off_the_prompt(autojump_clock):
    _, _, call = await gathered("numDigits='1'", keys((0.3, "1")))
    heard = bytes(call.line.heard.audio).strip(SILENCE)
    assert len(heard) == pytest.approx(0.3 * 8000, abs=2)
    assert call.prompts.ended == []


async def test_what_was_pressed_before_it_does_not_count(autojump_clock):
    relay = Relay({"/voice": "<Say>Wait.</Say><Gather timeout='2' action='/key'/>"})
    async with open_twilio(relay) as twilio:
        await twilio.cloud.run(twilio.cloud.place(NUMBER, CALLER), keys((0.1, "9")))
    assert "/key" not in relay.paths()


async def test_several_prompts_are_heard_in_order(autojump_clock):
    inside = f"<Say>One.</Say><Pause length='2'/><Play>{ORIGIN}/two.wav</Play>"
    _, at, call = await gathered("timeout='3'", keys(), inside=inside)
    assert [words for words, _ in call.prompts.ended] == ["One.", f"{ORIGIN}/two.wav"]
    assert at == pytest.approx(len(tone_speech("One.")) / 8000 + 2 + 1 + 3)


async def test_without_action_the_same_page_is_asked_again(autojump_clock):
    relay = Relay()
    relay.pages["/voice"] = lambda form: (
        "<Hangup/>" if form.get("Digits") else "<Gather numDigits='1'/>"
    )
    async with open_twilio(relay) as twilio:
        await twilio.cloud.run(twilio.cloud.place(NUMBER, CALLER), keys((1, "5")))
    assert relay.values("/voice", "Digits") == [None, "5"]


async def test_a_caller_who_hangs_up_ends_it(autojump_clock):
    async def script(person):
        await trio.sleep(1)
        person.hang_up()

    relay = Relay({"/voice": "<Gather action='/key' actionOnEmptyResult='true'/>"})
    async with open_twilio(relay) as twilio:
        call = twilio.cloud.place(NUMBER, CALLER)
        await twilio.cloud.run(call, script)
    assert (call.ended_by, call.duration_s) == ("caller", 1)
    assert "/key" not in relay.paths()


async def test_a_sound_that_cannot_be_had_is_passed_over(autojump_clock):
    def sound(url):
        raise NetworkError(11200, url)

    relay = Relay({"/voice": "<Play>/none.wav</Play><Say>Go on.</Say>"})
    async with open_twilio(relay, sound=sound) as twilio:
        call = twilio.cloud.place(Number(NUMBER.number, NUMBER.voice_url), CALLER)
        await twilio.cloud.run(call)
    assert [complaint.code for complaint in call.complaints] == [11200]
    assert [words for words, _ in call.prompts.ended] == ["Go on."]
