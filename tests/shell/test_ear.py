"""The ear in C and the reader in Python hear the same, whatever a phone says."""

from __future__ import annotations

import json
import socket as sockets
from contextlib import suppress

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import PhoneToModel, payload
from relay.core import events as on
from relay.errors import SocketClosed
from relay.shell.phone import Way, _Reader, read_phone
from relay.websocket import twin
from tests.core.driver import TIMES
from tests.shell.test_native_socket import native

CALL = "CA" + "1" * 32
STREAM = "MZ" + "2" * 32
KEY = b"\x01\x02\x03\x04"
VOICE = payload(b"\x90" * 80 + b"\x10" * 80)
START = json.dumps(
    {"event": "start", "streamSid": STREAM, "start": {"streamSid": STREAM, "callSid": CALL}}
)


def usual(chunk: int, audio: str = VOICE, sid: str = STREAM) -> str:
    """A frame just as Twilio spells it."""
    return (
        f'{{"event":"media","sequenceNumber":"{chunk + 1}","media":{{"track":"inbound",'
        f'"chunk":"{chunk}","timestamp":"{chunk * 20}","payload":"{audio}"}},"streamSid":"{sid}"}}'
    )


class Steps:
    """A call that only remembers."""

    def __init__(self, heard: list[on.Event], way: Way) -> None:
        self.feed = self.hear = heard.append
        self._way = way

    def catch_up(self) -> None:
        """No frame passes here without a call's knowing, since there is no pump; marks do."""
        if (echoed := self._way.echoed()) is not None:
            self.feed(on.MarkEchoed(echoed.name))


def by_reader(texts: list[str], audio_format: str) -> list[on.Event]:
    heard: list[on.Event] = []
    reader = _Reader(PhoneToModel(audio_format), CALL, Steps(heard, Way()))
    for text in texts:
        reader.take(text)
    return [*heard, on.PhoneClosed(1006)]


def by_ear(texts: list[str], audio_format: str, cut: int = 1 << 20) -> list[on.Event]:
    """The same through a socket, in pieces of so many bytes."""
    heard: list[on.Event] = []

    async def run() -> None:
        here, there = sockets.socketpair()
        data = b"".join(twin.write(twin.TEXT, text.encode(), KEY) for text in texts)
        with here, there:
            phone = native(here, client=False)
            async with trio.open_nursery() as nursery:
                codec = PhoneToModel(audio_format)
                way = Way()
                nursery.start_soon(read_phone, phone, codec, CALL, Steps(heard, way), way)
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(there.dup()))
                for at in range(0, len(data), cut):
                    await stream.send_all(data[at : at + cut])
                    await trio.lowlevel.checkpoint()
                await stream.send_eof()
                await stream.aclose()

    trio.run(run)
    return heard


def taken(texts: list[str]) -> int:
    """How many of these frames the ear takes by itself."""
    here, there = sockets.socketpair()
    with here, there:
        phone = native(here, client=False)
        there.sendall(b"".join(twin.write(twin.TEXT, text.encode(), KEY) for text in texts))
        there.shutdown(sockets.SHUT_WR)
        heard: list[object] = []

        async def run() -> None:
            ear = phone.ear(PhoneToModel())
            ear.stream_started(STREAM)
            with suppress(SocketClosed):
                await phone.pour_media(
                    ear, lambda _: None, lambda *frame: heard.append(frame), lambda: None
                )

        trio.run(run)
    return len(heard)


def test_the_usual_frame_is_taken_in_any_order_of_keys() -> None:
    other = (
        f'{{"streamSid":"{STREAM}","media":{{"payload":"{VOICE}","timestamp":"40","chunk":"2",'
        '"track":"inbound"},"event":"media"}'
    )
    assert taken([usual(1), other, usual(3)]) == 3


UNUSUAL = {
    "another stream": usual(1, sid="MZ" + "3" * 32),
    "our own voice": usual(1).replace("inbound", "outbound"),
    "no base64": usual(1, audio="????"),
    "half of base64": usual(1, audio="AAA"),
    "an escape": usual(1).replace('"1"', '"\\u0031"'),
    "white space": usual(1).replace(":", ": "),
    "a number": usual(1).replace('"1"', "1"),
    "a leading zero": usual(1).replace('"1"', '"01"'),
    "chunk zero": usual(0),
    "a new field": usual(1).replace('"chunk"', '"sun":"yes","chunk"'),
    "a field twice": usual(1).replace('"chunk":"1"', '"chunk":"1","chunk":"2"'),
    "something behind it": usual(1) + " ",
    "another event": usual(1).replace('"media",', '"dtmf",'),
}


def test_whatever_is_not_usual_is_left_to_the_reader() -> None:
    assert {name: taken([text]) for name, text in UNUSUAL.items()} == dict.fromkeys(UNUSUAL, 0)
    assert taken([usual(1), usual(3)]) == 1, "a lost frame is silence first"


def test_a_stream_whose_name_is_spelt_otherwise_in_json_is_left_to_the_reader() -> None:
    for name in ("MZ\\u0041", "MZ\n"):
        inner = {"streamSid": name, "callSid": CALL}
        start = json.dumps({"event": "start", "streamSid": name, "start": inner})
        texts = [start, usual(1, sid=name), usual(2, sid=json.dumps(name)[1:-1])]
        expected = by_reader(texts, "pcm")
        assert [type(event) for event in expected] == [
            on.PhoneStarted, on.PeerMisbehaved, on.CallerAudio, on.PhoneClosed,
        ]  # fmt: skip
        assert by_ear(texts, "pcm") == expected


# ---- the same, whatever comes ---------------------------------------------------------------

AUDIO = st.one_of(
    st.just(VOICE),
    st.binary(max_size=400).map(payload),
    st.binary(min_size=3000, max_size=3100).map(payload),
    st.text(alphabet='AB+/=?\\"é', max_size=12),
)
TEXTS = st.one_of(
    st.builds(usual, st.integers(0, 12), AUDIO),
    st.builds(usual, st.integers(0, 12), AUDIO, st.just("MZ" + "3" * 32)),
    st.sampled_from(list(UNUSUAL.values())),
    st.builds(
        lambda text, at, sign: text[: at % len(text)] + sign + text[at % len(text) + 1 :],
        st.builds(usual, st.integers(1, 6)),
        st.integers(0, 500),
        st.sampled_from(list('"\\{}:,0 \x00é')),
    ),
    st.just(START),
    st.just(f'{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"m"}}}}'),
)
STREAMS = st.one_of(
    st.lists(TEXTS, max_size=8),
    st.integers(1, 20).map(lambda frames: [usual(n) for n in range(1, frames + 1)]),
)


@settings(max_examples=30 * TIMES, deadline=None)
@given(STREAMS, st.sampled_from(["pcm", "pcmu"]), st.integers(1, 3000))
def test_the_ear_hears_what_the_reader_hears(texts: list[str], audio_format: str, cut: int) -> None:
    expected = by_reader([START, *texts], audio_format)
    assert by_ear([START, *texts], audio_format, cut) == expected
