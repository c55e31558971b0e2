"""The process of the simulated Realtime model (`model_process`), as whoever starts it has it.

Nothing of the model is imported here: to read the API's types alone takes a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

START_S, STOP_S = 60.0, 5.0
COMPLAINT = "complaint"

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Model:
    """A running one. complaints: what its client did that no correct one does.

    voice_port: where the second voice listens
    """

    port: int
    voice_port: int
    complaints: list[str]


@asynccontextmanager
async def open_model(tell: Tell) -> AsyncIterator[Model]:
    """Start a model, pass on what it lets know, and end it. Raises trio.TooSlowError when it does
    not start."""
    async with trio.open_nursery() as nursery:
        run: Callable[..., Any] = partial(
            trio.run_process,
            [sys.executable, "-m", "relay.demo.model_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process: trio.Process = await nursery.start(run)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the model's pipes are missing")
        lines = _lines(process.stdout)
        with trio.fail_after(START_S):
            port, voice_port = map(int, (await anext(lines)).split())
        model = Model(port, voice_port, [])
        nursery.start_soon(_pass_on, lines, model, tell)
        yield model
        nursery.cancel_scope.deadline = trio.current_time() + STOP_S
        await process.stdin.aclose()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    held = b""
    async for piece in stream:
        held += piece
        *whole, held = held.split(b"\n")
        for line in whole:
            yield line.decode()


async def _pass_on(lines: AsyncIterator[str], model: Model, tell: Tell) -> None:
    async for line in lines:
        who, what = json.loads(line)
        if who == COMPLAINT:
            model.complaints.append(what)
        else:
            tell(who, what)
