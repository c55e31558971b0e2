"""Where the records of calls go. Every method blocks: call them from worker threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relay.core.records import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, stamped. at is UTC with a time zone."""

    call_sid: str
    at: datetime
    record: Record


@dataclass(frozen=True, slots=True)
class CallRow:
    """What the store knows of a call, for `after-stream` and for people."""

    call_sid: str
    started_at: datetime
    caller: str
    called: str
    disposition: str | None
    outcome: str | None
    reason: str | None


class CallStore(Protocol):
    """Durable records. Every method blocks and may raise StoreError."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Upsert all entries in one transaction. Writing an entry twice changes nothing."""
        ...

    def call(self, call_sid: str) -> CallRow | None: ...

    def lines(self, call_sid: str) -> Sequence[tuple[str, str]]:
        """Speaker (caller | agent) and heard text of a call's transcript, in its order."""
        ...

    def set_outcome(self, call_sid: str, at: datetime, outcome: str, reason: str) -> None:
        """What became of a call after its stream ended (a transfer answered, or not)."""
        ...

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a stream's token: True the first time, False ever after, on any process."""
        ...
