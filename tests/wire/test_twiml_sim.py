"""What the relay writes, read by the simulated Twilio: understood, and without a warning."""

import pytest

from relay.sim.twilio_twiml import read_twiml
from relay.sim.twilio_verbs import Confer, Connect, Dial, Gather, Hangup, Record, Redirect, Say
from relay.wire import twiml

HOST = "https://relay.example.com"

DOCUMENTS = {
    "stream": (
        twiml.connect_stream(
            stream_url="wss://relay.example.com/stream/t",
            action_url=f"{HOST}/after",
            status_callback_url=f"{HOST}/stream",
            fallback_url=f"{HOST}/fallback",
            parameters={"name": "value"},
        ),
        (Connect, Redirect),
    ),
    "dial": (
        twiml.dial(
            "+15125550199",
            action_url=f"{HOST}/dialled",
            screen_url=f"{HOST}/screen?call=1",
            caller_id="+14155550123",
            say="One moment.",
        ),
        (Say, Dial),
    ),
    "screen": (
        twiml.screen("A caller about a boiler.", key_url=f"{HOST}/key", times=2),
        (Gather, Gather, Hangup),
    ),
    "go on": (twiml.go_on(), ()),
    "room": (
        twiml.enter_room("xfer", action_url=f"{HOST}/left", events_url=f"{HOST}/room", say="Hi."),
        (Say, Confer),
    ),
    "voicemail": (
        twiml.voicemail(
            "Leave a message.", action_url=f"{HOST}/m", recording_url=f"{HOST}/rec", bye="Goodbye."
        ),
        (Say, Record, Say, Hangup),
    ),
    "words": (twiml.say_and_hang_up("Goodbye."), (Say, Hangup)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_simulated_twilio_understands_it(name):
    text, verbs = DOCUMENTS[name]
    document = read_twiml(text)
    assert document.warnings == ()
    assert tuple(type(verb) for verb in document.verbs) == verbs
