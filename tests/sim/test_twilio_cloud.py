"""The simulated Twilio cloud against a tiny relay of the test's own, under a jumping clock."""

import base64
import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import trio

from relay.errors import SocketClosed
from relay.sim.room import Room
from relay.sim.twilio_account import tone_speech
from relay.sim.twilio_call import Number
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_conductor import APPLICATION_ERROR
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_net import Answer, InProcess, NetworkError, sign
from relay.sim.twilio_stream import StreamFaults
from relay.sim.ulaw import loudness_db, tone

TOKEN = "12345"
ORIGIN = "https://relay.example.com"
NUMBER = Number("+15125550100", f"{ORIGIN}/voice", f"{ORIGIN}/number-fallback", f"{ORIGIN}/status")
CALLER = "+14155550123"
HUMAN = "+15125550199"
HELLO = tone(440, 600)
QUESTION = tone(300, 700, -15)
STREAM = (
    '<Connect action="/after"><Stream url="wss://relay.example.com/stream/t1" name="talk" '
    'statusCallback="/stream-status"><Parameter name="who" value="me"/></Stream></Connect>'
    "<Redirect>/next</Redirect>"
)


class Relay:
    """Answers each path with the TwiML given for it; serves streams with `serve`."""

    def __init__(self, pages, serve=None, refuse=None):
        self.pages = {"/voice": STREAM, "/after": "<Hangup/>"} | pages
        self.serve = serve or say_hello_and_close
        self.refuse = refuse
        self.asked = []
        self.handshakes = []

    async def app(self, method, url, form, headers):
        assert headers["X-Twilio-Signature"] == sign(TOKEN, url, form)
        await trio.sleep(0.05)
        path = urlsplit(url).path
        self.asked.append((method, path, dict(form)))
        page = self.pages.get(path, "")
        if isinstance(page, Exception):
            raise page
        if isinstance(page, Answer):
            return page
        return Answer(200, "text/xml; charset=utf-8", f"<Response>{page}</Response>")

    def accept(self, url, headers):
        self.handshakes.append((url, headers))
        return self.refuse or self.serve

    def paths(self):
        return [path for _, path, _ in self.asked]

    def form(self, path):
        return next(form for _, asked, form in self.asked if asked == path)


async def started(socket):
    while True:
        message = json.loads(await socket.receive())
        if message["event"] == "start":
            return message["start"]


async def play(socket, start, mulaw):
    payload = base64.b64encode(mulaw).decode()
    await socket.send(
        json.dumps(
            {"event": "media", "streamSid": start["streamSid"], "media": {"payload": payload}}
        )
    )


async def say_hello_and_close(socket):
    await play(socket, await started(socket), HELLO)
    await trio.sleep(1)
    await socket.aclose(1000)


async def stay(socket):
    with suppress(SocketClosed):
        while True:
            await socket.receive()


async def run(relay, script=None, *, number=NUMBER, phones=None, place=None, **options):
    cloud = TwilioCloud(
        "AC1", TOKEN, InProcess(relay.app, relay.accept), phones=phones or {}, **options
    )
    call = cloud.place(number, CALLER, **(place or {}))
    await cloud.run(call, *([script] if script else []))
    return call


# ---- the way of a call ----------------------------------------------------------------------


async def test_a_call_from_webhook_to_status_callback(autojump_clock):
    relay = Relay({})
    call = await run(relay)
    assert sorted(relay.paths()) == [
        "/after",
        "/status",
        "/stream-status",
        "/stream-status",
        "/voice",
    ]
    assert relay.handshakes == [
        (
            "wss://relay.example.com/stream/t1",
            {"x-twilio-signature": sign(TOKEN, "wss://relay.example.com/stream/t1")},
        )
    ]
    assert (call.status, call.ended_by, call.complaints) == ("completed", "relay", [])
    assert bytes(call.line.heard.audio).strip(b"\xff") == HELLO.strip(b"\xff")
    assert [kind for kind in call.log.kinds() if kind != "http"] == [
        "ringing",
        "answered",
        "stream-connecting",
        "stream-started",
        "stream-ended",
        "hang-up",
        "ended",
    ]


async def test_the_webhook_s_form_has_all_parameters_and_their_blanks(autojump_clock):
    relay = Relay({})
    await run(relay, place={"extra": {"CallerName": ""}})
    form = relay.form("/voice")
    assert (form["CallStatus"], form["From"], form["To"]) == ("ringing", CALLER, NUMBER.number)
    assert (form["FromState"], form["ToState"], form["FromCountry"]) == ("CA", "TX", "US")
    assert form["CallerName"] == ""
    assert relay.form("/after")["CallStatus"] == "in-progress"
    status = relay.form("/status")
    assert (status["CallStatus"], status["CallDuration"]) == ("completed", "2")
    assert {form["StreamEvent"] for _, path, form in relay.asked if path == "/stream-status"} == {
        "stream-started",
        "stream-stopped",
    }


async def test_an_unknown_caller_comes_with_blanks(autojump_clock):
    relay = Relay({})
    cloud = TwilioCloud("AC1", TOKEN, InProcess(relay.app, relay.accept))
    await cloud.run(cloud.place(NUMBER, "anonymous"))
    assert [
        relay.form("/voice")[f"From{part}"] for part in ("City", "State", "Zip", "Country")
    ] == ([""] * 4)


async def test_parameters_arrive_in_start(autojump_clock):
    seen = []

    async def serve(socket):
        seen.append(await started(socket))
        await socket.aclose()

    call = await run(Relay({}, serve))
    assert seen[0]["customParameters"] == {"who": "me"}
    assert (seen[0]["callSid"], seen[0]["accountSid"]) == (call.sid, "AC1")


async def test_the_script_talks_with_the_relay(autojump_clock):
    heard = bytearray()

    async def serve(socket):
        start = await started(socket)
        await play(socket, start, HELLO)
        with suppress(SocketClosed):
            while True:
                message = json.loads(await socket.receive())
                if message["event"] == "media":
                    heard.extend(base64.b64decode(message["media"]["payload"]))

    async def script(caller):
        assert (await caller.hear_until_silence()).strip(b"\xff") == HELLO.strip(b"\xff")
        await caller.say(QUESTION)
        await trio.sleep(0.1)
        caller.hang_up()

    relay = Relay({}, serve)
    call = await run(relay, script)
    assert QUESTION in bytes(heard)
    assert call.ended_by == "caller"
    assert "/after" not in relay.paths()
    assert relay.form("/status")["CallStatus"] == "completed"


async def test_what_a_script_asserts_comes_out(autojump_clock):
    async def script(caller):
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        await run(Relay({}, stay), script)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_call_that_nobody_ends_meets_its_time_limit(autojump_clock):
    relay = Relay({}, stay)
    cloud = TwilioCloud("AC1", TOKEN, InProcess(relay.app, relay.accept))
    call = cloud.place(NUMBER, CALLER)
    await cloud.run(call, time_limit_s=30)
    assert call.ended_by == "time limit"
    assert relay.form("/status")["CallDuration"] == "30"


async def test_the_log_can_be_followed_while_it_happens(autojump_clock):
    relay = Relay({})
    cloud = TwilioCloud("AC1", TOKEN, InProcess(relay.app, relay.accept))
    call = cloud.place(NUMBER, CALLER)
    seen = []

    async def follow():
        seen.extend([(event, trio.current_time()) async for event in call.log.follow()])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await cloud.run(call)
    assert [event for event, _ in seen] == call.log.events
    assert all(event.at == at for event, at in seen)


# ---- how a stream ends ----------------------------------------------------------------------


async def drop_after_a_second(socket):
    await started(socket)
    await trio.sleep(1)
    socket.drop()


@pytest.mark.parametrize(
    ("served", "options", "then", "codes"),
    [
        ((say_hello_and_close,), {}, "/after", []),
        ((drop_after_a_second,), {}, "/after", [31921]),
        ((drop_after_a_second,), {"action_after_crash": False}, "/next", [31921]),
        ((None, 403), {}, "/next", [31920]),
        ((None, 403), {"action_after_refusal": True}, "/after", [31920]),
    ],
)
async def test_where_a_call_goes_after_its_stream(autojump_clock, served, options, then, codes):
    relay = Relay({"/next": "<Hangup/>"}, *served)
    call = await run(relay, **options)
    assert [path for path in relay.paths() if path in ("/after", "/next")] == [then]
    assert [complaint.code for complaint in call.complaints] == codes
    events = [form["StreamEvent"] for _, path, form in relay.asked if path == "/stream-status"]
    assert events[-1] == ("stream-error" if codes else "stream-stopped")


async def test_without_action_the_next_verb_follows(autojump_clock):
    relay = Relay(
        {"/voice": '<Connect><Stream url="wss://relay.example.com/s"/></Connect><Say>bye now</Say>'}
    )
    call = await run(relay)
    assert call.log.kinds()[-3:-1] == ["say", "ended"]
    assert relay.paths() == ["/voice", "/status"]


async def test_a_network_that_dies_looks_like_a_crash(autojump_clock):
    codes = []

    async def serve(socket):
        try:
            while True:
                await socket.receive()
        except SocketClosed as gone:
            codes.append(gone.code)

    relay = Relay({}, serve)
    call = await run(relay, place={"faults": StreamFaults(drop_after_s=3)})
    assert codes == [1006]
    assert relay.paths().count("/after") == 1
    assert call.streams[0].ended.code == 1006


@pytest.mark.parametrize(
    ("url", "code"),
    [("ws://relay.example.com/s", 31922), ("https://h/s", 31922), ("wss:///s", 31923)],
)
async def test_a_url_that_is_no_stream_s(autojump_clock, url, code):
    relay = Relay({"/voice": f'<Connect action="/after"><Stream url="{url}"/></Connect>'})
    call = await run(relay)
    assert [complaint.code for complaint in call.complaints] == [code]
    assert relay.handshakes == []


async def test_a_query_string_is_stripped_before_signing(autojump_clock):
    relay = Relay({"/voice": '<Connect><Stream url="wss://relay.example.com/s?t=1"/></Connect>'})
    call = await run(relay)
    url, headers = relay.handshakes[0]
    assert url == "wss://relay.example.com/s"
    assert headers["x-twilio-signature"] == sign(TOKEN, url)
    assert "query-stripped" in call.log.kinds()


async def test_the_debugger_shows_each_code_once_a_stream(autojump_clock):
    async def serve(socket):
        await started(socket)
        for _ in range(3):
            await socket.send("{}")
        await trio.sleep(0.1)
        await socket.aclose()

    call = await run(Relay({}, serve))
    assert [complaint.code for complaint in call.complaints] == [31951]
    assert len(call.streams[0].complaints) == 3


@pytest.mark.parametrize("ask", [True, False])
async def test_action_after_a_hang_up_is_asked_or_not(autojump_clock, ask):
    async def script(caller):
        await trio.sleep(1)
        caller.hang_up()

    relay = Relay({}, stay)
    await run(relay, script, action_after_hang_up=ask)
    assert [form["CallStatus"] for _, path, form in relay.asked if path == "/after"] == (
        ["completed"] if ask else []
    )


async def test_a_new_stream_can_follow_a_stream(autojump_clock):
    relay = Relay({"/after": '<Connect><Stream url="wss://relay.example.com/two"/></Connect>'})
    call = await run(relay)
    assert [url for url, _ in relay.handshakes] == [
        "wss://relay.example.com/stream/t1",
        "wss://relay.example.com/two",
    ]
    assert len(call.streams) == 2
    assert len(bytes(call.line.heard.audio).replace(b"\xff", b"")) == 2 * len(
        HELLO.replace(b"\xff", b"")
    )


# ---- documents ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (Answer(500, "text/html", "oops"), 11200),
        (Answer(200, "text/html", "<p>"), 12300),
        (Answer(200, "text/xml", "<Response>"), 12100),
        (NetworkError(11205, "refused"), 11205),
    ],
)
async def test_a_bad_answer_goes_to_the_number_s_fallback(autojump_clock, page, code):
    relay = Relay({"/voice": page, "/number-fallback": "<Say>one moment</Say>"})
    call = await run(relay)
    form = relay.form("/number-fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == (str(code), NUMBER.voice_url)
    assert [complaint.code for complaint in call.complaints] == [code]
    assert relay.paths().count("/voice") == (2 if code == 11205 else 1)
    assert len(call.line.heard.audio) == pytest.approx(
        call.line.heard.spans[0][0] + len(tone_speech("one moment"))
    )


async def test_an_answer_is_waited_for_for_15_seconds_and_asked_for_once(autojump_clock):
    """Twilio tries again when it cannot connect, not when it has waited too long."""

    class Slow(Relay):
        async def app(self, method, url, form, headers):
            answer = await super().app(method, url, form, headers)
            await trio.sleep(20 if url == NUMBER.voice_url else 0)
            return answer

    relay = Slow({"/number-fallback": "<Say>one moment</Say>"})
    call = await run(relay)
    assert [complaint.code for complaint in call.complaints] == [11200]
    assert relay.paths()[:2] == ["/voice", "/number-fallback"]
    assert call.exchanges[1].at - call.exchanges[0].at == pytest.approx(15, abs=0.2)


async def test_with_no_fallback_the_caller_hears_twilio_s_apology(autojump_clock):
    relay = Relay({"/voice": Answer(404, "text/plain", "no")})
    call = await run(relay, number=Number("+15125550100", f"{ORIGIN}/voice"))
    assert call.ended_by == "error"
    assert [event.detail for event in call.log.events if event.kind == "say"] == [APPLICATION_ERROR]


async def test_plain_text_is_read_aloud(autojump_clock):
    call = await run(Relay({"/voice": Answer(200, "text/plain", "hi there")}))
    assert [event.detail for event in call.log.events if event.kind == "say"] == ["hi there"]


async def test_a_misspelt_verb_is_noted_and_skipped(autojump_clock):
    call = await run(Relay({"/voice": "<say>a</say><Say>b</Say>"}))
    assert [complaint.code for complaint in call.complaints] == [12200]
    assert [event.detail for event in call.log.events if event.kind == "say"] == ["b"]


async def test_get_carries_the_parameters_in_the_signed_url(autojump_clock):
    relay = Relay({"/voice": '<Redirect method="GET">/next?x=1</Redirect>'})
    call = await run(relay)
    exchange = call.exchanges[1]
    assert exchange.method == "GET"
    assert exchange.url.startswith(f"{ORIGIN}/next?x=1&AccountSid=AC1&")
    assert exchange.form == ()


async def test_documents_that_go_in_circles_are_stopped(autojump_clock):
    call = await run(Relay({"/voice": "<Redirect>/voice</Redirect>"}))
    assert [complaint.code for complaint in call.complaints] == [11200]


async def test_pause_say_and_hang_up_take_their_time(autojump_clock):
    call = await run(Relay({"/voice": "<Pause length='3'/><Say>abc</Say><Hangup/><Say>no</Say>"}))
    answered = call.line.sample(call.answered_at)
    assert [(a - answered, b - answered) for a, b in call.line.heard.spans] == [
        (24_000, 24_000 + len(tone_speech("abc")))
    ]


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_reject_never_answers(autojump_clock, reason, status):
    relay = Relay({"/voice": f"<Reject reason='{reason}'/>"})
    call = await run(relay)
    assert (call.status, call.answered_at, call.duration_s) == (status, None, 0)
    assert relay.form("/status")["CallStatus"] == status


@pytest.mark.parametrize("page", ["<Pause length='60'/>", "<Say>" + "x" * 900 + "</Say>"])
async def test_a_caller_who_hangs_up_breaks_off_any_verb(autojump_clock, page):
    async def script(caller):
        await trio.sleep(2)
        caller.hang_up()

    call = await run(Relay({"/voice": page + "<Redirect>/next</Redirect>"}), script)
    assert (call.ended_by, call.duration_s) == ("caller", 2)
    assert len(call.exchanges) == 2


# ---- dialling -------------------------------------------------------------------------------

DIAL = f'<Dial action="/dialled" timeout="10" callerId="+15125550100">{HUMAN}</Dial>'


async def test_two_people_talk_over_a_bridge(autojump_clock):
    voice, answer = tone(250, 400, -12), tone(600, 300, -18)
    heard = {}

    async def human(person):
        heard["human"] = await person.hear_until_silence()
        await person.say(answer)
        await trio.sleep(2)
        person.hang_up()

    async def caller(person):
        await trio.sleep(2.5)
        begin = person.line.sample()
        heard["greeting"] = await person.hear_until_silence(since=begin)
        await person.say(QUESTION)
        heard["caller"] = await person.hear_until_silence()

    phone = HumanPhone(answer_after_s=3.0, says=voice, script=human)
    relay = Relay({"/voice": DIAL})
    call = await run(relay, caller, phones={HUMAN: phone})
    assert QUESTION.strip(b"\xff") in heard["human"]
    assert answer.strip(b"\xff") in heard["caller"]
    form = relay.form("/dialled")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert form["DialCallSid"] == phone.calls[0].sid
    assert int(form["DialCallDuration"]) >= 4
    assert call.dials == phone.calls
    assert call.dials[0].bridged_at - call.dials[0].rang_at == pytest.approx(3.0)
    assert phone.calls[0].caller_id == "+15125550100"
    assert voice[800:] in bytes(call.line.heard.audio)


@pytest.mark.parametrize(
    ("phone", "status", "after_s"),
    [
        (HumanPhone(outcome="busy"), "busy", 1.0),
        (HumanPhone(outcome="no-answer"), "no-answer", 15.0),
        (HumanPhone(answer_after_s=15.1), "no-answer", 15.0),
        (HumanPhone(outcome="failed"), "failed", 0.0),
        (None, "failed", 0.0),
    ],
)
async def test_a_human_who_is_not_reached(autojump_clock, phone, status, after_s):
    relay = Relay({"/voice": DIAL, "/dialled": "<Hangup/>"})
    call = await run(relay, phones={HUMAN: phone} if phone else {})
    form = relay.form("/dialled")
    assert (form["DialCallStatus"], form["DialBridged"]) == (status, "false")
    assert "DialCallDuration" not in form
    assert call.dials[0].ended_at - call.dials[0].rang_at == pytest.approx(after_s)


async def test_a_caller_who_gives_up_while_it_rings(autojump_clock):
    async def script(caller):
        await trio.sleep(1)
        caller.hang_up()

    relay = Relay({"/voice": DIAL})
    call = await run(relay, script, phones={HUMAN: HumanPhone()})
    form = relay.form("/dialled")
    assert (form["DialCallStatus"], form["DialBridged"], form["CallStatus"]) == (
        "canceled",
        "false",
        "completed",
    )
    assert call.ended_by == "caller"


async def test_a_caller_who_hangs_up_on_the_human(autojump_clock):
    async def script(caller):
        await trio.sleep(5)
        caller.hang_up()

    relay = Relay({"/voice": DIAL})
    await run(relay, script, phones={HUMAN: HumanPhone()})
    form = relay.form("/dialled")
    assert (form["DialCallStatus"], form["DialBridged"], form["DialCallDuration"]) == (
        "completed",
        "true",
        "3",
    )


async def test_of_several_numbers_the_first_to_answer_gets_the_call(autojump_clock):
    phones = {
        "+1": HumanPhone(answer_after_s=4),
        "+2": HumanPhone(outcome="busy"),
        "+3": HumanPhone(answer_after_s=3, script=hang_up_at_once),
    }
    numbers = "".join(f"<Number>{number}</Number>" for number in phones)
    relay = Relay({"/voice": f"<Dial action='/dialled'>{numbers}</Dial>"})
    call = await run(relay, phones=phones)
    assert [dial.status for dial in call.dials] == ["no-answer", "no-answer", "completed"]
    assert relay.form("/dialled")["DialCallSid"] == phones["+3"].calls[0].sid


async def hang_up_at_once(person):
    person.hang_up()


async def test_ringing_is_heard_until_the_answer(autojump_clock):
    relay = Relay({"/voice": DIAL})
    phone = HumanPhone(answer_after_s=7, script=hang_up_at_once)
    call = await run(relay, phones={HUMAN: phone})
    rang, bridged = (
        call.line.sample(at) for at in (call.dials[0].rang_at, call.dials[0].bridged_at)
    )
    assert call.line.heard.spans == [(rang, rang + 16_000), (rang + 48_000, bridged)]
    assert loudness_db(call.line.heard.read(rang, bridged)) > -40


async def test_without_action_the_verbs_behind_a_dial_run(autojump_clock):
    relay = Relay({"/voice": f"<Dial>{HUMAN}</Dial><Say>nobody there</Say>"})
    call = await run(relay, phones={HUMAN: HumanPhone(outcome="busy")})
    assert [event.detail for event in call.log.events if event.kind == "say"] == ["nobody there"]


async def test_the_caller_s_room_is_heard_by_the_human(autojump_clock):
    async def human(person):
        await trio.sleep(1)
        assert loudness_db(person.heard_since(0)) == pytest.approx(-40, abs=1)
        person.hang_up()

    phone = HumanPhone(script=human)
    await run(Relay({"/voice": DIAL}), phones={HUMAN: phone}, place={"room": Room(noise_db=-40)})
    assert phone.calls[0].status == "completed"


# ---- many calls -----------------------------------------------------------------------------


async def test_twenty_calls_at_once_do_not_mix(autojump_clock):
    async def serve(socket):
        start = await started(socket)
        with suppress(SocketClosed):
            while True:
                message = json.loads(await socket.receive())
                if message["event"] == "media":
                    await play(socket, start, base64.b64decode(message["media"]["payload"]))

    relay = Relay({}, serve)
    cloud = TwilioCloud("AC1", TOKEN, InProcess(relay.app, relay.accept))
    calls = [cloud.place(NUMBER, CALLER) for _ in range(20)]

    def script(code):
        async def speak(caller):
            await trio.sleep(0.5 + code / 1000)
            await caller.say(bytes([code]) * 4000)
            await trio.sleep(0.5)
            caller.hang_up()

        return speak

    async with trio.open_nursery() as nursery:
        for code, call in enumerate(calls):
            nursery.start_soon(cloud.run, call, script(code))
    for code, call in enumerate(calls):
        assert set(call.line.heard.audio) == {0xFF, code}
        assert call.line.heard.audio.count(bytes([code])) == 4000
