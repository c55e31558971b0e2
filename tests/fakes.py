"""A store in memory, that can also be away, slow or hung."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from relay.core.records import CallEnded, CallOpened, DispositionChosen
from relay.errors import StoreError
from relay.ports import CallRow, Entry

SOME_TIME = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass
class FakeStore:
    """A ports.CallStore. away: every question fails; hung: every question waits for release."""

    away: bool = False
    hung: bool = False
    rows: dict[str, CallRow] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def _asked(self) -> None:
        if self.away:
            raise StoreError("the database is away")
        if self.hung:
            self.release.wait(10)

    def write(self, entries: Sequence[Entry]) -> None:
        self._asked()
        for entry in entries:
            self.entries.append(entry)
            match entry.record:
                case CallOpened(_, _, caller, called):
                    self.change(entry.call_sid, caller=caller, called=called)
                case DispositionChosen(_, disposition):
                    self.change(entry.call_sid, disposition=disposition)
                case CallEnded(_, outcome, reason):
                    self.change(entry.call_sid, outcome=outcome, reason=reason)

    def call(self, call_sid: str) -> CallRow | None:
        self._asked()
        return self.rows.get(call_sid)

    def set_outcome(self, call_sid: str, at: datetime, outcome: str, reason: str) -> None:
        self._asked()
        self.change(call_sid, outcome=outcome, reason=reason)

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        self._asked()
        if nonce in self.nonces:
            return False
        self.nonces.add(nonce)
        return True

    def change(self, call_sid: str, **changes: str) -> None:
        row = self.rows.get(call_sid) or CallRow(call_sid, SOME_TIME, "", "", None, None, None)
        names = ("caller", "called", "disposition", "outcome", "reason")
        kept = {name: changes.get(name, getattr(row, name)) for name in names}
        self.rows[call_sid] = CallRow(call_sid, row.started_at, **kept)
