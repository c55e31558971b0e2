"""Twilio's end of a media stream, against a relay played by the test."""

import base64
import json
import math

import pytest
import trio

from relay.errors import SocketClosed
from relay.sim.line import Line
from relay.sim.pair import memory_pair
from relay.sim.room import Room
from relay.sim.twilio_stream import StreamFaults, StreamLeg
from relay.sim.ulaw import tone


class Relay:
    """The relay's end: keeps all that arrives, with its time; says what the test wants."""

    def __init__(self, socket):
        self.socket = socket
        self.got = []
        self.sid = None
        self.closed = None
        self.started = trio.Event()

    async def run(self):
        try:
            while True:
                message = json.loads(await self.socket.receive())
                self.got.append((trio.current_time(), message))
                if message["event"] == "start":
                    self.sid = message["streamSid"]
                    self.started.set()
        except SocketClosed as gone:
            self.closed = gone.code

    def events(self, name):
        return [(at, message) for at, message in self.got if message["event"] == name]

    async def send(self, event, **body):
        message = {"event": event, "streamSid": self.sid}
        await self.socket.send(json.dumps(message | ({event: body} if body else {})))

    async def media(self, mulaw):
        await self.send("media", payload=base64.b64encode(mulaw).decode())


async def call(play, **options):
    """Run one stream; `play(leg, relay)` acts from `start` on, then the caller hangs up."""
    phone, ours = memory_pair(delay=options.pop("delay", None))
    line = Line(room=options.pop("room", Room()))
    leg = StreamLeg(phone, line, **options)
    relay = Relay(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay.run)
        nursery.start_soon(leg.run)
        await relay.started.wait()
        await play(leg, relay)
        line.hung_up.set()
    return leg, relay


async def test_a_stream_begins_and_ends_as_twilios_do(autojump_clock):
    async def play(leg, relay):
        await trio.sleep(0.0999)

    leg, relay = await call(
        play, call_sid="CA1", account_sid="AC1", stream_sid="MZ1", parameters={"call": "7"}
    )
    messages = [message for _, message in relay.got]
    assert messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert messages[1] == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"call": "7"},
        },
        "streamSid": "MZ1",
    }
    assert messages[2] == {
        "event": "media",
        "sequenceNumber": "2",
        "media": {
            "track": "inbound",
            "chunk": "1",
            "timestamp": "0",
            "payload": base64.b64encode(b"\xff" * 160).decode(),
        },
        "streamSid": "MZ1",
    }
    assert messages[-1] == {
        "event": "stop",
        "sequenceNumber": "6",
        "stop": {"accountSid": "AC1", "callSid": "CA1"},
        "streamSid": "MZ1",
    }
    assert relay.closed == 1000
    assert (leg.ended.by, leg.ended.code) == ("phone", 1000)


async def test_frames_keep_a_schedule_without_drift(autojump_clock):
    async def play(leg, relay):
        await trio.sleep(60.01)

    leg, relay = await call(play)
    media = relay.events("media")
    assert len(media) == 3000
    for frame, (at, message) in enumerate(media, 1):
        assert at - leg.started_at == pytest.approx(frame * 0.02, abs=1e-6)
        assert message["media"]["chunk"] == str(frame)
        assert message["media"]["timestamp"] == str(20 * (frame - 1))


async def test_the_relay_gets_what_the_caller_says_sample_for_sample(autojump_clock):
    clip = tone(300, 130)

    async def play(leg, relay):
        await trio.sleep(0.0555)
        leg.line.said.play(clip, leg.line.sample())
        await trio.sleep(0.3)

    _, relay = await call(play)
    heard = b"".join(base64.b64decode(m["media"]["payload"]) for _, m in relay.events("media"))
    assert heard.index(clip) == pytest.approx(0.0555 * 8000, abs=1)


async def test_marks_echo_on_play_out_and_at_once_on_clear(autojump_clock):
    times = {}

    async def play(leg, relay):
        times["sent"] = trio.current_time()
        await relay.media(b"\x80" * 800)
        await relay.send("mark", name="a")
        await relay.media(b"\x80" * 8000)
        await relay.send("mark", name='odd "name"')
        await trio.sleep(0.5)
        times["clear"] = trio.current_time()
        await relay.send("clear")
        await relay.send("mark", name="empty")
        await trio.sleep(0.1)

    leg, relay = await call(play)
    echoes = [(m["mark"]["name"], at) for at, m in relay.events("mark")]
    assert [name for name, _ in echoes] == ["a", 'odd "name"', "empty"]
    assert [at for _, at in echoes] == pytest.approx(
        [times["sent"] + 0.1, times["clear"], times["clear"]], abs=1e-4
    )
    assert [mark.discarded for mark in leg.playout.marks] == [False, True, False]
    assert leg.played_ms(0, 8800) == pytest.approx(500, abs=0.2)
    assert len(leg.line.heard.audio.strip(b"\xff")) == leg.played_ms(0, 8800) * 8
    numbers = [int(m["sequenceNumber"]) for _, m in relay.got[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_pauses_of_the_relay_are_holes_in_what_is_heard(autojump_clock):
    async def play(leg, relay):
        for _ in range(5):
            await relay.media(b"\x80" * 160)
            await trio.sleep(0.03)

    leg, _ = await call(play)
    assert [end - start for start, end in leg.line.heard.gaps()] == pytest.approx([80] * 4, abs=1)


GOOD = {"event": "mark", "streamSid": "{sid}", "mark": {"name": "x"}}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("7", "not an object"),
        (b"{}", "binary"),
        ({"event": "hello", "streamSid": "{sid}"}, "unknown event"),
        ({"event": ["mark"], "streamSid": "{sid}"}, "unknown event"),
        (GOOD | {"streamSid": "MZother"}, "streamSid"),
        ({"event": "clear"}, "streamSid"),
        (GOOD | {"sequenceNumber": "1"}, "unknown field 'sequenceNumber'"),
        (GOOD | {"mark": {"name": "x", "ms": 1}}, "unknown field 'ms'"),
        (GOOD | {"mark": {}}, "missing field 'name'"),
        (GOOD | {"mark": "x"}, "not an object"),
        (GOOD | {"mark": {"name": 5}}, "not a string"),
        ({"event": "media", "streamSid": "{sid}"}, "missing field 'media'"),
        (
            {"event": "media", "streamSid": "{sid}", "media": {"payload": "", "track": "out"}},
            "unknown field 'track'",
        ),
        ({"event": "media", "streamSid": "{sid}", "media": {"payload": "=!"}}, "not base64"),
        ({"event": "clear", "streamSid": "{sid}", "clear": {}}, "unknown field 'clear'"),
    ],
)
async def test_a_message_against_the_rules_is_dropped_and_noted(autojump_clock, message, words):
    async def play(leg, relay):
        raw = json.dumps(message) if isinstance(message, dict) else message
        await relay.socket.send(raw.replace("{sid}", relay.sid) if isinstance(raw, str) else raw)
        await relay.send("mark", name="still alive")
        await trio.sleep(0.1)

    leg, relay = await call(play)
    assert [complaint.code for complaint in leg.complaints] == [31951]
    assert words in leg.complaints[0].text
    assert [m["mark"]["name"] for _, m in relay.events("mark")] == ["still alive"]
    assert leg.line.heard.end == 0


async def test_more_than_ten_minutes_ahead_is_discarded_with_31931(autojump_clock):
    async def play(leg, relay):
        for _ in range(61):
            await relay.media(b"\x80" * 80_000)
        await trio.sleep(1)

    leg, _ = await call(play)
    assert [complaint.code for complaint in leg.complaints] == [31931]
    assert leg.playout.received == 60 * 80_000


async def test_a_close_by_the_relay_throws_the_buffer_away(autojump_clock):
    async def play(leg, relay):
        await relay.media(b"\x80" * 8000)
        await trio.sleep(0.25)
        await relay.socket.aclose(1000, "bye")
        await trio.sleep(0.1)
        assert (leg.ended.by, leg.ended.code, leg.ended.reason) == ("relay", 1000, "bye")

    leg, relay = await call(play)
    assert leg.line.heard.end == 2000
    assert relay.events("stop") == []


async def test_a_hang_up_is_stop_and_close_at_once(autojump_clock):
    times = {}

    async def play(leg, relay):
        await trio.sleep(0.333)
        times["hung up"] = trio.current_time()

    _, relay = await call(play)
    assert relay.events("stop")[0][0] == times["hung up"]


async def test_new_instructions_end_the_stream_with_stop_though_the_caller_stays(autojump_clock):
    async def play(leg, relay):
        leg.finish()
        await trio.sleep(0.1)
        assert relay.closed == 1000

    _, relay = await call(play)
    assert len(relay.events("stop")) == 1


async def test_a_drop_is_1006_at_the_relay(autojump_clock):
    async def play(leg, relay):
        leg.drop()
        await trio.sleep(0.1)
        assert relay.closed == 1006

    leg, relay = await call(play)
    assert (leg.ended.by, leg.ended.code) == ("phone", 1006)
    assert relay.events("stop") == []


async def test_keys_are_dtmf_messages(autojump_clock):
    async def play(leg, relay):
        leg.line.pressed.extend("1#")
        await trio.sleep(0.05)

    _, relay = await call(play)
    keys = [message["dtmf"] for _, message in relay.events("dtmf")]
    assert keys == [{"track": "inbound_track", "digit": digit} for digit in "1#"]


async def test_faults_of_the_network(autojump_clock):
    lateness = iter([0.0, 0.05] + [0.0] * 100)

    async def play(leg, relay):
        await relay.media(b"\x80" * 160)
        await relay.send("mark", name="lost")
        await relay.send("mark", name="kept")
        await trio.sleep(0.205)

    leg, relay = await call(
        play,
        faults=StreamFaults(
            jitter=lambda: next(lateness),
            lose_frame=lambda chunk: chunk == 4,
            lose_mark=lambda name: name == "lost",
        ),
    )
    assert [m["mark"]["name"] for _, m in relay.events("mark")] == ["kept"]
    media = relay.events("media")
    assert [m["media"]["chunk"] for _, m in media] == ["1", "2", "3", "5", "6", "7", "8", "9", "10"]
    assert media[3][1]["media"]["timestamp"] == "80"
    after = [round(at - leg.started_at, 3) for at, _ in media]
    assert after == [0.02, 0.04, 0.11, 0.11, 0.12, 0.14, 0.16, 0.18, 0.2]


async def test_the_agents_voice_comes_back_as_echo(autojump_clock):
    async def play(leg, relay):
        await relay.media(tone(500, 200, -10))
        await trio.sleep(0.5)

    _, relay = await call(play, room=Room(echo_loss_db=12, echo_delay_ms=40))
    sound = b"".join(base64.b64decode(m["media"]["payload"]) for _, m in relay.events("media"))
    first = len(sound) - len(sound.lstrip(b"\xff"))
    assert first == pytest.approx(320, abs=3)


async def test_a_relay_that_reads_nothing_is_given_up(autojump_clock):
    phone, _ours = memory_pair(capacity=50)
    leg = StreamLeg(phone, Line())
    start = trio.current_time()
    end = await leg.run()
    assert end.code == 1006
    assert trio.current_time() - start == pytest.approx(11, abs=0.2)
    assert "read nothing" in leg.complaints[0].text


async def test_the_network_s_delay_shows_in_the_echo(autojump_clock):
    times = []

    async def play(leg, relay):
        times.append(trio.current_time())
        await relay.send("mark", name="x")
        await trio.sleep(0.5)

    _, relay = await call(play, delay=lambda: 0.07)
    assert relay.events("mark")[0][0] - times[0] == pytest.approx(0.14, abs=1e-3)


async def test_three_minutes_of_stream_are_heard_without_a_gap(autojump_clock):
    async def play(leg, relay):
        step = 0.1
        begin = trio.current_time()
        for n in range(1800):
            await relay.media(bytes([n % 120]) * 800)
            await relay.send("mark", name=str(n))
            await trio.sleep_until(begin + (n + 1) * step - 0.05)
        await trio.sleep(1)

    leg, relay = await call(play)
    assert leg.line.heard.gaps(math.inf) == []
    assert leg.line.heard.end - leg.line.heard.spans[0][0] == 180 * 8000
    assert [m["mark"]["name"] for _, m in relay.events("mark")] == [str(n) for n in range(1800)]


async def test_frames_can_come_twice_and_behind_each_other(autojump_clock):
    async def play(leg, relay):
        await trio.sleep(0.15)

    faults = StreamFaults(repeat_frame=lambda n: n == 2, hold_frame=lambda n: n == 4)
    _, relay = await call(play, faults=faults)
    chunks = [message["media"]["chunk"] for _, message in relay.events("media")]
    assert chunks[:7] == ["1", "2", "2", "3", "5", "4", "6"]


async def test_a_mark_can_come_back_twice(autojump_clock):
    async def play(leg, relay):
        await relay.send("mark", name="a")
        await relay.send("mark", name="b")
        await trio.sleep(0.1)

    _, relay = await call(play, faults=StreamFaults(repeat_mark=lambda name: name == "a"))
    assert [message["mark"]["name"] for _, message in relay.events("mark")] == ["a", "a", "b"]


async def test_a_noisy_stream_says_what_nobody_has_heard_of(autojump_clock):
    async def play(leg, relay):
        await trio.sleep(0.1)

    _, relay = await call(play, faults=StreamFaults(noisy=True))
    assert len(relay.events("start")) == 2
    assert relay.events("weather")
    assert all("new" in message for _, message in relay.got[1:])


async def test_a_hang_up_can_be_a_close_without_a_stop(autojump_clock):
    async def play(leg, relay):
        await trio.sleep(0.1)

    leg, relay = await call(play, faults=StreamFaults(abrupt=True))
    assert relay.events("stop") == []
    assert (leg.ended.by, leg.ended.code) == ("phone", 1000)
