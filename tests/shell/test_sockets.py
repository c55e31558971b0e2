"""The Socket seam over real kernel sockets, on the real clock: every peer that there is."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from socket import AF_INET, SOCK_STREAM

import pytest
import trio
from trio_websocket import WebSocketRequest, serve_websocket

from relay.errors import DialError, SocketClosed
from relay.ports import AnsweringSocket
from relay.shell import native_socket, sockets
from relay.shell.library_socket import WebSocket
from relay.shell.sockets import MODEL_MESSAGE_BYTES, dial
from tests.websocket.secure import EXPIRED, LOCALHOST, context

HEADERS = [("Authorization", "Bearer sk-test")]


@pytest.fixture(autouse=True, params=["native", "library"])
def implementation(request, monkeypatch):
    """Every test here is held to both."""
    monkeypatch.setattr(sockets, "NATIVE", request.param == "native")


@asynccontextmanager
async def raw_peer(serve: Callable[[trio.SocketStream], Awaitable[None]]):
    """A TCP server of the test's own making. Yields its URL."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/realtime"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def websocket_peer(serve: Callable[[WebSocketRequest], Awaitable[None]]):
    """A WebSocket server. Yields its URL."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
        yield f"ws://127.0.0.1:{server.port}/v1/realtime"
        nursery.cancel_scope.cancel()


async def dial_error(url: str, **how: object) -> str:
    with trio.fail_after(5), pytest.raises(DialError) as failed:
        async with dial(url, HEADERS, **how):
            pytest.fail("there was nobody to dial")
    return str(failed.value)


async def stay_silent(_stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def open_and_fall_asleep(stream: trio.SocketStream) -> None:
    head = bytes(await stream.receive_some(65536))
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
    accept = base64.b64encode(hashlib.sha1(key + guid).digest())  # noqa: S324 - the RFC's
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    await trio.sleep_forever()


def living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# ---- peers that are none --------------------------------------------------------------------


async def test_a_port_where_nobody_listens():
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    assert "OSError" in await dial_error(f"ws://127.0.0.1:{port}/")


async def test_a_name_that_nobody_has():
    assert await dial_error("ws://no-such-host.invalid/")


async def test_a_peer_that_accepts_and_stays_silent_is_given_up_in_time():
    before = living_tasks()
    async with raw_peer(stay_silent) as url:
        began = trio.current_time()
        assert await dial_error(url, connect_s=0.3) == "no answer within 0.3 s"
        assert trio.current_time() - began < 1
    assert living_tasks() == before


async def test_a_peer_that_hangs_up_during_the_handshake():
    async def slam(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)

    async with raw_peer(slam) as url:
        assert await dial_error(url, connect_s=0.3)


ANSWERS = {
    "garbage": b"\x16\x03\x01 this is not the service that you are looking for\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}",
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "wrong key": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_peer_that_answers_anything_else(name):
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(ANSWERS[name])
        await trio.sleep(2)

    before = living_tasks()
    async with raw_peer(answer) as url:
        told = await dial_error(url)
        assert not name.isdecimal() or name == "200" or name in told
    assert living_tasks() == before


async def test_a_peer_that_speaks_no_tls():
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_peer(answer) as url:
        assert "no TLS" in await dial_error(url.replace("ws:", "wss:"))


@asynccontextmanager
async def secure_peer(shown: str):
    """A WebSocket server behind TLS that echoes one message. Yields its port."""

    async def echo(request: WebSocketRequest) -> None:
        connection = await request.accept()
        await connection.send_message(await connection.get_message())

    async with trio.open_nursery() as nursery:
        how = context(shown)
        server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0, how)
        yield server.port
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_peer_whose_certificate_is_good(host):
    async with (
        secure_peer(LOCALHOST) as port,
        dial(f"wss://{host}:{port}/", HEADERS, authorities=LOCALHOST) as socket,
    ):
        await socket.send("secret")
        assert await socket.receive() == "secret"


@pytest.mark.parametrize(
    ("shown", "trusted", "host", "why"),
    [
        (LOCALHOST, EXPIRED, "localhost", "self.signed"),
        (EXPIRED, EXPIRED, "localhost", "expired"),
        (LOCALHOST, LOCALHOST, "example.com", "[Hh]ostname mismatch"),
    ],
    ids=["nobody vouches for", "from long ago", "of somebody else"],
)
async def test_a_peer_whose_certificate_is_not(shown, trusted, host, why):
    trio.socket.set_custom_hostname_resolver(ToThisMachine())
    async with secure_peer(shown) as port:
        told = await dial_error(f"wss://{host}:{port}/", authorities=trusted)
    assert re.fullmatch(f"no TLS: .*certificate verify failed: .*{why}.*", told)


class ToThisMachine(trio.abc.HostnameResolver):
    """A name server by which every name is this machine's."""

    async def getaddrinfo(self, _host: object, port: int, *_kinds: object) -> list[object]:
        return [(AF_INET, SOCK_STREAM, 0, "", ("127.0.0.1", int(port)))]

    async def getnameinfo(self, *_address: object) -> tuple[str, str]:
        raise NotImplementedError


async def test_a_peer_that_is_silent_in_the_handshake_of_tls_is_given_up_in_time():
    before = living_tasks()
    async with raw_peer(stay_silent) as url:
        told = await dial_error(url.replace("ws:", "wss:"), connect_s=0.3)
    assert told == "no answer within 0.3 s"
    assert living_tasks() == before


# ---- peers that are one ---------------------------------------------------------------------


async def test_messages_both_ways_and_the_headers():
    seen = {}

    async def echo(request: WebSocketRequest) -> None:
        seen.update((name.decode(), value.decode()) for name, value in request.headers)
        connection = await request.accept()
        await connection.send_message(await connection.get_message())
        await connection.send_message(b"\x00\x01")

    async with websocket_peer(echo) as url, dial(url, HEADERS) as socket:
        await socket.send("héllo")
        assert await socket.receive() == "héllo"
        assert await socket.receive() == b"\x00\x01"
    assert seen["authorization"] == "Bearer sk-test"
    assert "sec-websocket-extensions" not in seen, "no compression"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going"), (3000, "no money")])
async def test_a_peers_close_is_told_with_its_code(code, reason):
    async def close(request: WebSocketRequest) -> None:
        connection = await request.accept()
        await connection.send_message("last words")
        await connection.aclose(code, reason)

    async with websocket_peer(close) as url, dial(url, HEADERS) as socket:
        assert await socket.receive() == "last words"
        for _ in range(2):
            with pytest.raises(SocketClosed) as gone:
                await socket.receive()
            assert (gone.value.code, gone.value.reason) == (code, reason)
        with pytest.raises(SocketClosed):
            await socket.send("to nobody")
        await socket.aclose()


async def test_a_peer_that_vanishes_is_1006():
    async def vanish(request: WebSocketRequest) -> None:
        connection = await request.accept()
        await connection.send_message("x")
        await connection._stream.aclose()  # the wire is cut: no close frame

    async with websocket_peer(vanish) as url, dial(url, HEADERS) as socket:
        assert await socket.receive() == "x"
        with pytest.raises(SocketClosed) as gone:
            await socket.receive()
        assert gone.value.code == 1006


async def test_a_peer_is_asked_whether_it_is_there_while_messages_come():
    async def chat(request: WebSocketRequest) -> None:
        connection = await request.accept()
        for number in range(3):
            await connection.send_message(str(number))
        await connection.get_message()

    async with websocket_peer(chat) as url, dial(url, HEADERS) as socket:
        assert isinstance(socket, AnsweringSocket)
        got = []

        async def read() -> None:
            with suppress(SocketClosed):
                while True:
                    got.append(await socket.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with trio.fail_after(5):
                await socket.ping()
                await socket.ping()
            await socket.send("bye")
        assert got == ["0", "1", "2"]
        with pytest.raises(SocketClosed):
            await socket.ping()


async def test_a_peer_whose_socket_is_open_and_who_is_not_there_answers_no_ping():
    async with (
        raw_peer(open_and_fall_asleep) as url,
        dial(url, HEADERS) as socket,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(socket.receive)
        with trio.move_on_after(0.2) as scope:
            await socket.ping()
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_our_close_is_seen_with_its_code_and_a_reason_that_fits():
    seen = []

    async def listen(request: WebSocketRequest) -> None:
        socket = WebSocket(await request.accept())
        with pytest.raises(SocketClosed) as gone:
            await socket.receive()
        seen.append((gone.value.code, gone.value.reason))

    async with websocket_peer(listen) as url:
        async with dial(url, HEADERS) as socket:
            await socket.aclose(1000, "é" * 100)
            await socket.aclose(1000)
            with pytest.raises(SocketClosed):
                await socket.receive()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert seen == [(1000, "é" * 61)]


async def test_a_message_that_is_too_long_closes_with_1009(monkeypatch):
    monkeypatch.setattr(sockets, "MODEL_MESSAGE_BYTES", 1000)

    async def shout(request: WebSocketRequest) -> None:
        connection = await request.accept()
        await connection.send_message("x" * 1000)
        await connection.send_message("x" * 1001)
        await trio.sleep(1)

    async with websocket_peer(shout) as url, dial(url, HEADERS) as socket:
        assert len(await socket.receive()) == 1000
        with pytest.raises(SocketClosed) as gone:
            await socket.receive()
        assert gone.value.code == 1009
    assert MODEL_MESSAGE_BYTES == 16 * 1024 * 1024


async def test_cancelling_a_dial_or_a_session_leaves_nothing_behind():
    before = living_tasks()
    async with raw_peer(stay_silent) as url:
        with trio.move_on_after(0.1) as scope:
            async with dial(url, HEADERS):
                pytest.fail("there was nobody to dial")
        assert scope.cancelled_caught

    async def listen(request: WebSocketRequest) -> None:
        await request.accept()
        await trio.sleep_forever()

    async with websocket_peer(listen) as url:
        began = trio.current_time()
        with trio.move_on_after(0.1) as scope:
            async with dial(url, HEADERS) as socket:
                await socket.receive()
        assert scope.cancelled_caught
        assert trio.current_time() - began < 1
    assert living_tasks() == before


async def test_a_close_that_nobody_answers_ends_all_the_same():
    before = living_tasks()
    async with raw_peer(open_and_fall_asleep) as url:
        began = trio.current_time()
        async with dial(url, HEADERS):
            pass
        assert trio.current_time() - began < native_socket.CLOSE_S + 0.5
    assert living_tasks() == before


async def test_what_breaks_inside_the_block_is_not_a_failed_dial():
    async def listen(request: WebSocketRequest) -> None:
        await request.accept()
        await trio.sleep_forever()

    async with websocket_peer(listen) as url:
        with pytest.raises((OSError, ExceptionGroup)) as broken:
            async with dial(url, HEADERS):
                raise OSError("ours")
    ours, rest = ExceptionGroup("", [broken.value]).split(OSError)
    assert ours is not None
    assert rest is None


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Whoever stands in for the model with a certificate of their own gets no session."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    name = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    where = ["-keyout", str(key), "-out", str(certificate)]
    await trio.run_process([*make.split(), *name.split(), *where], capture_stderr=True)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(certificate, key)
    spoken = []

    async def impostor(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, shown, server_side=True)
        with suppress(trio.BrokenResourceError):
            spoken.append(await secure.receive_some())

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, impostor, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(DialError, match=r"TLS|certificate"):
            async with dial(f"wss://localhost:{port}/v1/realtime", [("Authorization", "key")]):
                raise AssertionError("a session with an impostor")
        nursery.cancel_scope.cancel()
    assert spoken in ([], [b""]), "no key was told"


async def test_a_handshake_that_drips_is_given_up_in_time() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n":
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.05)

    async with raw_peer(drip) as url:
        began = trio.current_time()
        with pytest.raises(DialError, match="no answer"):
            async with dial(url, HEADERS, connect_s=0.3):
                raise AssertionError("that was no handshake")
        assert trio.current_time() - began < 1.5


class HungResolver(trio.abc.HostnameResolver):
    """A name server that is not there."""

    async def getaddrinfo(self, *_names: object, **_kinds: object) -> list[object]:
        return await trio.sleep_forever()

    async def getnameinfo(self, *_address: object) -> tuple[str, str]:
        return await trio.sleep_forever()


async def test_a_resolver_that_hangs_is_given_up_in_time() -> None:
    trio.socket.set_custom_hostname_resolver(HungResolver())
    began = trio.current_time()
    with pytest.raises(DialError, match="no answer"):
        async with dial("ws://model.example.com/v1/realtime", HEADERS, connect_s=0.1):
            raise AssertionError("to whom?")
    assert trio.current_time() - began < 1
