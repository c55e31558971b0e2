"""Connections that have not yet said all that they have to, and how many of them there may be.

Whoever calls for us says it at once; a slow-loris does not. Beyond the bound the one that has been
here longest goes, and it gets no younger by saying a little. Nobody goes in the first moment: a
crowd of ours may be that large.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Waiting:
    """Those who are being waited for."""

    def __init__(self, most: int, patience_s: float) -> None:
        """most: so many at once; patience_s: how long each may wait whatever their number"""
        self._most = most
        self._patience_s = patience_s
        self._since: dict[trio.CancelScope, float] = {}

    @contextmanager
    def among(self, scope: trio.CancelScope, since: float) -> Iterator[None]:
        """Be one of them for the length of a block, which scope ends if it has to go.

        since: when its connection came, or began what it has not ended, by Trio's clock
        """
        self._since[scope] = since
        self._give_up_oldest()
        try:
            yield
        finally:
            self._since.pop(scope, None)

    def _give_up_oldest(self) -> None:
        if len(self._since) <= self._most:
            return
        oldest = min(self._since, key=self._since.__getitem__)
        if trio.current_time() - self._since[oldest] >= self._patience_s:
            del self._since[oldest]
            oldest.cancel()
