"""From an event to its first effect: virtual milliseconds, and microseconds of our own work.

Each case brings a call to the brink and feeds one event, or a voice frame by frame, until the
command comes. Virtual time is what passed on the call's clock between the two; work is the median
over many tries of the step that brought it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from relay.core import commands as do
from relay.core import events as on
from tests.core.driver import HUSH, LOUD, MS, Driver

TRIES = 60
FRAME_S = 0.02
MOST_FRAMES = 50
Brink = Callable[[Driver], on.Event]


def _start(_: Driver) -> on.Event:
    return on.PhoneStarted("MZ1", "CA1", parameters={"caller": "+15550001", "called": "+15559"})


def _voice(driver: Driver) -> on.Event:
    driver.greeted()
    driver.agent_says("a1", 8000)
    driver.wait(1.0)
    driver.feed(on.SpeechStarted("u1", 3000))
    return on.CallerAudio("AAAA", 20, LOUD)


def _commit(driver: Driver) -> on.Event:
    driver.greeted()
    driver.feed(on.SpeechStarted("u1", 1000))
    driver.hear(0.6)
    driver.hear(0.5, HUSH)
    driver.feed(on.SpeechStopped("u1", 2400))
    return on.InputCommitted("u1")


def _delta(driver: Driver) -> on.Event:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    return on.AgentAudio("r1", "a1", bytes(200 * MS), LOUD)


def _call(driver: Driver) -> on.Event:
    driver.greeted()
    driver.caller_says("u1")
    driver.feed(on.ResponseStarted("r1", "turn"))
    return on.FunctionCalled("r1", "i1", "c1", "lookup_hours", "{}")


def _result(driver: Driver) -> on.Event:
    driver.feed(_call(driver), on.ResponseEnded("r1", "completed"))
    return on.ToolFinished("c1", "{}")


CASES: tuple[tuple[str, Brink, str, type], ...] = (
    ("start", _start, "greeting on its way", do.SendAudio),
    ("voice begins, suspected", _voice, "clear", do.ClearPhone),
    ("caller's turn committed", _commit, "response asked for", do.CreateResponse),
    ("first delta of an answer", _delta, "first media", do.SendAudio),
    ("function called", _call, "tool started", do.RunTool),
    ("tool finished", _result, "output told", do.PostToolOutput),
)


def effects() -> list[dict[str, object]]:
    """One row a case: event, effect, virtual ms, own work in µs."""
    rows: list[dict[str, object]] = []
    for event, brink, effect, command in CASES:
        tries = [_one(brink, command) for _ in range(TRIES)]
        rows.append(
            {
                "event": event,
                "effect": effect,
                "virtual_ms": round(max(waited for waited, _ in tries) * 1000),
                "own_work_us": round(statistics.median(took for _, took in tries), 1),
            }
        )
    return rows


def _one(brink: Brink, effect: type) -> tuple[float, float]:
    """Feed the event, a frame again and again, until the effect. Virtual s, and µs of work."""
    driver = Driver()
    event = brink(driver)
    fed_at = driver.now
    for _ in range(MOST_FRAMES):
        begun = time.perf_counter_ns()
        commands = driver.call.handle(event, driver.now)
        took = (time.perf_counter_ns() - begun) / 1000
        if any(isinstance(command, effect) for command in commands):
            return driver.now - fed_at, took
        driver.wait(FRAME_S)
    raise AssertionError(f"{type(event).__name__}: no {effect.__name__} came of it")
