"""A stage of its own in bench/latency.py: callers whom the model greets; and what the model saw."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from bench import _latency_machine as machine
from bench._relay_process import PUBLIC, START_S, running_relay

HERE: Final = Path(__file__).resolve().parent
LIVE: Final = {"GREETING": "live"}
STAGE_S: Final = 150.0


@dataclass(frozen=True, slots=True)
class Live:
    """Greetings by the model, ms each."""

    took: list[float]
    complaints: list[str]


async def live_greetings(model: machine.Lines, port: int, cores: machine.Cores, count: int) -> Live:
    """Callers who ring one after another at a relay that has the model greet, and hang up."""
    with tempfile.TemporaryDirectory() as name:
        async with running_relay(port, cores.relay, Path(name), LIVE) as (_, local):
            arguments = [str(HERE / "_latency_phones.py"), PUBLIC, local, "0", "0", str(count + 1)]
            phones = await machine.begin(arguments, cores.others)
            try:
                seen = await machine.Lines(phones, "the simulated phones").next(STAGE_S)
            finally:
                await machine.end(phones)
            sessions = await sessions_of(model, count + 1)
    greeted = [call for call in seen["calls"][1:] if call["media"]]  # the first finds it cold
    took = [1000 * (call["media"][0][0] - call["started"]) for call in greeted]
    told = [text for call in seen["calls"] for text in (*call["complaints"], *call["missing"])]
    return Live(took, told + [text for session in sessions for text in session["faults"]])


async def sessions_of(model: machine.Lines, count: int) -> list[dict[str, Any]]:
    """What the model saw of these calls, once the last of its sessions is over."""
    sessions: list[dict[str, Any]] = []
    with trio.move_on_after(START_S):
        while len(sessions) < count:
            await trio.sleep(0.2)
            sessions += await model.ask(START_S)
    return sessions
