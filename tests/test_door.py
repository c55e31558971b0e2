"""The door over real sockets and the real clock: every exchange here takes milliseconds."""

import errno
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import pytest
import trio
import trio.testing
from quart import request as http_request
from quart_trio import QuartTrio
from trio_websocket import open_websocket_url

from relay import door as door_module
from relay import exchange
from relay.door import Door, Head, open_listeners
from relay.errors import SocketClosed
from relay.ports import Socket
from relay.shell import sockets
from relay.shell.push_back import PushBack
from relay.web.bounded import Bounded

UPGRADE = (
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
MAX_BODY_BYTES = 1000
GOOD = b"GET /twilio/stream/good HTTP/1.1\r\n" + UPGRADE + b"\r\n"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)


async def admit(head: Head) -> str | None:
    if head.target.endswith("/bug"):
        raise RuntimeError("a bug in admission")
    return "CA1" if head.target.startswith("/twilio/stream/good") else None


@pytest.fixture(autouse=True, params=["native", "library"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is the same for both kinds of sockets."""
    monkeypatch.setattr(sockets, "NATIVE", request.param == "native")


async def echo(call_sid: str, opening: AbstractAsyncContextManager[Socket]) -> None:
    assert call_sid == "CA1"
    with suppress(SocketClosed):
        async with opening as phone:
            while True:
                message = await phone.receive()
                if message == "bug":
                    raise ValueError("a bug in a call")
                await phone.send(f"heard {len(message)}")


def make_app() -> QuartTrio:
    app = QuartTrio("door")
    app.config["BODY_TIMEOUT"] = 1
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/count")
    async def count() -> str:
        return str(len(await http_request.get_data()))

    @app.post("/twilio/count")
    async def webhook() -> str:
        return str(len(await http_request.get_data()))

    @app.post("/twilio/deaf")
    async def deaf() -> str:
        return "nothing was read"

    @app.post("/twilio/bug")
    async def webhook_bug() -> str:
        raise RuntimeError("a bug in a webhook")

    @app.get("/bug")
    async def bug() -> str:
        raise RuntimeError("a bug in a page")

    app.asgi_app = Bounded(app.asgi_app, max_bytes=MAX_BODY_BYTES)  # as all of ours
    return app


@dataclass
class House:
    door: Door
    port: int
    visitors: AsyncExitStack

    async def connect(self) -> trio.SocketStream:
        """A connection of our own, closed with the house."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        return await self.visitors.enter_async_context(stream)

    async def say(self, data: bytes) -> bytes:
        """Send, and read all that comes back. A reset counts as the end."""
        stream = await self.connect()
        answer = b""
        with suppress(trio.BrokenResourceError), trio.fail_after(8):
            await stream.send_all(data)
            async for some in stream:
                answer += some
        return answer

    def websocket(self, path: str = "/twilio/stream/good"):
        return open_websocket_url(f"ws://127.0.0.1:{self.port}{path}")


@asynccontextmanager
async def open_house() -> AsyncIterator[House]:
    door = Door(make_app(), admit, echo)
    async with trio.open_nursery() as nursery:
        listeners = await open_listeners("127.0.0.1", 0)
        await nursery.start(door.serve, listeners)
        async with AsyncExitStack() as visitors:
            yield House(door, listeners[0].socket.getsockname()[1], visitors)
        nursery.cancel_scope.cancel()


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:60]
    return int(answer.split(b" ", 2)[1])


async def test_pages_are_served_one_request_a_connection() -> None:
    async with open_house() as house:
        answer = await house.say(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(answer) == 200
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"hello")


async def test_a_body_that_came_with_the_head_or_after_it_arrives_whole() -> None:
    async with open_house() as house:
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
        assert (await house.say(head + b"x" * 900)).endswith(b"900")
        stream = await house.connect()
        await stream.send_all(head)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(b"x" * 900)
        with trio.fail_after(5):
            assert b"200" in await stream.receive_some()


async def test_a_head_may_come_byte_by_byte() -> None:
    async with open_house() as house:
        stream = await house.connect()
        for byte in b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n":
            await stream.send_all(bytes([byte]))
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_stream_is_admitted_and_carried() -> None:
    async with open_house() as house, house.websocket() as connection:
        await connection.send_message("abc")
        assert await connection.get_message() == "heard 3"
        assert house.door.counts["streams"] == 1


async def test_a_stream_without_leave_is_refused_before_the_upgrade() -> None:
    async with open_house() as house:
        head = GOOD.replace(b"good", b"stranger")
        assert status(await house.say(head)) == 403
        assert status(await house.say(head + b"\x00")) == 403


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (400, b"GET / HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
        (400, b"GET /hello HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
        (400, b"GET //twilio/stream/good HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
        (400, b"GET http://x/twilio/stream/good HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
        (400, b"POST /twilio/stream/good HTTP/1.1\r\n" + UPGRADE + b"\r\n"),
        (400, b"GET /twilio/stream/good HTTP/1.0\r\n" + UPGRADE + b"\r\n"),
        (400, b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (400, b"GET /hello HTTP/1.1\r\nHost: x\r\nUpgrade: tls/1.0\r\n\r\n"),
        (400, b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\r\n"),
        (505, H2_PREFACE),
        (400, b"GET /hello HTTP/9\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n"),
        (400, b"GET /hello HTTP/1.1\r\n\r\n"),
        (400, b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000),
        (431, b"GET /hello HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 8_000),
    ],
)
async def test_what_is_refused(expected: int, data: bytes) -> None:
    async with open_house() as house:
        assert status(await house.say(data)) == expected
        assert house.door.counts[f"refused:{expected}"] == 1
        assert house.door.counts["http"] == 0


CRASHERS = {
    "a byte behind the upgrade request": b"\x00",
    "a page of bytes behind the upgrade request": bytes(range(256)) * 16,
    "an unmasked frame at once": b"\x81\x05hello",
    "a reserved bit": b"\xc1\x80\x00\x00\x00\x00",
    "an unknown opcode": b"\x8f\x80\x00\x00\x00\x00",
    "a fragmented control frame": b"\x09\x80\x00\x00\x00\x00",
    "a close frame of one byte": b"\x88\x81\x00\x00\x00\x00\x00",
    "text that is no UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xff",
    "a length of 2^63": b"\x81\xff" + b"\xff" * 8 + bytes(4),
    "a second request": b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
    "the h2 preface": H2_PREFACE,
}
OFFERS = [
    b"permessage-deflate; client_max_window_bits=abc",
    b"permessage-deflate; server_max_window_bits=99; =;;",
    b"permessage-deflate",
    b";;;,,,",
    b"\xff\xfe",
]
PATHS = [b"/twilio/stream/good", b"/twilio/stream/stranger", b"/twilio/stream/bug", b"/", b"/hello"]


def crash_corpus() -> list[bytes]:
    corpus = []
    for path in PATHS:
        head = b"GET " + path + b" HTTP/1.1\r\n" + UPGRADE
        corpus += [head + b"\r\n" + tail for tail in CRASHERS.values()]
        for offer in OFFERS:
            corpus.append(head + b"Sec-WebSocket-Extensions: " + offer + b"\r\n\r\n\x00")
        corpus.append(head.replace(b"13", b"99") + b"\r\n")
        corpus.append(head.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n")
        h2c = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        corpus.append(b"GET " + path + b" HTTP/1.1\r\n" + h2c + b"HTTP2-Settings: AAM\r\n\r\n")
        plain = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        corpus.append(plain + head + b"\r\n\x00")  # an upgrade pipelined behind a plain request
        corpus.append(plain + H2_PREFACE)
        corpus.append(plain.replace(b"GET", b"CONNECT"))
        corpus.append(plain[:-2] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        corpus.append(plain[:-2] + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
    return corpus


async def test_bytes_that_crash_other_servers_end_their_own_connection_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "HANDSHAKE_TIMEOUT_S", 0.3)
    async with open_house() as house, house.websocket() as neighbour:

        async def probe(data: bytes, half_close: bool) -> None:
            stream = await house.connect()
            async with stream:
                with suppress(trio.BrokenResourceError), trio.move_on_after(2):
                    await stream.send_all(data)
                    if half_close:
                        await stream.send_eof()
                    with trio.move_on_after(0.5):
                        async for _ in stream:
                            pass

        async with trio.open_nursery() as nursery:
            for data in crash_corpus():
                nursery.start_soon(probe, data, True)
                nursery.start_soon(probe, data, False)
            for size in range(50):
                await neighbour.send_message("n" * size)
                assert await neighbour.get_message() == f"heard {size}"
        assert house.door.counts["failed:RuntimeError"] > 0, "the guard was put to the test"
        assert status(await house.say(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")) == 200


async def test_a_bug_in_a_call_ends_that_call() -> None:
    async with open_house() as house, house.websocket() as neighbour:
        victim = await house.connect()
        await victim.send_all(GOOD)
        assert (await victim.receive_some()).startswith(b"HTTP/1.1 101")
        await victim.send_all(b"\x81\x83" + bytes(4) + b"bug")
        with trio.fail_after(2):
            assert await victim.receive_some() == b""
        await neighbour.send_message("still here")
        assert await neighbour.get_message() == "heard 10"
        assert house.door.counts["failed:ValueError"] == 1


async def test_a_bug_in_a_page_is_a_500() -> None:
    async with open_house() as house:
        assert status(await house.say(b"GET /bug HTTP/1.1\r\nHost: x\r\n\r\n")) == 500


async def test_a_head_that_never_ends_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "HEAD_TIMEOUT_S", 0.1)
    async with open_house() as house:
        for beginning in (b"", b"G", b"GET /hello HTTP/1.1\r\nHost"):
            stream = await house.connect()
            await stream.send_all(beginning)
            with trio.fail_after(2), suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        assert house.door.counts["no_head"] == 3


async def test_a_crowd_of_silent_sockets_gives_way_to_those_who_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "MAX_WAITING_HEADS", 20)
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    async with open_house() as house:
        for _ in range(60):
            await house.connect()
        with trio.fail_after(2):
            assert status(await house.say(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")) == 200
        assert house.door.counts["no_head"] >= 40


async def test_who_dribbles_a_head_gets_no_younger_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "MAX_WAITING_HEADS", 3)
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    async with open_house() as house:
        dribbles = await house.connect()
        silent = [await house.connect() for _ in range(2)]
        for byte in b"GET":
            await trio.testing.wait_all_tasks_blocked(0.001)
            await dribbles.send_all(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked(0.001)
        silent.append(await house.connect())
        with trio.fail_after(2), suppress(trio.BrokenResourceError):
            assert await dribbles.receive_some() == b""
        for stream in silent:
            await stream.send_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            with trio.fail_after(2):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_slow_body_is_cut() -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        with trio.fail_after(3):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")


async def test_a_body_that_is_too_large_is_refused_at_its_head() -> None:
    async with open_house() as house:
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
        assert status(await house.say(head)) == 413


# ---- webhooks, which have no server around the app ------------------------------------------


WEBHOOK = b"POST /twilio/count HTTP/1.1\r\nHost: x\r\n"


async def test_a_webhook_is_answered_and_its_connection_closed() -> None:
    async with open_house() as house:
        answer = await house.say(WEBHOOK + b"Content-Length: 3\r\n\r\nabc")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (status(answer), body) == (200, b"3")
        assert b"connection: close" in head.lower()
        assert b"\r\ndate: " in head.lower()
        assert house.door.counts["http"] == 1


async def test_a_webhook_s_body_may_come_byte_by_byte_or_in_chunks() -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(WEBHOOK + b"Content-Length: 20\r\n\r\n")
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked(0.001)
            await stream.send_all(b"x")
        with trio.fail_after(5):
            assert (await stream.receive_some()).endswith(b"20")
        chunked = WEBHOOK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert (await house.say(chunked)).endswith(b"\r\n\r\n5")


async def test_who_waits_for_leave_to_send_a_body_gets_it() -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(WEBHOOK + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
            await stream.send_all(b"abc")
            assert (await stream.receive_some()).endswith(b"3")


async def test_who_is_refused_before_the_body_may_be_waiting_for_leave_to_send_it() -> None:
    async with open_house() as house:
        unread = WEBHOOK.replace(b"count", b"deaf") + b"Expect: 100-continue\r\n"
        stream = await house.connect()
        await stream.send_all(unread + b"Content-Length: 900\r\n\r\n")
        answer = b""
        with trio.fail_after(30):
            async for some in stream:
                answer += some
        assert answer.removeprefix(b"HTTP/1.1 100 \r\n\r\n").startswith(b"HTTP/1.1 200")
        assert not any(name.startswith("failed") for name in house.door.counts)


async def test_of_too_many_bodies_that_do_not_come_the_oldest_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "MAX_WAITING_BODIES", 2)
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(exchange, "BODY_S", 3600.0)

    async def reads_on(_: object, receive: exchange.Receive, __: object) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with open_house() as house:
        monkeypatch.setattr(house.door, "_webhooks", reads_on)
        slow = []
        for _ in range(3):
            slow.append(await house.connect())
            await slow[-1].send_all(WEBHOOK + b"Content-Length: 9\r\n\r\nx")
            await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.fail_after(30):
            assert (await slow[0].receive_some()).startswith(b"HTTP/1.1 408")
        with trio.move_on_after(0) as scope:
            await slow[1].receive_some()
        assert scope.cancelled_caught, "there is room for two"


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (400, WEBHOOK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (413, WEBHOOK + b"Content-Length: 1000000000\r\n\r\n"),
        (413, WEBHOOK + b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n"),
        (404, WEBHOOK.replace(b"count", b"other") + b"Content-Length: 0\r\n\r\n"),
        (200, WEBHOOK.replace(b"count", b"deaf") + b"Content-Length: 900\r\n\r\n"),
        (500, WEBHOOK.replace(b"count", b"bug") + b"Content-Length: 0\r\n\r\n"),
        (400, WEBHOOK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
        (400, WEBHOOK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    ],
)
async def test_what_a_webhook_that_is_out_of_order_gets(expected: int, data: bytes) -> None:
    async with open_house() as house:
        assert status(await house.say(data)) == expected


async def test_a_webhook_s_slow_body_is_cut_and_a_peer_that_leaves_is_no_failure() -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(WEBHOOK + b"Content-Length: 9\r\n\r\nx")
        with trio.fail_after(3):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")
        left = await trio.open_tcp_stream("127.0.0.1", house.port)
        await left.send_all(WEBHOOK + b"Content-Length: 9\r\n\r\nx")
        await left.aclose()
        assert status(await house.say(WEBHOOK + b"Content-Length: 0\r\n\r\n")) == 200
        assert not any(name.startswith("failed") for name in house.door.counts)


async def test_a_body_that_does_not_come_is_cut_whatever_the_app_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def reads_on(_: object, receive: exchange.Receive, __: object) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    monkeypatch.setattr(exchange, "BODY_S", 0.0)
    async with open_house() as house:
        monkeypatch.setattr(house.door, "_webhooks", reads_on)
        stream = await house.connect()
        await stream.send_all(WEBHOOK + b"Content-Length: 9\r\n\r\nx")
        with trio.fail_after(30):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")


async def test_an_app_that_breaks_or_says_nothing_owes_a_500(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(*_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug before the app")

    async with open_house() as house:
        for app in (silent, broken):
            monkeypatch.setattr(house.door, "_webhooks", app)
            assert status(await house.say(WEBHOOK + b"Content-Length: 0\r\n\r\n")) == 500
        await house.visitors.aclose()  # who still listens is lingered for
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert house.door.counts["failed:RuntimeError"] == 1


async def test_an_answer_that_the_app_did_not_end_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def half(_: object, __: object, send: exchange.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a bug in the middle of an answer")

    async with open_house() as house:
        monkeypatch.setattr(house.door, "_webhooks", half)
        answer = await house.say(WEBHOOK + b"Content-Length: 0\r\n\r\n")
        assert (status(answer), b"half" in answer) == (500, False)


async def test_of_a_crowd_one_begins_in_each_turn_of_the_loop_first_come_first_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever else has something to do comes in between: one request's work is all that waits."""
    begun: list[int] = []
    turns = 0

    async def note(scope: dict[str, str], receive: object, send: object) -> None:
        begun.append(turns)
        order.append(int(scope["path"].removeprefix("/twilio/")))

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    order: list[int] = []
    async with open_house() as house:
        monkeypatch.setattr(house.door, "_webhooks", note)
        crowd = [await house.connect() for _ in range(60)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        for n, stream in enumerate(crowd):
            head = f"POST /twilio/{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            stream.socket._sock.send(head.encode())  # all of them are there before the loop turns
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn)
            for stream in crowd:
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 500")
            nursery.cancel_scope.cancel()
        assert sorted(order) == list(range(60))
        # Within a turn the one that counts comes before the request or behind it.
        assert max(begun.count(at) for at in begun) <= 2


def resident_kib() -> int:
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024


@pytest.mark.parametrize(
    "announcement",
    [
        b"\x81\xff" + (1 << 30).to_bytes(8, "big") + bytes(4),  # one frame of 1 GiB
        b"\x01\xff" + (1 << 30).to_bytes(8, "big") + bytes(4),  # a first fragment of 1 GiB
    ],
)
async def test_a_huge_message_takes_no_memory(announcement: bytes) -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(GOOD)
        assert b"101" in await stream.receive_some()
        piece = bytes(64 * 1024)
        before = resident_kib()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(5):
            await stream.send_all(announcement)
            for _ in range(1024):
                await stream.send_all(piece)
        assert resident_kib() - before < 8 * 1024


async def test_many_small_fragments_are_one_message_and_bounded() -> None:
    async with open_house() as house:
        stream = await house.connect()
        await stream.send_all(GOOD)
        assert b"101" in await stream.receive_some()
        fragment = b"\x00\xfe\x03\xe8" + bytes(4) + b"x" * 1000
        answer = b""
        with suppress(trio.BrokenResourceError), trio.fail_after(5):
            await stream.send_all(b"\x01\x80" + bytes(4) + fragment * 70)
            answer = bytes(await stream.receive_some())
        assert answer[:1] == b"\x88"
        assert int.from_bytes(answer[2:4], "big") == 1009


async def test_compression_is_never_agreed_to() -> None:
    async with open_house() as house:
        stream = await house.connect()
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        await stream.send_all(GOOD[:-2] + offer)
        answer = await stream.receive_some()
        assert b"101" in answer
        assert b"extensions" not in answer.lower()


async def test_listening_sockets_watch_for_dead_peers() -> None:
    (listener,) = await open_listeners("127.0.0.1", 0)
    async with listener:
        assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
        assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        stream = await trio.open_tcp_stream(*listener.socket.getsockname())
        accepted = await listener.accept()
        assert accepted.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
        await stream.aclose()
        await accepted.aclose()


async def test_a_taken_port_is_an_os_error() -> None:
    (listener,) = await open_listeners("127.0.0.1", 0)
    async with listener:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await open_listeners("127.0.0.1", listener.socket.getsockname()[1])
        assert caught.value.errno == errno.EADDRINUSE


async def test_accept_without_file_descriptors_backs_off_and_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Starved(trio.abc.Listener[trio.SocketStream]):
        accepts = 0

        async def accept(self) -> trio.SocketStream:
            await trio.lowlevel.checkpoint()
            self.accepts += 1
            if self.accepts > 3:
                await trio.sleep_forever()
            raise OSError(errno.EMFILE, "Too many open files")

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    starved = Starved()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(Door(make_app(), admit, echo).serve, [starved]))
        await trio.sleep(1)
        assert starved.accepts == 4
        nursery.cancel_scope.cancel()


async def test_push_back_gives_the_first_bytes_first() -> None:
    ours, theirs = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    pushed = PushBack(stream, b"abcdef")
    theirs.sendall(b"ghi")
    assert pushed.socket is stream.socket
    assert [bytes(await pushed.receive_some(4)) for _ in range(3)] == [b"abcd", b"ef", b"ghi"]
    await pushed.wait_send_all_might_not_block()
    await pushed.send_all(b"x")
    await pushed.send_eof()
    assert theirs.recv(2) + theirs.recv(2) == b"x"
    await pushed.aclose()
    theirs.close()
