"""The command that phones a relay: its caller under a jumping clock, itself over real sockets."""

import base64
import io
import json
import socket as sockets
import wave
from contextlib import suppress
from functools import partial

import click
import httpx
import pytest
import trio
import trio_websocket
from click.testing import CliRunner

from relay.errors import SocketClosed
from relay.sim.call import Timing, greeted, main, phone, read_wav
from relay.sim.twilio_call import Number
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import Answer, InProcess
from relay.sim.ulaw import loudness_db, pcm16, tone
from relay.trust import authorities

NUMBER = Number("+15125550100", "https://relay.example.com/voice")
STREAM = '<Response><Connect><Stream url="wss://relay.example.com/s"/></Connect></Response>'
ACCOUNT = "AC" + "0" * 32  # the command's default
GREETING = tone(400, 600)
REPLY = tone(500, 400)


async def agent(receive, send):
    """Greets at once; answers each thing said 0.3 s after its end."""
    sid, spoke, quiet = "", False, 0

    async def say(mulaw):
        payload = base64.b64encode(mulaw).decode()
        await send(json.dumps({"event": "media", "streamSid": sid, "media": {"payload": payload}}))

    while True:
        message = json.loads(await receive())
        if message["event"] == "start":
            sid = message["streamSid"]
            await say(GREETING)
        elif message["event"] == "media":
            level = loudness_db(base64.b64decode(message["media"]["payload"]))
            spoke, quiet = (True, 0) if level > -40 else (spoke, quiet + 20)
            if spoke and quiet == 300:
                spoke = False
                await say(REPLY)


async def serve_agent(socket):
    with suppress(SocketClosed):
        await agent(socket.receive, socket.send)


async def mute(socket):
    with suppress(SocketClosed):
        while True:
            await socket.receive()


async def run(serve, clips, page=STREAM):
    async def app(method, url, form, headers):
        return Answer(200 if page else 500, "text/xml", page)

    cloud = TwilioCloud("AC1", "12345", InProcess(app, lambda url, headers: serve))
    call = cloud.place(NUMBER, "+14155550123")
    shown = []
    timing = await phone(cloud, call, clips, quiet_ms=500, time_limit_s=60, show=shown.append)
    return call, timing, shown


async def test_the_caller_waits_speaks_and_measures(autojump_clock):
    clips = [tone(300, 500), tone(350, 700) + b"\xff" * 1600]
    call, timing, shown = await run(serve_agent, clips)
    assert timing.greeting == pytest.approx(0, abs=1)
    assert timing.answers == pytest.approx([300, 300], abs=25)
    assert greeted(call, timing)
    assert call.ended_by == "caller"
    kinds = [line.split()[1] for line in shown]
    assert kinds == call.log.kinds()
    assert [kind for kind in kinds if "heard" in kind or "speaks" in kind] == [
        "greeting-heard",
        "caller-speaks",
        "answer-heard",
        "caller-speaks",
        "answer-heard",
    ]


async def test_a_mute_relay_greets_nobody(autojump_clock):
    call, timing, _ = await run(mute, [tone(300, 500)])
    assert timing == Timing()
    assert not greeted(call, timing)
    assert call.line.said.end == 0


async def test_twilio_s_own_apology_is_no_greeting(autojump_clock):
    call, timing, _ = await run(mute, [], page="")
    assert not greeted(call, timing)
    assert call.ended_by == "error"


async def test_an_answer_that_never_comes(autojump_clock):
    async def greet_only(socket):
        start = json.loads(await socket.receive()) and json.loads(await socket.receive())
        payload = base64.b64encode(GREETING).decode()
        await socket.send(
            json.dumps(
                {
                    "event": "media",
                    "streamSid": start["streamSid"],
                    "media": {"payload": payload},
                }
            )
        )
        await mute(socket)

    call, timing, _ = await run(greet_only, [tone(300, 500)])
    assert timing.answers == [None]
    assert greeted(call, timing)


# ---- sound files ----------------------------------------------------------------------------


def wav_file(path, pcm, rate=8000, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(pcm)
    return path


def test_a_wav_at_the_line_s_rate_is_taken_as_it_is(tmp_path):
    clip = tone(300, 100)
    assert read_wav(wav_file(tmp_path / "a.wav", pcm16(clip))) == clip


def test_other_rates_are_converted_and_the_first_channel_counts(tmp_path):
    left = pcm16(tone(300, 100))
    stereo = b"".join(left[n : n + 2] + b"\0\0" for n in range(0, len(left), 2))
    path = wav_file(tmp_path / "a.wav", stereo, rate=16_000, channels=2)
    sound = read_wav(path)
    assert len(sound) == pytest.approx(400, abs=2)
    assert loudness_db(sound) == pytest.approx(-20, abs=1)


def test_what_is_no_wav_is_named(tmp_path):
    (tmp_path / "no.wav").write_bytes(b"hello")
    for path in (tmp_path / "no.wav", wav_file(tmp_path / "8.wav", b"\0\0", width=1)):
        with pytest.raises(click.BadParameter, match=path.name):
            read_wav(path)


# ---- the command ----------------------------------------------------------------------------


def test_help_names_what_matters():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for word in ("--api-port", "--say", "--wav", "--record", "--human", "--origin", "--auth-token"):
        assert word in result.output


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "URL"),
        (["https://h/voice"], "--auth-token"),
        (["https://h/voice", "--auth-token", "x", "--origin", "h"], "PUBLIC=LOCAL"),
        (["https://h/voice", "--auth-token", "x", "--wav", "/does/not/exist"], "does not exist"),
        (["https://h/voice", "--auth-token", "x", "--record", "/no/where.wav"], "no folder /no"),
    ],
)
def test_bad_usage_is_exit_2(arguments, word):
    result = CliRunner().invoke(main, arguments, env={"TWILIO_AUTH_TOKEN": ""})
    assert result.exit_code == 2
    assert word in result.output


async def answer_voice(seen, stream):
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive_some()
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = {k.lower(): v for k, v in (h.split(": ", 1) for h in head.decode().split("\r\n")[1:])}
    while len(body) < int(headers["content-length"]):
        body += await stream.receive_some()
    seen.append(headers["x-twilio-signature"])
    await stream.send_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(STREAM), STREAM.encode())
    )
    await stream.aclose()


def free_port():
    with sockets.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def answer_stream(api, request):
    """Serve a stream, and meanwhile look whose number was called."""
    socket = await request.accept()
    url = f"http://127.0.0.1:{api['port']}/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"
    async with httpx.AsyncClient(
        auth=(ACCOUNT, "12345"), trust_env=False, verify=authorities()
    ) as client:
        api["numbers"] = (await client.get(url)).json()["incoming_phone_numbers"]
    with suppress(trio_websocket.ConnectionClosed):
        await agent(socket.get_message, socket.send_message)


async def test_the_command_phones_a_relay_over_the_network(tmp_path):
    clip, record = wav_file(tmp_path / "in.wav", pcm16(tone(300, 300))), tmp_path / "out.wav"
    signatures, api = [], {"port": free_port()}
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, partial(answer_voice, signatures), 0, host="127.0.0.1")
        )
        http_port = listeners[0].socket.getsockname()[1]
        server = await nursery.start(
            partial(
                trio_websocket.serve_websocket,
                partial(answer_stream, api),
                "127.0.0.1",
                0,
                ssl_context=None,
            )
        )
        # One public origin a server here: the webhook's own, and the stream's.
        page_origin = "https://hooks.example.com"
        arguments = [
            f"{page_origin}/voice",
            *("--auth-token", "12345"),
            *("--origin", f"{page_origin}=http://127.0.0.1:{http_port}"),
            *("--origin", f"https://relay.example.com=http://127.0.0.1:{server.port}"),
            *("--wav", str(clip)),
            *("--record", str(record)),
            *("--quiet-ms", "200"),
            *("--api-port", str(api["port"])),
        ]
        with trio.fail_after(15):
            result = await trio.to_thread.run_sync(
                partial(CliRunner().invoke, main, arguments), abandon_on_cancel=True
            )
        nursery.cancel_scope.cancel()
    assert result.exit_code == 0, result.output
    assert "greeting-heard" in result.output
    assert "answer-heard" in result.output
    assert len(signatures) == 1
    assert [number["voice_url"] for number in api["numbers"]] == [f"{page_origin}/voice"]
    with wave.open(io.BytesIO(record.read_bytes())) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() > 8000
