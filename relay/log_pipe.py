"""Log lines on their way out of the process, in a thread of their own.

Whoever reads our stdout may stop reading. A pipe that is full would then stop the first task that
logs, and with it every call. So a line is only queued; the thread writes; when the queue is full
the newest line is dropped and counted, and once lines go out again the log says how many are
missing. What is logged within GATHER_S goes out in one piece: each time that the thread wakes, it
takes the interpreter from the calls.

The thread writes to the file descriptor itself: a thread that hangs in a buffered stream would
hold its lock, and the interpreter could not end.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from collections import deque
from typing import Final

import structlog

MAX_LINES: Final = 4096  # a few hundred bytes each
MAX_LINE_BYTES: Final = 64 * 1024  # a traceback has a few thousand
CLOSE_S: Final = 1.0
GATHER_S: Final = 0.02  # nobody reads faster

_log = structlog.get_logger("relay.logs")


class LogPipe:
    """A text stream for a logging handler: `write` never blocks."""

    def __init__(self, fd: int, *, max_lines: int = MAX_LINES) -> None:
        self.dropped = 0
        self._fd = fd
        self._max_lines = max_lines
        self._told = 0
        self._untold = False
        self._counting = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._asleep = True
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue a line, or count it as dropped."""
        line = text.encode("utf-8", "backslashreplace")[:MAX_LINE_BYTES]
        if len(self._lines) < self._max_lines:
            self._lines.append(line)
            if self._asleep:
                self._asleep = False
                self._bell.put(None)
        elif threading.current_thread() is self._thread:
            self._untold = True  # what it says of the missing lines is said again
        else:
            self._drop(1)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: what is queued goes out by itself."""

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Let out what is queued, for so long at most."""
        self._closing.set()
        self._bell.put(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        while self._lines or not self._closing.is_set():
            self._asleep = True  # before the look at the lines: who adds one later rings
            if not self._lines:
                self._bell.get()
            self._asleep = False
            self._closing.wait(GATHER_S)
            while self._lines:
                written = self._written(self._gathered())
                # Told only once lines went out, and there is room for the telling.
                if written and not self._lines and (told := self.dropped) > self._told:
                    self._untold = False
                    _log.warning("! log lines were dropped", lines=told - self._told)
                    self._told = self._told if self._untold else told

    def _gathered(self) -> bytes:
        lines, size = [], 0
        while self._lines and size < MAX_LINE_BYTES:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def _drop(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines

    def _written(self, lines: bytes) -> bool:
        """Wait until lines are written. False: some are dropped, as nobody will ever read them."""
        try:
            while lines:
                try:
                    lines = lines[os.write(self._fd, lines) :]
                except BlockingIOError:
                    select.select([], [self._fd], [])
        except OSError:
            self._drop(max(1, lines.count(b"\n")))
            return False
        return True
