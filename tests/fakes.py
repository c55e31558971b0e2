"""A store in memory, that can also be away, slow or hung; and bookings in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from relay.core.records import CallEnded, CallOpened, DispositionChosen
from relay.errors import StoreError
from relay.ports import (
    Appointment,
    Booked,
    BookingRequest,
    CallRow,
    ChangeRequest,
    Entry,
    Message,
)

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


class MemoryBookings:
    """A ports.Bookings without a database.

    requests: what was booked, by key; standing: what of it still stands, as it stands now
    filled: who has a slot; messages: what was left, by key
    """

    def __init__(self) -> None:
        self.requests: dict[str, BookingRequest] = {}
        self.standing: dict[str, BookingRequest] = {}
        self.filled: dict[datetime, str] = {}
        self.messages: dict[str, Message] = {}
        self._answers: dict[str, Appointment] = {}

    def find(self, key: str) -> Appointment | None:
        before = self._answers.get(key)
        return before and replace(before, repeated=True)

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        if key not in self._answers:
            wanted = slots or (request.starts_at,)
            if any(slot in self.filled for slot in wanted):
                return None
            self.requests[key] = self.standing[key] = request
            self.filled |= dict.fromkeys(wanted, key)
            self._answers[key] = self._appointment(key)
        answer = self._answers[key]
        return Booked(answer.reference, answer.service, answer.starts_at)

    def change(
        self, request: ChangeRequest, key: str, at: datetime, slots: Sequence[datetime]
    ) -> Appointment | None:
        if key in self._answers:
            return self.find(key)
        mine = self._theirs(request.reference, request.phone)
        if mine is None or any(self.filled.get(slot, mine) != mine for slot in slots):
            return None
        self._free(mine)
        self.filled |= dict.fromkeys(slots, mine)
        self.standing[mine] = replace(self.standing[mine], starts_at=request.starts_at)
        self._answers[key] = self._appointment(mine)
        return self._answers[key]

    def cancel(self, reference: str, phone: str, key: str, at: datetime) -> Appointment | None:
        if key in self._answers:
            return self.find(key)
        mine = self._theirs(reference, phone)
        if mine is None:
            return None
        self._free(mine)
        self._answers[key] = self._appointment(mine)
        del self.standing[mine]
        return self._answers[key]

    def of_phone(self, phone: str, after: datetime) -> Sequence[Appointment]:
        found = [
            self._appointment(key) for key, each in self.standing.items() if each.phone == phone
        ]
        return sorted((a for a in found if a.starts_at > after), key=lambda each: each.starts_at)

    def taken(self, day: date) -> Sequence[datetime]:
        return sorted(slot for slot in self.filled if slot.date() == day)

    def leave(self, message: Message, key: str, at: datetime) -> None:
        self.messages.setdefault(key, message)

    def _theirs(self, reference: str, phone: str) -> str | None:
        for key, each in self.standing.items():
            if each.phone == phone and self._appointment(key).reference == reference:
                return key
        return None

    def _free(self, key: str) -> None:
        self.filled = {slot: owner for slot, owner in self.filled.items() if owner != key}

    def _appointment(self, key: str) -> Appointment:
        reference, each = str(list(self.requests).index(key) + 100_001), self.standing[key]
        return Appointment(reference, each.service, each.starts_at, each.name)
