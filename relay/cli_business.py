"""`relay business`: the embedded business, served over HTTP.

For a relay on another machine (its BUSINESS_API_BASE), and to see what a system of one's own has to
answer: it keeps the contract of docs/business-api.md, and the relay's tests hold it to that. It
takes no call and needs none of the relay's other settings.
"""

from __future__ import annotations

import signal
from contextlib import AbstractAsyncContextManager
from typing import Final, Never

import click
import trio

from relay import config
from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.adapters.store import open_store, upgrade
from relay.config import BusinessSettings
from relay.door import Door, Head, open_listeners
from relay.errors import ConfigError, Misuse
from relay.logs import set_up_logs
from relay.plainly import told_plainly
from relay.ports import BusinessApi, Socket
from relay.web.business import BASE, create_business_app

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@click.command("business")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),  # beyond it the kernel would take another one
    default=8090,
    show_default=True,
    help="Port to listen on; 0: any free one.",
)
def business_command(host: str, port: int) -> None:
    """Serve BUSINESS_FILE over HTTP, until SIGTERM.

    Every request must bear BUSINESS_API_TOKEN; without one it listens on this machine only.
    """
    with told_plainly():
        settings = config.load(kind=BusinessSettings)
        if settings.business_api_token is None and host not in LOOPBACK:
            raise ConfigError(f"BUSINESS_API_TOKEN is missing: without it {host} is not served")
        set_up_logs(settings.log_level)
        trio.run(_serve, settings, host, port)


async def _serve(settings: BusinessSettings, host: str, port: int) -> None:
    database_url = settings.database_url.get_secret_value()
    file = load_business(settings.business_file)
    await trio.to_thread.run_sync(upgrade, database_url)
    store = open_store(database_url)
    token = settings.business_api_token
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, nursery.cancel_scope)
            address = await nursery.start(
                serve_business,
                LocalBusiness(file, store),
                token.get_secret_value() if token else "",
                host,
                port,
            )
            click.echo(f"BUSINESS_API_BASE={address}")
    finally:
        store.close()


async def serve_business(
    business: BusinessApi,
    token: str,
    host: str,
    port: int,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; started with its BUSINESS_API_BASE.

    Raises ConfigError when the address cannot be listened on.
    """
    try:
        listeners = await open_listeners(host, port)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}, port {port}: {why}") from None
    door = Door(create_business_app(business, token), _no_streams, _take_none)
    bound = listeners[0].socket.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    async with trio.open_nursery() as nursery:
        await nursery.start(door.serve, listeners)
        task_status.started(f"http://{shown}:{bound}{BASE}")


async def _no_streams(_head: Head) -> str | None:
    """Nobody may have a stream here: the door refuses it."""
    return None


async def _take_none(_call_sid: str, _opening: AbstractAsyncContextManager[Socket]) -> Never:
    raise Misuse("a stream was admitted that nobody takes")


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for _ in received:
            scope.cancel()
            return
