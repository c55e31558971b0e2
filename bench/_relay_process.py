"""The real `relay serve`, a process of its own whose settings owe nothing to this machine."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import trio

from bench import _latency_machine as machine
from bench._latency_phones import ACCOUNT_SID, AUTH_TOKEN, OWN_NUMBER

HERE: Final = Path(__file__).resolve().parent
PUBLIC: Final = "https://relay.example.com"
START_S: Final = 60.0
LOG: Final = "relay.log"  # in its folder


def environment(
    port: int, model_port: int, folder: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    """The settings that are needed, and nothing of the environment that we happen to be in."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(HERE.parent),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": PUBLIC,
        "DATABASE_URL": f"sqlite:///{folder / 'relay.db'}",
        "PROMPTS_DIR": str(HERE.parent / "prompts"),
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": OWN_NUMBER,
        "HUMAN_TRANSFER_NUMBER": "+15125550199",
        "OPENAI_API_KEY": "benchmark",
        "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{model_port}/v1/realtime",
        "MAX_CALLS_PER_NUMBER_HOUR": "0",  # a simulated caller calls again and again
        "CLIPS": "packaged",  # else the clip studio would have the model speak them meanwhile
        **settings,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_relay(
    model_port: int,
    core: int | None,
    folder: Path,
    settings: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    *,
    may_end: bool = False,
) -> AsyncIterator[tuple[trio.Process, str]]:
    """`relay serve`, once it is ready, and its address; what it logged is shown if it is not.

    settings: other values, or more of them; options: of the command line
    may_end: it is no fault of the run when it ends by itself, as an overloaded one does
    Raises SystemExit with the last of its log when it did not start, or ended by itself.
    """
    port = free_port()
    local, log_file = f"http://127.0.0.1:{port}", folder / LOG
    with log_file.open("wb") as log:
        relay = await machine.begin(
            ["-m", "relay", "serve", *options],
            core,
            environ=environment(port, model_port, folder, settings or {}),
            cwd=folder,
            log=log,
        )
        try:
            await until_ready(relay, local, log_file)
            try:
                yield relay, local
            finally:
                died = died_of(relay, log_file)
                if died and not may_end:  # whatever else went wrong did so for that reason
                    raise SystemExit(f"the relay {died}")
        finally:
            relay.terminate()
            await machine.end(relay)


async def until_ready(relay: trio.Process, local: str, log_file: Path) -> None:
    """Wait for /readyz. Raises SystemExit with the last of its log when it stays away."""
    with trio.move_on_after(START_S):
        async with httpx.AsyncClient(trust_env=False) as client:
            while relay.returncode is None:
                try:
                    if (await client.get(f"{local}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await trio.sleep(0.1)
    raise SystemExit(f"the relay did not start:\n{_last_words(log_file)}")


def died_of(relay: trio.Process, log_file: Path) -> str:
    """What a relay that ended by itself ended with; empty: it runs."""
    if relay.returncode is None:
        return ""
    return f"ended by itself, with status {relay.returncode}:\n{_last_words(log_file)}"


def _last_words(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-2000:]


def pseudonym(caller: str) -> str:
    """What the relay calls a caller at the model: an HMAC that its settings determine."""
    return hmac.digest(AUTH_TOKEN.encode(), b"caller " + caller.encode(), hashlib.sha256).hex()
