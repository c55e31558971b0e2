"""The seam to the metrics: what a call tells whoever counts. relay/metrics.py does."""

from __future__ import annotations

from typing import Final, Protocol

from relay.core.call import Statistics
from relay.core.records import Record


class Meter(Protocol):
    """Who counts what calls leave behind. Synchronous and quick; never told of single frames."""

    def kept(self, record: Record) -> None:
        """A record went to the journal."""
        ...

    def noted(self, kind: str, detail: str) -> None:
        """The core noted something. detail may quote a peer."""
        ...

    def over(self, seen: Statistics) -> None:
        """A call is over."""
        ...


class _Uncounted:
    """A meter that counts nothing."""

    def kept(self, record: Record) -> None:
        pass

    def noted(self, kind: str, detail: str) -> None:
        pass

    def over(self, seen: Statistics) -> None:
        pass


UNCOUNTED: Final = _Uncounted()
