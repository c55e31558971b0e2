"""Which signals end a process, and how far each goes. What the end is, is in test_server.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay import stop
from relay.stop import Stop, obey_signals, obeyed


@pytest.fixture
def terminal() -> Iterator[None]:
    """SIGHUP as a shell leaves it, whatever the tests were started by."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def told(monkeypatch: pytest.MonkeyPatch, *numbers: signal.Signals) -> Stop:
    """What a process knows that was sent signals."""
    monkeypatch.setattr(stop, "end_process_after", lambda _: None)
    asked = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey_signals, asked, 1.0)
        await trio.testing.wait_all_tasks_blocked()
        for number in numbers:
            os.kill(os.getpid(), number)
            with trio.fail_after(30):
                await asked.drain.wait()
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return asked


@pytest.mark.parametrize(
    ("number", "in_a_hurry"),
    [
        (signal.SIGTERM, True),
        (signal.SIGINT, True),
        (signal.SIGHUP, True),
        (signal.SIGUSR1, False),
    ],
)
async def test_a_signal_lets_the_calls_end(
    terminal: None, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, in_a_hurry: bool
) -> None:
    asked = await told(monkeypatch, number)
    assert asked.hurry.is_set() is in_a_hurry
    assert not asked.now.is_set()


@pytest.mark.parametrize(
    ("number", "at_once"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGHUP, False)],
)
async def test_a_terminal_that_says_it_twice_means_it_once(
    terminal: None, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at_once: bool
) -> None:
    asked = await told(monkeypatch, number, number)
    assert asked.now.is_set() is at_once


def test_under_nohup_a_relay_outlives_its_terminal(terminal: None) -> None:
    assert signal.SIGHUP in obeyed()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in obeyed()
