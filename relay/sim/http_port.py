"""A small HTTP/1.1 server on a real port of this machine: what it does with requests is a function.

Plain, without TLS. It can also do what servers do on bad days: leave a request without an answer,
or close its connection without a word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TypeAlias

import h11
import trio

HOST = "127.0.0.1"
IDLE_S = 60.0
MAX_BODY = 65_536
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    request: h11.Request
    body: bytes

    @property
    def method(self) -> str:
        return self.request.method.decode()

    @property
    def target(self) -> str:
        return self.request.target.decode()

    def header(self, name: str) -> str:
        """A header's value, "" when there is none. name: in lower case."""
        found = [value for key, value in self.request.headers if key == name.encode()]
        return found[0].decode("latin-1") if found else ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one. text: JSON, or nothing."""

    status: int
    text: str = ""


class Silence(Enum):
    """No answer at all: the connection stays open, or is closed."""

    OPEN = auto()
    CLOSED = auto()


Answer: TypeAlias = Callable[[Asked], Awaitable[Answered | Silence]]


async def serve_http(
    answer: Answer, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Reports where, as "http://127.0.0.1:8080"."""
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    task_status.started(f"http://{HOST}:{listeners[0].socket.getsockname()[1]}")
    await trio.serve_listeners(partial(_converse, answer), listeners)


async def _converse(answer: Answer, stream: trio.SocketStream) -> None:
    """Answer the requests of one connection, one after another."""
    connection = h11.Connection(h11.SERVER)
    try:
        while True:
            with trio.fail_after(IDLE_S):
                request = await _next(connection, stream)
                if not isinstance(request, h11.Request):
                    return
                body = await _body(connection, stream)
            answered = await answer(Asked(request, body))
            if isinstance(answered, Silence):
                if answered is Silence.OPEN:
                    await _until_gone(stream)
                return
            await stream.send_all(_bytes(connection, answered))
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()
    except (h11.ProtocolError, trio.BrokenResourceError, trio.TooSlowError):
        return
    finally:
        await trio.aclose_forcefully(stream)


async def _next(connection: h11.Connection, stream: trio.SocketStream) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(CHUNK))
    return event


async def _body(connection: h11.Connection, stream: trio.SocketStream) -> bytes:
    body = bytearray()
    while isinstance(event := await _next(connection, stream), h11.Data):
        body += event.data
        if len(body) > MAX_BODY:
            raise h11.RemoteProtocolError(f"a body of more than {MAX_BODY} bytes", 413)
    return bytes(body)


def _bytes(connection: h11.Connection, answered: Answered) -> bytes:
    body = answered.text.encode()
    headers = [("Content-Length", str(len(body)))] if answered.status != 204 else []
    if body:
        headers.append(("Content-Type", "application/json"))
    return (
        (connection.send(h11.Response(status_code=answered.status, headers=headers)) or b"")
        + (connection.send(h11.Data(data=body)) or b"")
        + (connection.send(h11.EndOfMessage()) or b"")
    )


async def _until_gone(stream: trio.SocketStream) -> None:
    """Wait for a client to give up."""
    while await stream.receive_some(CHUNK):
        pass
