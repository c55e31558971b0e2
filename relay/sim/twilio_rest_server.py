"""The REST API on a real port of this machine, for the demo, the CLI and the `twilio` package.

Plain HTTP/1.1 without TLS. An answer that is to get lost leaves its connection open and silent; a
request that is to be refused has its connection closed without a word.
"""

from __future__ import annotations

from functools import partial

import h11
import trio

from relay.sim.twilio_rest import REFUSED_TEXT, RestAnswer, RestApi

HOST = "127.0.0.1"
IDLE_S = 60.0
MAX_BODY = 65_536
CHUNK = 4096


async def serve_rest(
    rest: RestApi, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Reports where, as "http://127.0.0.1:8080"."""
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    task_status.started(f"http://{HOST}:{listeners[0].socket.getsockname()[1]}")
    await trio.serve_listeners(partial(_converse, rest), listeners)


async def _converse(rest: RestApi, stream: trio.SocketStream) -> None:
    """Answer the requests of one connection, one after another."""
    connection = h11.Connection(h11.SERVER)
    try:
        while True:
            with trio.fail_after(IDLE_S):
                request = await _next(connection, stream)
                if not isinstance(request, h11.Request):
                    return
                body = await _body(connection, stream)
            answer = await rest.ask(
                request.method.decode(), request.target.decode(), _authorization(request), body
            )
            if answer.status == 0:
                if answer.text != REFUSED_TEXT:
                    await _until_gone(stream)
                return
            await stream.send_all(_bytes(connection, answer))
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


def _authorization(request: h11.Request) -> str:
    found = [value for name, value in request.headers if name == b"authorization"]
    return found[0].decode("latin-1") if found else ""


def _bytes(connection: h11.Connection, answer: RestAnswer) -> bytes:
    body = answer.text.encode()
    headers = [("Content-Length", str(len(body)))] if answer.status != 204 else []
    if body:
        headers.append(("Content-Type", "application/json"))
    return (
        (connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
        + (connection.send(h11.Data(data=body)) or b"")
        + (connection.send(h11.EndOfMessage()) or b"")
    )


async def _until_gone(stream: trio.SocketStream) -> None:
    """Wait for a client to give up."""
    while await stream.receive_some(CHUNK):
        pass
