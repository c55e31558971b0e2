"""Our own relay as one that can be loaded: `relay serve`, rung at as Twilio rings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

from bench._load_model import FILTER_MS
from bench._load_phone import Stream
from bench._load_ramp import Model, Relay, Running
from bench._load_stage import ring
from bench._relay_process import LOG, died_of, running_relay
from tests.adapters import postgres


@asynccontextmanager
async def _serving(
    model: Model, core: int | None, folder: Path, *, workers: int
) -> AsyncIterator[Running]:
    settings = {"OPENAI_REALTIME_URL": model.url}
    if model.ca is not None:
        settings["SSL_CERT_FILE"] = str(model.ca)
    options = ["--workers", str(workers)] if workers > 1 else []
    # Several processes share a database; one keeps its own in a file.
    with postgres.running() if workers > 1 else nullcontext() as home:
        if home is not None:
            settings["DATABASE_URL"] = postgres.url(home, "postgres")
            spool = folder / "spool"  # each worker makes a folder of its own in it
            spool.mkdir()
            settings["SPOOL_DIR"] = str(spool)
        async with running_relay(model.port, core, folder, settings, options, may_end=True) as (
            relay,
            local,
        ):

            async def streams(calls: int, first: int) -> list[Stream]:
                return await ring(local, calls, first)

            yield Running(relay.pid, streams, partial(died_of, relay, folder / LOG))


def ours(workers: int = 1) -> Relay:
    """`relay serve`; workers: its processes, which share the core or the cores they are given."""
    name = "relay" if workers == 1 else f"relay, {workers} workers"
    return Relay(name, partial(_serving, workers=workers), filter_ms=FILTER_MS)
