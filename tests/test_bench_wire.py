"""The benchmark's own WebSockets: what a library's peer sends and gets, whatever the pieces."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._latency_wire import Wire, answer, call  # noqa: E402
from bench._load_wire import CLOSE, PING, TEXT, Frames, frame  # noqa: E402
from relay.errors import SocketClosed  # noqa: E402

LONG = "long " * 200_000  # more than the kernel takes at once
WAIT_S = 20


# ---- reading --------------------------------------------------------------------------------

SAID = st.one_of(
    st.builds(TextMessage, st.text(max_size=300), message_finished=st.booleans()),
    st.builds(BytesMessage, st.binary(max_size=70_000)),
    st.builds(Ping, st.binary(max_size=125)),
)


def meant(events: list[Event]) -> list[tuple[int, bytes]]:
    """What a reader is to make of them; a text that is not finished goes on with the next."""
    found, begun = list[tuple[int, bytes]](), b""
    for each in events:
        if isinstance(each, Ping):
            found.append((PING, bytes(each.payload)))
        elif isinstance(each, TextMessage):
            begun += each.data.encode()
            if each.message_finished:
                found.append((TEXT, begun))
                begun = b""
        elif isinstance(each, BytesMessage):
            found.append((TEXT, bytes(each.data)))
    return found


def whole(events: list[Event]) -> list[Event]:
    """The same, such that every message ends before one of another kind begins."""
    found, open_text = list[Event](), False
    for each in events:
        if isinstance(each, BytesMessage) and open_text:
            found.append(TextMessage("", message_finished=True))
        found.append(each)
        if not isinstance(each, Ping):
            open_text = isinstance(each, TextMessage) and not each.message_finished
    return found


@given(st.lists(SAID, max_size=8), st.sampled_from(ConnectionType), st.data())
def test_what_a_library_frames_is_read_whole_from_any_pieces(
    events: list[Event], sender: ConnectionType, data: st.DataObject
) -> None:
    events = whole(events)
    peer = Connection(sender)
    sent = b"".join(peer.send(each) for each in [*events, CloseConnection(code=1000)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    frames = Frames()
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    read = [each for piece in pieces for each in frames.read(piece)]
    assert read == [*meant(events), (CLOSE, b"\x03\xe8")]


@given(st.text(max_size=400), st.booleans())
def test_what_it_frames_a_library_reads(text: str, masked: bool) -> None:
    peer = Connection(ConnectionType.SERVER if masked else ConnectionType.CLIENT)
    peer.receive_data(frame(text.encode(), masked=masked))
    assert [each.data for each in peer.events() if isinstance(each, TextMessage)] == [text]


# ---- both ends over a socket ----------------------------------------------------------------


@asynccontextmanager
async def library_client() -> AsyncIterator[tuple[Wire, trio_websocket.WebSocketConnection]]:
    """Our server's end, and a library's client."""
    outbox, inbox = trio.open_memory_channel[Wire](1)

    async def serve(stream: trio.SocketStream) -> None:
        _, wire = await answer(stream)
        await outbox.send(wire)

    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            host = f"127.0.0.1:{port}"
            peer = await trio_websocket.wrap_client_stream(nursery, stream, host, "/at")
            wire = await inbox.receive()
            yield wire, peer
            wire.drop()
            await trio.aclose_forcefully(stream)  # the library leaves it open where we said goodbye
            nursery.cancel_scope.cancel()


async def test_a_library_client_is_served() -> None:
    async with library_client() as (wire, peer):
        await peer.send_message("hello")
        assert await wire.receive() == "hello"
        await wire.send("hello, too")
        assert await peer.get_message() == "hello, too"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.ping, b"there?")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(peer.send_message, "behind the ping")
            assert await wire.receive() == "behind the ping"


async def test_what_does_not_fit_is_sent_while_the_peer_reads() -> None:
    async with library_client() as (wire, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.send, LONG)
            assert await peer.get_message() == LONG
        await wire.send("after it")
        assert await peer.get_message() == "after it"


async def test_a_goodbye_is_told_with_its_code_and_answered() -> None:
    async with library_client() as (wire, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.aclose, 1001, "going")
            with pytest.raises(SocketClosed) as gone:
                await wire.receive()
        assert (gone.value.code, gone.value.reason) == (1001, "going")
        assert peer.closed is not None


async def test_our_goodbye_waits_for_the_other_who_reads_meanwhile_or_not() -> None:
    for reading in (False, True):
        async with library_client() as (wire, peer), trio.open_nursery() as nursery:

            async def read(wire: Wire = wire) -> None:
                with pytest.raises(SocketClosed):
                    await wire.receive()

            if reading:
                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(wire.aclose, 1000, "done")
            with pytest.raises(trio_websocket.ConnectionClosed) as gone:
                await peer.get_message()
            assert gone.value.reason is not None
            assert (gone.value.reason.code, gone.value.reason.reason) == (1000, "done")


async def test_a_connection_that_is_lost_is_1006_for_both_ends() -> None:
    async with library_client() as (wire, peer):
        wire.drop()
        with pytest.raises(SocketClosed) as gone:
            await wire.send("too late")
        assert gone.value.code == 1006
        with pytest.raises(trio_websocket.ConnectionClosed):
            await peer.get_message()


async def test_a_call_reaches_a_library_server_and_says_when_it_is_refused() -> None:
    async def serve(request: trio_websocket.WebSocketRequest) -> None:
        if request.path == "/shut":
            await request.reject(403)
            return
        assert dict(request.headers)[b"x-mine"] == b"yes"
        peer = await request.accept()
        await peer.send_message(f"{request.path}: {await peer.get_message()}")

    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            listen = trio_websocket.serve_websocket
            server = await nursery.start(listen, serve, "127.0.0.1", 0, None)
            base = f"ws://127.0.0.1:{server.port}"
            wire = await call(f"{base}/open", {"X-Mine": "yes"})
            await wire.send("hello")
            assert await wire.receive() == "/open: hello"
            await wire.aclose()
            with pytest.raises(OSError, match="403"):
                await call(f"{base}/shut", {})
            nursery.cancel_scope.cancel()
