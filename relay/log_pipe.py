"""Log lines on their way out of the process, in a thread of their own.

Whoever reads our stdout may stop reading. A pipe that is full would then stop the first task that
logs, and with it every call. So a line is only queued; the thread writes; when the queue is full
the newest line is dropped and counted, and once lines go out again the log says how many are
missing.

The thread writes to the file descriptor itself: a thread that hangs in a buffered stream would
hold its lock, and the interpreter could not end.
"""

from __future__ import annotations

import os
import queue
import select
import threading
from typing import Final

import structlog

MAX_LINES: Final = 4096  # a few hundred bytes each
MAX_LINE_BYTES: Final = 64 * 1024  # a traceback has a few thousand
CLOSE_S: Final = 1.0

_log = structlog.get_logger("relay.logs")


class LogPipe:
    """A text stream for a logging handler: `write` never blocks."""

    def __init__(self, fd: int, *, max_lines: int = MAX_LINES) -> None:
        self.dropped = 0
        self._fd = fd
        self._told = 0
        self._untold = False
        self._counting = threading.Lock()
        self._lines: queue.Queue[bytes | None] = queue.Queue(max_lines)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue a line, or count it as dropped."""
        line = text.encode("utf-8", "backslashreplace")[:MAX_LINE_BYTES]
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            if threading.current_thread() is self._thread:
                self._untold = True  # what it says of the missing lines is said again
            else:
                self._drop()
        return len(text)

    def flush(self) -> None:
        """Nothing to do: what is queued goes out by itself."""

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Let out what is queued, for so long at most."""
        try:
            self._lines.put(None, timeout=within_s)
        except queue.Full:
            return
        self._thread.join(within_s)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            # Told only once a line went out, and there is room for the telling.
            if self._written(line) and self._lines.empty() and (told := self.dropped) > self._told:
                self._untold = False
                _log.warning("! log lines were dropped", lines=told - self._told)
                self._told = self._told if self._untold else told

    def _drop(self) -> None:
        with self._counting:
            self.dropped += 1

    def _written(self, line: bytes) -> bool:
        """Wait until a line is written. False: it is dropped, as nobody will ever read it."""
        try:
            while line:
                try:
                    line = line[os.write(self._fd, line) :]
                except BlockingIOError:
                    select.select([], [self._fd], [])
        except OSError:
            self._drop()
            return False
        return True
