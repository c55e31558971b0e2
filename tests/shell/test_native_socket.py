"""What only the native socket has: pouring, the pump, TLS, sending at once."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import resource
import socket as sockets
import ssl
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from trio_websocket import WebSocketRequest, serve_websocket

from relay.core.commands import SendAudio
from relay.errors import SocketClosed
from relay.ports import QuickSocket
from relay.shell import pump
from relay.shell.alarm import Alarm
from relay.shell.native_socket import NativeSocket
from relay.shell.outbox import Outbox
from relay.shell.sockets import dial
from relay.websocket import TEXT, Link, twin
from relay.wire.twilio import render
from tests.websocket.secure import LOCALHOST, context, secure

LIMIT = 1 << 20


def native(sock: sockets.socket, *, client: bool) -> NativeSocket:
    sock.setblocking(False)
    link = Link(sock.fileno(), client=client, limit=LIMIT)
    return NativeSocket(sock.fileno(), link, client=client, close_s=0.5)


@asynccontextmanager
async def pair():
    """Two native ends of one connection: the server's and the client's."""
    here, there = sockets.socketpair()
    with here, there:
        yield native(here, client=False), native(there, client=True)
        for end in (here, there):
            trio.lowlevel.notify_closing(end)


@pytest.fixture(params=["pumped", "alone"])
async def pumped(request, nursery):
    """With a pump, and without one."""
    if request.param == "pumped":
        nursery.start_soon(pump.Pump().run)
        await trio.testing.wait_all_tasks_blocked()
    return request.param == "pumped"


async def poured(socket: NativeSocket, into: list) -> SocketClosed:
    with pytest.raises(SocketClosed) as gone:
        await socket.pour(into.append)
    return gone.value


# ---- pouring --------------------------------------------------------------------------------


async def test_every_message_is_poured_in_order_and_then_the_close(pumped, nursery):
    async with pair() as (server, client), trio.open_nursery() as readers:
        seen: list = []
        closed: list = []

        async def read() -> None:
            closed.append(await poured(server, seen))

        readers.start_soon(read)
        for n in range(200):
            await client.send(f"{n}" * (n + 1))
        await client.aclose(4000, "enough")
    assert seen == [f"{n}" * (n + 1) for n in range(200)]
    assert (closed[0].code, closed[0].reason) == (4000, "enough")
    nursery.cancel_scope.cancel()


async def test_what_a_call_does_wrong_comes_out_of_its_own_task(pumped, nursery):
    """A neighbour on the same pump does not notice."""
    async with pair() as (victim, to_victim), pair() as (other, to_other):
        seen: list = []

        async def neighbour() -> None:
            await poured(other, seen)

        async with trio.open_nursery() as calls:
            calls.start_soon(neighbour)
            with trio.fail_after(2):
                await to_victim.send("x")
                with pytest.raises(ZeroDivisionError):
                    await victim.pour(lambda text: 1 / 0)
                await to_other.send("still here")
                await to_other.aclose()
        assert seen == ["still here"]
    nursery.cancel_scope.cancel()


async def test_messages_are_taken_in_the_context_of_the_task_that_pours(pumped, nursery):
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    seen: list = []

    async def read(socket: NativeSocket, call: str) -> None:
        name.set(call)
        with pytest.raises(SocketClosed):
            await socket.pour(lambda text: seen.append((name.get(), text)))

    async with (
        pair() as (one, to_one),
        pair() as (two, to_two),
        trio.open_nursery() as calls,
    ):
        calls.start_soon(read, one, "one")
        calls.start_soon(read, two, "two")
        await trio.testing.wait_all_tasks_blocked()
        for peer in (to_two, to_one):
            await peer.send("hello")
            await peer.aclose()
    assert sorted(seen) == [("one", "hello"), ("two", "hello")]
    nursery.cancel_scope.cancel()


async def test_pouring_can_be_cancelled_and_taken_up_again(pumped, nursery):
    async with pair() as (server, client):
        seen: list = []
        with trio.move_on_after(0.05):
            await server.pour(seen.append)
        await client.send("kept")
        assert await server.receive() == "kept"
    nursery.cancel_scope.cancel()


async def test_our_own_close_ends_the_pouring_with_our_code(pumped, nursery):
    async with pair() as (server, client), trio.open_nursery() as tasks:
        closed: list = []

        async def read() -> None:
            closed.append(await poured(server, []))

        async def peer() -> None:
            with pytest.raises(SocketClosed):
                await client.receive()

        tasks.start_soon(read)
        tasks.start_soon(peer)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.fail_after(0.4):
            await server.aclose(1001, "going away")
            await server.aclose()
    assert (closed[0].code, closed[0].reason) == (1001, "going away")
    nursery.cancel_scope.cancel()


async def test_our_close_behind_the_peer_s_changes_nothing(nursery):
    """Both may be seen before the task that pours has woken from the first."""
    nursery.start_soon(pump.Pump().run)
    await trio.testing.wait_all_tasks_blocked()
    async with pair() as (server, client), trio.open_nursery() as tasks:
        closed: list = []

        async def read() -> None:
            closed.append(await poured(server, []))

        tasks.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.01)
        client._say_goodbye(4000, "enough")
        assert server._pouring is not None
        server._pouring.ready()  # as the pump does
        with trio.move_on_after(0):
            await server.aclose()
    assert (closed[0].code, closed[0].reason) == (4000, "enough")
    nursery.cancel_scope.cancel()


async def test_what_came_together_leaves_together(nursery, monkeypatch):
    """Ten messages in one read: what they cause goes out in one write, after the last."""
    nursery.start_soon(pump.Pump().run)
    await trio.testing.wait_all_tasks_blocked()
    writes: list[int] = []
    async with pair() as (server, client), pair() as (upstream, model):
        flush, outbox = Link.flush, Outbox(10)

        def counted(link: Link) -> int:
            if link is upstream._link:
                writes.append(link.unsent)
            return flush(link)

        monkeypatch.setattr(Link, "flush", counted)

        def forward(text: str | bytes) -> None:
            outbox.post(str(text))
            outbox.flush()

        async with trio.open_nursery() as tasks:
            tasks.start_soon(outbox.run, upstream)
            tasks.start_soon(server.pour, forward)
            await trio.testing.wait_all_tasks_blocked(0.01)
            for n in range(10):
                assert client.send_nowait(f"{n}")
            client.flush(lambda: None)
            assert [await model.receive() for _ in range(10)] == [f"{n}" for n in range(10)]
            assert len(writes) == 1
            tasks.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


# ---- sending at once ------------------------------------------------------------------------


async def test_a_peer_that_does_not_read_is_noticed_and_can_be_waited_for():
    async with pair() as (server, client):
        assert isinstance(server, QuickSocket)
        lagging: list[bool] = []
        sent = 0
        while not lagging:
            assert server.send_nowait("x" * 10_000)
            server.flush(lambda: lagging.append(True))
            sent += 1
        assert not server.send_nowait("more")
        assert not server.append_nowait("AAAA")
        assert not server.play_nowait("MZ1", b"\xff", "0:a:20")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain)
            for _ in range(sent):
                assert len(await client.receive()) == 10_000
        assert server.send_nowait("again")
        server.flush(lambda: None)
        assert await client.receive() == "again"


async def test_an_outbox_goes_on_behind_a_peer_that_lags():
    """Nothing is lost, and the order is kept, whoever writes."""
    async with pair() as (server, client), trio.open_nursery() as nursery:
        outbox = Outbox(1000)
        nursery.start_soon(outbox.run, server)
        await trio.testing.wait_all_tasks_blocked()
        messages = [f"{n} " + "x" * 5000 for n in range(300)]
        for text in messages:
            assert outbox.post(text)
            outbox.flush()
        assert [await client.receive() for _ in messages] == messages
        assert outbox.append("QUJD")
        outbox.flush()
        assert await client.receive() == '{"type":"input_audio_buffer.append","audio":"QUJD"}'
        assert not outbox.play("MZ1", b"\xff", 'a "name"')
        assert outbox.play("MZ1", b"\xff", "0:a:20")
        outbox.flush()
        sent = [await client.receive(), await client.receive()]
        assert sent == render(SendAudio(b"\xff", "0:a:20"), "MZ1")
        outbox.close()
        assert not outbox.play("MZ1", b"\xff", "0:a:20"), "as text it goes nowhere"
        with pytest.raises(SocketClosed):
            await client.receive()


async def test_to_a_peer_that_is_gone_nothing_is_sent_and_nothing_breaks():
    async with pair() as (server, client):
        await client.aclose()
        with pytest.raises(SocketClosed):
            await server.receive()
        assert server.send_nowait("to nobody")
        assert server.append_nowait("AAAA")
        assert server.play_nowait("MZ1", b"\xff", "0:a:20")
        server.flush(lambda: pytest.fail("there is nothing to send"))
        with pytest.raises(SocketClosed):
            await server.send("to nobody")


def fill(socket: NativeSocket) -> None:
    """Send until the kernel takes no more."""
    lagging: list[bool] = []
    while not lagging:
        assert socket.send_nowait("x" * 10_000)
        socket.flush(lambda: lagging.append(True))


async def test_who_writes_learns_of_our_close_while_that_waits_for_a_peer_that_does_not_read():
    """Two tasks may not wait for one socket."""
    async with pair() as (server, _client), trio.open_nursery() as tasks:
        fill(server)
        tasks.start_soon(server.aclose, 1001, "going away")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(SocketClosed) as gone:
            await server.drain()
        assert (gone.value.code, gone.value.reason) == (1001, "going away")


async def test_what_is_left_after_our_close_goes_to_nobody_who_has_its_number_now():
    here, there = sockets.socketpair()
    server = native(here, client=False)
    fill(server)
    await server.aclose()
    number = here.fileno()
    here.close()
    there.close()
    with contextlib.ExitStack() as opened:
        ends = [opened.enter_context(end) for end in sockets.socketpair()]
        assert number in [end.fileno() for end in ends]
        server.flush(lambda: pytest.fail("there is nothing to send"))
        for end in ends:
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(1)


async def test_pings_of_a_peer_that_does_not_read_do_not_pile_up():
    here, there = sockets.socketpair()
    with here, there:
        server = native(here, client=False)
        pings = twin.write(twin.PING, b"p" * 125, bytes(4)) * 400
        peer = trio.SocketStream(trio.socket.from_stdlib_socket(there.dup()))
        async with peer, trio.open_nursery() as tasks:
            tasks.start_soon(server.receive)
            for _ in range(60):
                await peer.send_all(pings)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert 1_000_000 < server._link.unsent < 1_100_000
            tasks.cancel_scope.cancel()


async def test_a_ping_is_answered_between_fragments():
    here, there = sockets.socketpair()
    with here, there:
        server = native(here, client=False)
        mask = bytes(4)
        there.sendall(b"\x01\x82" + mask + b"ab\x89\x81" + mask + b"?\x80\x82" + mask + b"cd")
        assert await server.receive() == "abcd"
        assert there.recv(100) == b"\x8a\x01?"
        there.sendall(b"\x02\x80" + mask + b"\x80\x80" + mask)
        assert await server.receive() == b""


# ---- TLS ------------------------------------------------------------------------------------


@asynccontextmanager
async def secure_pair():
    """A native client under TLS, and the far end."""
    here, there = sockets.socketpair()
    with here:
        client = native(here, client=True)
        far = secure(client._link, there)
        with far.tls:
            yield client, far
            trio.lowlevel.notify_closing(far.tls)
        trio.lowlevel.notify_closing(here)


async def test_tls_carries_long_messages_both_ways_and_the_close(pumped, nursery):
    sizes = [0, 1, 1000, 20_000, 300_000, 5]

    async def echo(request: WebSocketRequest) -> None:
        connection = await request.accept()
        for _ in sizes:
            await connection.send_message(await connection.get_message())
        await connection.aclose(3000, "done")

    async with trio.open_nursery() as peers:
        serve = partial(serve_websocket, echo, "127.0.0.1", 0, context())
        server = await peers.start(serve)
        url = f"wss://localhost:{server.port}/v1/realtime"
        async with dial(url, [], authorities=LOCALHOST) as socket:
            seen: list = []

            async def send() -> None:
                for size in sizes:
                    await socket.send("x" * size)

            async with trio.open_nursery() as tasks:
                tasks.start_soon(send)
                gone = await poured(socket, seen)
            assert [len(each) for each in seen] == sizes
            assert (gone.code, gone.reason) == (3000, "done")
        peers.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def test_what_tls_holds_back_is_poured_without_another_word_of_the_peer(pumped, nursery):
    """One record of many messages, more than fit in and than are read before others' turn."""
    async with secure_pair() as (client, far), trio.open_nursery() as tasks:
        seen: list = []
        tasks.start_soon(poured, client, seen)
        await trio.testing.wait_all_tasks_blocked(0.01)
        long, short = "x" * 15_000, ["short"] * 100
        texts = [long, *short]
        far.write(b"".join(twin.write(twin.TEXT, text.encode()) for text in texts))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert seen == texts
        with pytest.raises(ssl.SSLWantReadError):
            far.tls.unwrap()  # whose socket stays open
    nursery.cancel_scope.cancel()


async def test_under_tls_as_well_a_peer_that_lags_is_waited_for():
    async with secure_pair() as (client, far), trio.open_nursery() as tasks:
        outbox = Outbox(1000)
        tasks.start_soon(outbox.run, client)
        await trio.testing.wait_all_tasks_blocked()
        texts = [f"{n} " + "x" * 5000 for n in range(300)]
        for text in texts:
            assert outbox.post(text)
            outbox.flush()
        reader, came, seen = twin.Reader(masked=True, limit=LIMIT), b"", []
        while len(seen) < len(texts):
            with trio.fail_after(30):
                await trio.lowlevel.wait_readable(far.tls)
            came += far.read()
            while isinstance(frame := reader.read(came), twin.Frame):
                seen.append(frame.payload.decode())
                came = came[frame.used :]
        assert seen == texts
        assert not came
        tasks.cancel_scope.cancel()


def resident() -> int:
    """KiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux")
async def test_what_tls_took_is_given_back_with_its_link():
    async def some(connections: int) -> None:
        for _ in range(connections):
            async with secure_pair() as (client, far):
                client._link.put(TEXT, b"x" * 1000)
                client._link.flush()
                far.write(twin.write(twin.TEXT, b"x" * 1000))
                client._link.receive()

    await some(50)
    gc.collect()
    before = resident()
    await some(200)
    gc.collect()
    assert resident() - before < 200 * 5, "one takes 20 KiB and more"


async def test_an_alarm_wakes_a_pump_that_nothing_else_wakes(nursery):
    nursery.start_soon(pump.Pump().run)
    await trio.testing.wait_all_tasks_blocked()
    alarm, rung = Alarm(), trio.Event()
    alarm.set(trio.current_time() + 0.01)
    nursery.start_soon(alarm.run, rung.set)
    with trio.fail_after(30):
        await rung.wait()
    alarm.stop()
    nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """Notes between what is seen where a task went on."""

    def __init__(self, seen: list) -> None:
        self.seen = seen

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.seen.append("a step")


async def test_what_does_not_fit_in_at_once_is_read_in_the_same_step(nursery):
    """Else a model that has sent several deltas while we were busy is read one a round."""
    async with pair() as (server, client):
        seen: list = []
        texts = [f"{n}" * 1500 for n in range(4)]  # 4 KiB fit in
        for text in texts:
            client.send_nowait(text)
        client.flush(lambda: None)
        steps = Steps(seen)
        trio.lowlevel.add_instrument(steps)
        nursery.start_soon(poured, server, seen)
        with trio.fail_after(30):
            await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        first = seen.index(texts[0])
        assert seen[first : first + 4] == texts
        nursery.cancel_scope.cancel()
