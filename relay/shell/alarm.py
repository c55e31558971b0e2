"""Sleeps until the core's deadline. The core decides when; this only rings."""

from __future__ import annotations

from collections.abc import Callable

import trio

NEVER = float("inf")


class Alarm:
    """One call's alarm clock. `set` is synchronous and cheap when nothing changes."""

    def __init__(self) -> None:
        self._at = NEVER
        self._scope: trio.CancelScope | None = None
        self._stopped = False

    def set(self, at: float | None) -> None:
        """Ring at `at`, in trio's clock; None: not until it is set again."""
        at = NEVER if at is None else at
        if at == self._at:
            return
        self._at = at
        if self._scope is not None:
            self._scope.deadline = at

    def stop(self) -> None:
        """End `run`."""
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self, ring: Callable[[], None]) -> None:
        """Ring whenever the time has come, until stopped."""
        while not self._stopped:
            with trio.CancelScope(deadline=self._at) as self._scope:
                await trio.sleep_forever()
            if not self._stopped:
                self._at = NEVER  # so that the same time can be set anew
                ring()
