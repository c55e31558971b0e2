"""How a process is told to end, and how long each step of its end may take.

What the steps are, says server.py. The parent of several workers needs this and nothing of a
server, so nothing of one is imported here.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

import structlog
import trio

MOVE_S: Final = 10.0  # a turn has 4 s to end, "one moment" is said, the rows are written
CUT_OFF_S: Final = 4.0  # closing takes a deaf peer 2 s, then the last webhooks
FLUSH_S: Final = 5.0
LAST_RESORT_S: Final = 2.0  # beyond all that; DRAIN_S and these are 291 s, Fly allows 300
EXIT_STUCK: Final = 70

_log = structlog.get_logger("relay.stop")


class Stop:
    """How a server is told to end: asked once it drains, asked again it ends at once.

    drain: no new calls; hurry: the running ones have DRAIN_S; now: nobody is waited for
    """

    def __init__(self) -> None:
        self.drain = trio.Event()
        self.hurry = trio.Event()
        self.now = trio.Event()

    def ask(self) -> None:
        """Take one step further towards the end."""
        (self.now if self.hurry.is_set() else self.hurry).set()
        self.drain.set()

    def ask_patiently(self) -> None:
        """End when the last call has ended by itself, however long that takes."""
        self.drain.set()


def obeyed() -> tuple[signal.Signals, ...]:
    """The signals that end a relay. One that ignores SIGHUP, as under nohup, still does."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    terminal = (signal.SIGHUP,) if hangs_up else ()
    return (signal.SIGTERM, signal.SIGINT, *terminal, signal.SIGUSR1)


async def obey_signals(stop: Stop, drain_s: float) -> None:
    """All but SIGUSR1 ask the server to stop, and arm the last resort. SIGUSR1 only drains.

    A terminal that is closed may say SIGHUP twice, by its shell and by the kernel: once is meant.
    """
    left_s = end_s(drain_s)
    with trio.open_signal_receiver(*obeyed()) as received:
        async for number in received:
            _log.info("< signal", signal=signal.Signals(number).name)
            if number == signal.SIGUSR1:
                stop.ask_patiently()
                continue
            if number == signal.SIGHUP and stop.hurry.is_set():
                continue
            end_process_after(left_s)
            left_s = FLUSH_S + LAST_RESORT_S
            stop.ask()


def end_s(drain_s: float) -> float:
    """How long after SIGTERM the process is gone, whatever its peers do."""
    return drain_s + MOVE_S + CUT_OFF_S + FLUSH_S + LAST_RESORT_S


def end_process_after(seconds: float) -> None:
    """End the process then, unless it has ended by itself: a last resort that needs no loop."""
    timer = threading.Timer(seconds, os._exit, args=(EXIT_STUCK,))
    timer.daemon = True
    timer.start()
