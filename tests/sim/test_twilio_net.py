"""Signatures against published vectors; the real sockets against servers on this machine."""

import base64
import json
from contextlib import aclosing
from functools import partial

import pytest
import trio
import trio_websocket

from relay.errors import SocketClosed
from relay.sim.line import Line
from relay.sim.twilio_call import Number
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import NetworkError, open_internet, sign
from relay.sim.twilio_stream import StreamLeg
from relay.sim.ulaw import tone

P = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675310"),
    ("Digits", "1234"),
    ("From", "+14158675310"),
    ("To", "+18005551212"),
]


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", P, "GvWf1cFY/Q7PnoempGyD5oXAezc="),
        ("https://example.com/myapp?foo=1&bar=2", P, "GPSRTlODYHi4+bX3Qs97BVmS45M="),
        (
            "https://relay.example.com/twilio/voice",
            [("B", "x"), ("A", "")],
            "R1215WfPgG1/gu4Eq89B4Qoteoc=",
        ),
        ("wss://relay.example.com/twilio/stream", [], "s/qHejFvv4PfsJmt3oOj0NTMW/A="),
        ("wss://relay.example.com/twilio/stream/", [], "PXs/hjiYzWZl3/VPCuvoJQBuQtQ="),
        ("wss://relay.example.com:443/twilio/stream", [], "aYXJ/jW3XGSpF5kxikFjvGkqyq8="),
        ("https://relay.example.com/twilio/stream", [], "UZyPnwtlk5KEbKZGFzFgsVYZHrE="),
    ],
)
def test_signature_vectors(url, form, signature):
    assert sign("12345", url, form) == signature


def test_signing_leaves_out_fragments_and_repeated_values():
    url = "https://relay.example.com/twilio/voice"
    assert sign("12345", url + "#rc=2", P) == sign("12345", url, P)
    assert sign("k", url, [("a", "2"), ("a", "1"), ("a", "2")]) == sign(
        "k", url, [("a", "1"), ("a", "2")]
    )


# ---- servers --------------------------------------------------------------------------------


async def http_server(answers, seen, stream):
    """Answer one request a connection: each path has its TwiML; the rest is 404."""
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive_some()
    path = lines[0].split()[1]
    seen.append((lines[0], headers, body.decode()))
    text = answers.get(path)
    if text is None:
        await trio.sleep_forever()
    await stream.send_all(
        f"HTTP/1.1 {200 if text else 404} x\r\ncontent-type: text/xml\r\n"
        f"content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode()
    )
    await stream.aclose()


async def listen(nursery, handler):
    listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    return listeners[0].socket.getsockname()[1]


class Seen(list):
    """What a server saw, and whether its socket is gone."""

    def __init__(self):
        super().__init__()
        self.over = trio.Event()


async def echo_stream(seen, request):
    """A relay that says back what it hears, until the phone goes."""
    if request.path == "/refused":
        await request.reject(403)
        return
    socket = await request.accept()
    seen.append((request.path, dict(request.headers)))
    sid = ""
    try:
        while True:
            message = json.loads(await socket.get_message())
            seen.append(message)
            if message["event"] == "start":
                sid = message["streamSid"]
            elif message["event"] == "media":
                back = {"payload": message["media"]["payload"]}
                await socket.send_message(
                    json.dumps({"event": "media", "streamSid": sid, "media": back})
                )
    except trio_websocket.ConnectionClosed as gone:
        seen.append(gone.reason.code)
        seen.over.set()


async def ws_server(nursery, seen):
    server = await nursery.start(
        partial(
            trio_websocket.serve_websocket,
            partial(echo_stream, seen),
            "127.0.0.1",
            0,
            ssl_context=None,
        )
    )
    return server.port


# ---- a whole call ---------------------------------------------------------------------------


async def test_a_call_over_real_sockets():
    public = "https://relay.example.com"
    clip = tone(400, 100)
    http, ws = [], Seen()

    async def script(caller):
        async with aclosing(call.log.follow()) as events:
            async for event in events:
                if event.kind == "stream-started":
                    break
        await trio.sleep(0.2)  # what is said before the stream stands is lost
        await caller.say(clip)
        await trio.sleep(0.4)
        caller.hang_up()

    async with trio.open_nursery() as nursery:
        ws_port = await ws_server(nursery, ws)
        pages = {
            "/voice": '<Response><Connect><Stream url="wss://media.example.com/s/1"/></Connect>'
            "</Response>",
            "/status": "<Response/>",
        }
        port = await listen(nursery, partial(http_server, pages, http))
        origins = {"https://media.example.com": f"http://127.0.0.1:{ws_port}/"}
        async with open_internet(origins) as internet:
            origins[public] = f"http://127.0.0.1:{port}"  # which may come to be known later
            cloud = TwilioCloud("AC1", "12345", internet)
            number = Number("+15125550100", f"{public}/voice#rc=2", status_url=f"{public}/status")
            call = cloud.place(number, "+14155550123")
            with trio.fail_after(5):
                await cloud.run(call, script)
        with trio.fail_after(5):
            await ws.over.wait()
        nursery.cancel_scope.cancel()

    assert call.complaints == []
    assert [line for line, _, _ in http] == ["POST /voice HTTP/1.1", "POST /status HTTP/1.1"]
    _, headers, body = http[0]
    assert "FromCity=SAN+FRANCISCO&" in body
    signature = sign("12345", f"{public}/voice", call.exchanges[0].form)
    assert headers["x-twilio-signature"] == signature
    path, shake = ws[0]
    assert path == "/s/1"
    assert shake[b"x-twilio-signature"].decode() == sign("12345", "wss://media.example.com/s/1")
    assert ws[-1] == 1000
    assert ws[-2]["event"] == "stop"
    said = b"".join(
        base64.b64decode(m["media"]["payload"]) for m in ws[1:-1] if m["event"] == "media"
    )
    assert clip in said
    heard = bytes(call.line.heard.audio)
    assert len(heard.replace(b"\xff", b"")) == len(clip.replace(b"\xff", b""))


async def use_nothing(socket):
    return "used"


async def test_what_a_stream_that_cannot_be_opened_is_called():
    async def close_at_once(stream):
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        port = await ws_server(nursery, Seen())
        async with open_internet() as internet:
            cases = {
                f"ws://127.0.0.1:{port}/refused": 31920,
                "ws://127.0.0.1:1/": 31902,
                f"wss://127.0.0.1:{port}/": 31910,
                "http://127.0.0.1/": 31923,
            }
            for url, code in cases.items():
                with pytest.raises(NetworkError) as caught:
                    await internet.stream(url, {}, use_nothing)
                assert (url, caught.value.code) == (url, code)
            assert await internet.stream(f"ws://127.0.0.1:{port}/", {}, use_nothing) == "used"
        nursery.cancel_scope.cancel()


async def test_a_silent_peer_does_not_hold_a_stream_for_ever(monkeypatch):
    monkeypatch.setattr("relay.sim.twilio_net.STREAM_OPEN_S", 0.1)

    async def never(stream):
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        port = await listen(nursery, never)
        async with open_internet() as internet:
            with pytest.raises(NetworkError) as caught:
                await internet.stream(f"ws://127.0.0.1:{port}/", {}, use_nothing)
        nursery.cancel_scope.cancel()
    assert caught.value.code == 31901


async def test_what_a_request_without_an_answer_is_called(monkeypatch):
    monkeypatch.setattr("relay.sim.twilio_net.HTTP_TIMEOUT_S", 0.2)
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, partial(http_server, {}, []))
        async with open_internet() as internet:
            for url, code in ((f"http://127.0.0.1:{port}/", 11200), ("http://127.0.0.1:1/", 11205)):
                with pytest.raises(NetworkError) as caught:
                    await internet.request("POST", url, [("a", "")], {})
                assert (url, caught.value.code) == (url, code)
        nursery.cancel_scope.cancel()


async def test_a_dropped_socket_is_1006_at_both_ends():
    seen = Seen()
    async with trio.open_nursery() as nursery:
        port = await ws_server(nursery, seen)

        async def drop(socket):
            leg = StreamLeg(socket, Line())
            async with trio.open_nursery() as inner:
                inner.start_soon(leg.run)
                await trio.sleep(0.05)
                leg.drop()
            with pytest.raises(SocketClosed) as caught:
                await socket.receive()
            assert caught.value.code == 1006
            with pytest.raises(SocketClosed):
                await socket.send("x")
            await socket.aclose()

        async with open_internet() as internet:
            with trio.fail_after(5):
                await internet.stream(f"ws://127.0.0.1:{port}/", {}, drop)
                await seen.over.wait()
        nursery.cancel_scope.cancel()
    assert seen[-1] == 1006
