"""How late the machine is, while something passes in real time that cannot be asked for less.

A thread that wants next to nothing tells: it sleeps, and works a little, and whatever either takes
beyond that was given to others.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

SLEEP_S: Final = 0.05
WORK_S: Final = 0.001
STALL_S: Final = 0.25  # one wait as long as this is heard in a call
CROWDED: Final = 2.0  # work that takes this many times its own time, over a whole test


class Lateness:
    """worst_s: of what was more than asked for; crowded: by how much its work was drawn out."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._took_s = self._worked_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness", daemon=True)

    @property
    def crowded(self) -> float:
        return self._took_s / self._worked_s if self._worked_s else 1.0

    @property
    def late(self) -> bool:
        return self.worst_s >= STALL_S or self.crowded >= CROWDED

    def __str__(self) -> str:
        worst_ms = 1000 * self.worst_s
        return f"{worst_ms:.0f} ms late at worst, and work took {self.crowded:.1f} times its time"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(SLEEP_S):
            worked = time.thread_time()
            woken = time.monotonic()
            while time.thread_time() - worked < WORK_S:
                pass
            ended = time.monotonic()
            self._took_s += ended - woken
            self._worked_s += time.thread_time() - worked
            self.worst_s = max(self.worst_s, ended - began - SLEEP_S - WORK_S)
            began = time.monotonic()
