"""`GET /metrics` on a listener of its own, which no public address leads to.

It is not on the app that Twilio reaches: what a business's line does is nobody's business. One
small request a connection, a deadline on all of it, and a bound on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import h11
import structlog
import trio

from relay.door import open_listeners
from relay.errors import ConfigError
from relay.metrics import CONTENT_TYPE

PATH: Final = b"/metrics"
EXCHANGE_S: Final = 5.0
MAX_CONNECTIONS: Final = 16
MAX_HEAD_BYTES: Final = 8 * 1024
READ_BYTES: Final = 4096

# Takes in what is to be shown, at once; what it returns writes the page, in a thread.
Look = Callable[[], Callable[[], bytes]]

_log = structlog.get_logger("relay.metrics")


async def serve_metrics(
    look: Look,
    *,
    host: str,
    port: int,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer for ever; the port goes to task_status. Raises ConfigError when it cannot listen."""
    try:
        listeners = await open_listeners(host, port)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        where = f"METRICS_HOST {host}, METRICS_PORT {port}"
        raise ConfigError(f"cannot listen on {where}: {why}") from None
    taken = trio.CapacityLimiter(MAX_CONNECTIONS)
    bound = listeners[0].socket.getsockname()[1]
    _log.info("= metrics", host=host, port=bound)
    task_status.started(bound)
    await trio.serve_listeners(partial(_connection, look, taken), listeners)


async def _connection(look: Look, taken: trio.CapacityLimiter, stream: trio.SocketStream) -> None:
    try:
        taken.acquire_on_behalf_of_nowait(stream)
    except trio.WouldBlock:
        await trio.aclose_forcefully(stream)
        return
    try:
        with trio.move_on_after(EXCHANGE_S):
            await _exchange(look, stream)
    except (trio.BrokenResourceError, h11.ProtocolError):
        pass  # whoever asked is gone, or spoke no HTTP
    finally:
        taken.release_on_behalf_of(stream)
        await trio.aclose_forcefully(stream)


async def _exchange(look: Look, stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(READ_BYTES))
    if not isinstance(event, h11.Request):
        return
    found = event.method == b"GET" and event.target.partition(b"?")[0] == PATH
    body = await trio.to_thread.run_sync(look()) if found else b""
    headers = [("Content-Length", str(len(body))), ("Connection", "close")]
    if found:
        headers.append(("Content-Type", CONTENT_TYPE))
    answer = h11.Response(status_code=200 if found else 404, headers=headers)
    sent = [connection.send(answer), connection.send(h11.Data(data=body))]
    await stream.send_all(b"".join(part for part in sent if part))
    await stream.send_eof()
