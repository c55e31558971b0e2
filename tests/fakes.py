"""A store, bookings and a disk in memory, which can also be away, full, slow or hung; telephones
that a test answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import trio

from relay.core.records import (
    CallEnded,
    CallOpened,
    ConsentNoted,
    DispositionChosen,
    OwnerNotice,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
)
from relay.errors import PhoneControlError, StoreError
from relay.ports import (
    Appointment,
    Attempt,
    Booked,
    BookingRequest,
    CallPast,
    CallRow,
    ChangeRequest,
    Consented,
    Entry,
    Leg,
    Message,
    OpenCall,
    OutcomeSettled,
    RecordingNoted,
    Standing,
    UnwantedRecording,
    WriteBegun,
    WriteEnded,
    WriteRow,
)
from relay.ports.humans import BEFORE
from relay.ports.returns import WHYS, return_nonce
from relay.shell.disk import Disk
from relay.shell.humans import Humans
from relay.shell.spool import Spool, open_spool

SOME_TIME = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass
class FakePhone:
    """A ports.PhoneControl: telephones that ring until the test says what becomes of them.

    refuse: raised by place; place_s: how long it takes
    """

    refuse: PhoneControlError | None = None
    place_s: float = 0.5
    legs: list[Leg] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    redirected: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    statuses: dict[str, str] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    deaf: PhoneControlError | None = None  # raised by status
    texts: list[tuple[str, str]] = field(default_factory=list)

    async def place(self, leg: Leg) -> str:
        self.legs.append(leg)
        await trio.sleep(self.place_s)
        if self.refuse is not None:
            raise self.refuse
        return f"CAleg{len(self.legs)}"

    async def hang_up(self, call_sid: str) -> None:
        await trio.lowlevel.checkpoint()
        self.ended.append(call_sid)

    async def status(self, call_sid: str) -> str:
        await trio.lowlevel.checkpoint()
        self.looked.append(call_sid)
        if self.deaf is not None:
            raise self.deaf
        if call_sid not in self.statuses:
            raise PhoneControlError("20404", gone=True)
        return self.statuses[call_sid]

    async def redirect(self, call_sid: str, twiml: str) -> None:
        await trio.lowlevel.checkpoint()
        if call_sid in self.gone:
            raise PhoneControlError("21220", gone=True)
        self.redirected[call_sid] = twiml

    async def text(self, to: str, body: str) -> str:
        await trio.lowlevel.checkpoint()
        self.texts.append((to, body))
        return f"SM{len(self.texts)}"

    async def start_recording(self, call_sid: str, status_url: str) -> str:
        raise PhoneControlError("nothing is recorded here")

    async def pause_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def resume_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def stop_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def delete_recording(self, recording_sid: str) -> None:
        await trio.lowlevel.checkpoint()
        if recording_sid in self.gone:
            raise PhoneControlError("503")
        self.ended.append(recording_sid)

    @property
    def attempt(self) -> str:
        """The name of the newest attempt, as the webhooks are told it."""
        return self.legs[-1].screen_url.rpartition("/")[2]


async def ask_inline(question: Callable[[], Any], _within_s: float) -> Any:
    """A question to the store without a thread, which a jumping clock does not wait for."""
    await trio.lowlevel.checkpoint()
    return question()


def make_humans(phone: FakePhone, store: FakeStore, **more: Any) -> Humans:
    """Humans with two numbers, alone on their database unless look_s says otherwise."""
    settings: dict[str, Any] = {
        "numbers": {"": "+15550000001", "billing": "+15550000002"},
        "url": lambda path: f"https://relay.example.com/twilio/{path}",
        "secret": "a secret",
        "ask": ask_inline,
        "look_s": None,
        **more,
    }
    return Humans(phone, store, **settings)


@dataclass
class FakeStore:
    """A ports.CallStore, AttemptStore and WriteStore.

    away: every question fails; hung: every question waits for release
    """

    away: bool = False
    hung: bool = False
    rows: dict[str, CallRow] = field(default_factory=dict)
    nonces: dict[str, datetime] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    open: dict[str, OpenCall] = field(default_factory=dict)
    writes: dict[str, WriteRow] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    release: threading.Event = field(default_factory=threading.Event)

    def _asked(self) -> None:
        if self.away:
            raise StoreError("the database is away")
        if self.hung:
            self.release.wait(10)

    def write(self, entries: Sequence[Entry]) -> None:
        self._asked()
        for entry in entries:
            self._take(entry)
            match entry.record:
                case CallOpened(_, _, caller, called):
                    self.change(entry.call_sid, caller=caller, called=called)
                case DispositionChosen(_, disposition):
                    self.change(entry.call_sid, disposition=disposition)
                case CallEnded(_, outcome, reason):
                    self.change(entry.call_sid, outcome=outcome, reason=reason)
                case OutcomeSettled(outcome, reason, guess):
                    row = self.rows.get(entry.call_sid)
                    if not (guess and row and row.outcome):
                        self.change(entry.call_sid, outcome=outcome, reason=reason)
                case WriteBegun() as begun:
                    self._begin(entry.call_sid, entry.at, begun)
                case WriteEnded(key, status, output, outcome):
                    nobody_s = WriteRow(key, entry.call_sid, *[""] * 4, entry.at, None, "", "")
                    row = self.writes.get(key, nobody_s)
                    if row.status != "done":
                        ended = replace(row, status=status, output=output, outcome=outcome)
                        self.writes[key] = ended

    def _take(self, entry: Entry) -> None:
        """Keep what may be kept: of a call that refused, none of its words."""
        match entry.record:
            case ConsentNoted(answer="declined"):
                self.refused.add(entry.call_sid)
                self.entries = [
                    each
                    for each in self.entries
                    if each.call_sid != entry.call_sid
                    or not isinstance(each.record, TranscriptLine)
                ]
            case TranscriptLine() if entry.call_sid in self.refused:
                return
        self.entries.append(entry)

    def unwanted_recordings(self) -> list[UnwantedRecording]:
        return []

    def consented(self, call_sid: str) -> Consented:
        self._asked()
        rows = [e.record for e in self.entries if e.call_sid == call_sid]
        answers = [row.answer for row in rows if isinstance(row, ConsentNoted)]
        states = {r.recording_sid: r.state for r in rows if isinstance(r, RecordingNoted)}
        running = [sid for sid, state in states.items() if state == "in-progress"]
        answer = "declined" if "declined" in answers else "".join(answers[-1:])
        return Consented(answer, "".join(running[:1]))

    def call(self, call_sid: str) -> CallRow | None:
        self._asked()
        return self.rows.get(call_sid)

    def standing(self, call_sid: str) -> Standing | None:
        """From the entries; from `rows` for what a test has put there by itself."""
        self._asked()
        if call_sid not in self.rows:
            return None
        mine = [e for e in self.entries if e.call_sid == call_sid]
        chosen = [e for e in mine if isinstance(e.record, DispositionChosen)]
        names = {return_nonce(why, call_sid, number): why for why in WHYS for number in range(1, 9)}
        return Standing(
            any(isinstance(e.record, CallOpened) and e.record.stream_sid for e in mine),
            chosen[-1].record.disposition if chosen else self.rows[call_sid].disposition,
            chosen[-1].at if chosen else None,
            tuple((names[nonce], at) for nonce, at in self.nonces.items() if nonce in names),
            chosen[-1].record.returns if chosen else None,
        )

    def claimed(self, nonce: str) -> bool:
        self._asked()
        return nonce in self.nonces

    def came_back(self, call_sid: str) -> int:
        names = {return_nonce(why, call_sid, number) for why in WHYS for number in range(1, 9)}
        return len(names & self.nonces.keys())

    def past(self, call_sid: str) -> CallPast | None:
        self._asked()
        mine = [e for e in self.entries if e.call_sid == call_sid]
        if not mine:
            return None
        latest = {e.record.item_id: e.record for e in mine if isinstance(e.record, TranscriptLine)}
        called = {e.record.call_id: e.record for e in mine if isinstance(e.record, ToolCalled)}
        lines = sorted(latest.values(), key=lambda row: row.position)
        costs = {r.record.ref: r.record.micro_usd for r in mine if isinstance(r.record, SpendAdded)}
        return CallPast(
            min(e.at for e in mine),
            tuple((row.speaker, row.heard_text) for row in lines),
            sum(row.speaker == "agent" and "clip_" not in row.item_id for row in lines),
            tuple((row.name, row.arguments, row.status, row.output) for row in called.values()),
            tuple(row.outcome for row in self.writes.values() if row.outcome),
            tuple(e.record.text for e in mine if isinstance(e.record, OwnerNotice)),
            sum(costs.values()),
            frozenset(
                r.record.model
                for r in mine
                if isinstance(r.record, SpendAdded) and r.record.kind == "response"
            ),
            self.came_back(call_sid),
            next(
                (g for e in mine if (g := getattr(e.record, "greeting_ms", None)) is not None), None
            ),
        )

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        self._asked()
        if nonce in self.nonces:
            return False
        self.nonces[nonce] = at
        return True

    def open_attempt(self, attempt: Attempt) -> None:
        self._asked()
        self.attempts.setdefault(attempt.attempt, attempt)

    def attempt(self, attempt: str) -> Attempt | None:
        self._asked()
        return self.attempts.get(attempt)

    def attempt_of(self, call_sid: str) -> Attempt | None:
        self._asked()
        of_call = [each for each in self.attempts.values() if each.call_sid == call_sid]
        return of_call[-1] if of_call else None

    def move_attempt(self, attempt: str, state: str, at: datetime, reason: str = "") -> bool:
        self._asked()
        row = self.attempts.get(attempt)
        if row is None or row.state not in BEFORE[state]:
            return False
        self.attempts[attempt] = replace(row, state=state, changed_at=at, reason=reason)
        return True

    def note_attempt(self, attempt: str, *, leg_sid: str = "", summary: str = "") -> None:
        self._asked()
        row = self.attempts[attempt]
        self.attempts[attempt] = replace(
            row, leg_sid=leg_sid or row.leg_sid, summary=summary or row.summary
        )

    def open_calls(self, since: datetime, before: datetime, limit: int) -> list[OpenCall]:
        self._asked()
        calls = [*self.open.values(), *self._without_outcome()]
        found = [each for each in calls if since <= each.started_at <= before]
        return sorted(found, key=lambda each: each.started_at)[:limit]

    def _without_outcome(self) -> list[OpenCall]:
        opened: dict[str, OpenCall] = {}
        for each in self.entries:
            if isinstance(each.record, CallOpened) and not self.rows[each.call_sid].outcome:
                known = opened.get(each.call_sid) or OpenCall(each.call_sid, each.at, False)
                had = known.had_stream or each.record.stream_sid != ""
                opened[each.call_sid] = replace(known, had_stream=had)
        return list(opened.values())

    def open_legs(self, since: datetime, before: datetime, limit: int) -> list[Attempt]:
        self._asked()
        rows = [each for each in self.attempts.values() if each.state in BEFORE["lost"]]
        return [each for each in rows if since <= each.changed_at < before][:limit]

    def change(self, call_sid: str, **changes: str) -> None:
        row = self.rows.get(call_sid) or CallRow(call_sid, SOME_TIME, "", "", None, None, None)
        names = ("caller", "called", "disposition", "outcome", "reason")
        kept = {name: changes.get(name, getattr(row, name)) for name in names}
        self.rows[call_sid] = CallRow(call_sid, row.started_at, **kept)

    # ---- writes

    def begin_write(self, entry: Entry) -> WriteRow:
        self.write([entry])
        return self.writes[entry.record.key]

    def unfinished_writes(self, begun_before: datetime) -> Sequence[WriteRow]:
        self._asked()
        return [
            row
            for row in self.writes.values()
            if row.status is None and row.begun_at < begun_before
        ]

    def _begin(self, call_sid: str, at: datetime, begun: WriteBegun) -> None:
        row = self.writes.get(begun.key)
        if row is None:
            wish = (begun.caller, begun.tool, begun.arguments, begun.call_id)
            self.writes[begun.key] = WriteRow(begun.key, call_sid, *wish, at, None, "", "")
        elif row.status != "done" and at >= row.begun_at:
            self.writes[begun.key] = replace(row, begun_at=at, status=None)


@dataclass
class MemoryDisk(Disk):
    """A shell.disk.Disk without a disk. fail: told each step's name, may raise OSError."""

    files: dict[Path, bytearray] = field(default_factory=dict)
    fail: Callable[[str], None] = lambda step: None
    open_files: dict[int, Path] = field(default_factory=dict)
    synced: list[Path] = field(default_factory=list)
    created: int = 0

    def make_folder(self, path: Path) -> None:
        self.fail("make_folder")

    def names(self, folder: Path) -> Sequence[str]:
        self.fail("names")
        return [path.name for path in self.files]

    def lock(self, path: Path) -> int:
        self.fail("lock")
        return -1

    def create(self, path: Path) -> int:
        self.fail("create")
        if path in self.files:
            raise FileExistsError(path)
        self.files[path] = bytearray()
        self.created += 1  # no descriptor is ever given twice
        self.open_files[self.created] = path
        return self.created

    def write(self, fd: int, data: bytes) -> None:
        """A write that fails leaves half of it behind, as a full disk does."""
        file = self.files[self.open_files[fd]]
        try:
            self.fail("write")
        except OSError:
            file += data[: len(data) // 2]
            raise
        file += data

    def sync(self, fd: int) -> None:
        self.fail("sync")
        self.synced.append(self.open_files[fd])

    def close(self, fd: int) -> None:
        self.fail("close")
        self.open_files.pop(fd, None)

    def sync_folder(self, folder: Path) -> None:
        self.fail("sync_folder")

    def size(self, path: Path) -> int:
        self.fail("size")
        return len(self.files[path])

    def read(self, path: Path, start: int, length: int) -> bytes:
        self.fail("read")
        return bytes(self.files[path][start : start + length])

    def truncate(self, path: Path, size: int) -> None:
        self.fail("truncate")
        del self.files[path][size:]

    def rename(self, old: Path, new: Path) -> None:
        self.fail("rename")
        self.files[new] = self.files.pop(old)

    def remove(self, path: Path) -> None:
        self.fail("remove")
        if path not in self.files:
            raise FileNotFoundError(path)
        del self.files[path]


def memory_spool(disk: MemoryDisk | None = None) -> Spool:
    """An open spool that leaves nothing behind."""
    return open_spool(Path("spool"), disk or MemoryDisk())


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
