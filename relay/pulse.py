"""Does the event loop turn? A beat in the loop, and a thread that listens for it.

One task carries every call's audio, so whatever blocks it is heard by all callers at once:

    late by 50 ms for 2 s   strained: new calls are refused, the running ones need what there is
    silent for 1 s          the stacks of all threads are logged, once a stall
    silent for 5 s          the process ends with 70, and the platform starts it again

A platform's health check only takes a stuck process out of routing, it does not end it. The thread
needs no loop and no lock that a task could hold. A machine that stood still (a paused virtual
machine, SIGSTOP) is no stall of ours: then the thread itself was late, and the count begins anew.
What the thread cannot see is C code that keeps the interpreter's lock all the time.
"""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import structlog
import trio

BEAT_S: Final = 0.1
STRAIN_LAG_S: Final = 0.05
STRAIN_S: Final = 2.0
LOOK_S: Final = 0.25
DUMP_S: Final = 1.0
END_S: Final = 5.0
FROZEN_S: Final = 1.0  # this much later than LOOK_S, and it was the machine that stood still
EXIT_STALLED: Final = 70
MAX_DUMP_BYTES: Final = 32 * 1024

_log = structlog.get_logger("relay.pulse")


def _unheard(_lag_s: float) -> None:
    pass


class Pulse:
    """The loop's beat.

    beat_at: when the last one was, None while there is no loop to listen to
    strained: the loop has been late for a while
    observe: told by how many seconds each beat is late
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.beat_at: float | None = None
        self.strained = False
        self.observe: Callable[[float], None] = _unheard
        self._clock = clock
        self._contrary_since: float | None = None  # the first beat against what `strained` says

    async def run(self) -> None:
        """Beat for ever."""
        try:
            while True:
                due = trio.current_time() + BEAT_S
                self.beat_at = self._clock()
                await trio.sleep_until(due)
                self.note(max(0.0, trio.current_time() - due), trio.current_time())
        finally:
            self.beat_at = None

    def note(self, lag_s: float, now: float) -> None:
        """A beat came, so much too late."""
        self.observe(lag_s)
        if (lag_s > STRAIN_LAG_S) is self.strained:
            self._contrary_since = None
        elif self._contrary_since is None:
            self._contrary_since = now
        elif now - self._contrary_since >= STRAIN_S:
            self.strained, self._contrary_since = not self.strained, None
            _log.warning("! the loop is late" if self.strained else "= the loop is in time")


class Verdict(Enum):
    """What a look at the pulse says."""

    FINE = auto()
    DUMP = auto()
    END = auto()


class Watch:
    """Judges a pulse, look by look."""

    def __init__(self, pulse: Pulse, now: float) -> None:
        self._pulse = pulse
        self._looked_at = now
        self._counts_from = now
        self._dumped = False

    def look(self, now: float) -> Verdict:
        """Called every LOOK_S."""
        if now - self._looked_at > LOOK_S + FROZEN_S:
            self._counts_from = now
        self._looked_at = now
        beat_at = self._pulse.beat_at
        silent_s = 0.0 if beat_at is None else now - max(beat_at, self._counts_from)
        if silent_s >= END_S:
            return Verdict.END
        if silent_s < DUMP_S:
            self._dumped = False
            return Verdict.FINE
        if self._dumped:
            return Verdict.FINE
        self._dumped = True
        return Verdict.DUMP


def watch_over(pulse: Pulse, last_words: Callable[[], None] = lambda: None) -> None:
    """Start the thread. It lives as long as the process.

    last_words: lets the log out before the process ends; must not take long
    """
    thread = threading.Thread(target=_watch, args=(pulse, last_words), name="watchdog", daemon=True)
    thread.start()


def _watch(pulse: Pulse, last_words: Callable[[], None]) -> None:
    watch = Watch(pulse, time.monotonic())
    while True:
        time.sleep(LOOK_S)
        match watch.look(time.monotonic()):
            case Verdict.DUMP:
                _log.error("! the loop stands still", stacks=stacks())
            case Verdict.END:
                _log.critical("! the loop stands still, the process ends")
                last_words()
                os._exit(EXIT_STALLED)
            case Verdict.FINE:
                pass


def stacks() -> str:
    """Where every thread is, without the values of its variables."""
    # faulthandler wants a file. Writing to stderr itself could block, with the interpreter's lock.
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read(MAX_DUMP_BYTES).decode(errors="replace")
