"""A whole warm transfer in the simulated cloud: the human is rung while the caller is in a stream,
presses a key, and both meet in a conference. What each ear has to bear is measured."""

import base64
import json
from contextlib import suppress

import pytest
import trio

from relay.errors import SocketClosed
from relay.sim.line import PER_MS
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.ulaw import tone
from tests.sim.twilio_relay import CALLER, HUMAN, NUMBER, ORIGIN, STREAM, Relay, open_twilio

ROOM = 'beep="false" waitUrl="" endConferenceOnExit="true" jitterBufferSize="small"'
MEET = f'<Dial action="{ORIGIN}/left"><Conference {ROOM}>xfer</Conference></Dial>'
SCREEN = "<Gather numDigits='1' action='/key'><Say>Press 1.</Say></Gather><Hangup/>"
AGENT, MOTHER, DESK = tone(600, 1000, -15), tone(250, 300, -15), tone(900, 300, -15)


async def agent(socket):
    """Talks without a pause, as somebody who keeps a caller company."""
    with suppress(SocketClosed):
        while True:
            message = json.loads(await socket.receive())
            if message["event"] == "media" and int(message["media"]["chunk"]) % 50 == 1:
                payload = base64.b64encode(AGENT).decode()
                media = {"event": "media", "streamSid": message["streamSid"]}
                await socket.send(json.dumps(media | {"media": {"payload": payload}}))


async def talk(person):
    """The caller, who never stops talking either."""
    while trio.current_time() < person.line.origin + 20:
        await person.say(MOTHER)
        await trio.sleep(0.1)
    person.hang_up()


async def desk(person):
    """The human, who presses 1 and then talks as well."""
    await trio.sleep(2.0)
    person.press("1")
    while True:
        await person.say(DESK)
        await trio.sleep(0.1)


async def transferred(latency_s):
    relay = Relay({"/voice": STREAM, "/screen": SCREEN, "/left": "<Hangup/>"})
    relay.serve = agent
    human = HumanPhone(script=desk)
    async with open_twilio(relay, phones={HUMAN: human}, latency_s=latency_s) as twilio:
        caller = twilio.cloud.place(NUMBER, CALLER)
        pressed = trio.Event()
        relay.pages["/key"] = lambda form: pressed.set() or MEET

        async def transfer():
            await trio.sleep(2)
            await twilio.ring()
            await pressed.wait()
            await twilio.post(f"Calls/{caller.sid}", Twiml=f"<Response>{MEET}</Response>")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, caller, talk)
            nursery.start_soon(transfer)
        (record,) = human.calls
        await twilio.cloud.calls[record.sid].ended.wait()
    return relay, caller, record, twilio.cloud.conferences[0]


def silences_ms(line, since, until):
    """The stretches with nothing to hear between two samples, in ms."""
    edges = [since]
    for start, end in line.heard.spans:
        if since < end and start < until:
            edges += [max(start, since), min(end, until)]
    edges.append(until)
    return [(b - a) / PER_MS for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


@pytest.mark.parametrize("latency_s", [0.0, 0.5])
async def test_neither_ear_is_left_alone_for_long(autojump_clock, latency_s):
    relay, caller, record, conference = await transferred(latency_s)
    left = relay.forms("/left")[0]
    assert (left["DialCallStatus"], caller.streams[0].ended.by) == ("answered", "phone")
    pressed = relay.when("/key")
    met = next(at for at, event, _ in conference.happened if event == "conference-start")
    assert met - pressed == pytest.approx(0.05 + latency_s / 2, abs=0.1)
    for line in (caller.line, record.line):
        gaps = silences_ms(line, line.sample(pressed), line.sample(met) + 8000)
        assert max(gaps) <= 400 + 1000 * latency_s
    assert DESK[400:-400] in bytes(caller.line.heard.audio)
    assert MOTHER[400:-400] in bytes(record.line.heard.audio)


async def test_a_human_who_hangs_up_before_the_caller_comes_leaves_no_conference(autojump_clock):
    relay = Relay({"/voice": STREAM, "/screen": SCREEN, "/key": MEET, "/left": "<Hangup/>"})
    human = HumanPhone(acts=[Act(press="1", prompt="Press"), Act(hang_up=True, after_s=2)])
    async with open_twilio(relay, phones={HUMAN: human}) as twilio:
        caller = twilio.cloud.place(NUMBER, CALLER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(twilio.cloud.run, caller, talk)
            leg = await twilio.ring()
            await leg.ended.wait()
            await trio.sleep(0.2)
            twiml = f"<Response>{MEET}</Response>"
            await twilio.post(f"Calls/{caller.sid}", Twiml=twiml)
    first, second = twilio.cloud.conferences
    assert [event for _, event, _ in first.happened] == [
        "participant-join",
        "participant-leave",
        "conference-end",
    ]
    assert [who for _, _, who in second.happened if who] == [caller.sid] * 2
