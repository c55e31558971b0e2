"""Where the records of calls go. Every method blocks: call them from worker threads.

Beside what the core leaves behind there are three records that the shell makes: what became of a
call after its stream, and the two ends of a write that shall happen once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol, TypeAlias

from relay.core.records import Record

WriteStatus: TypeAlias = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class OutcomeSettled:
    """Key: the call. What became of it after its stream ended (a transfer answered, or not).

    guess: stands only as long as nothing else is known
    """

    outcome: str
    reason: str = ""
    guess: bool = False


@dataclass(frozen=True, slots=True)
class WriteBegun:
    """Key: key. A function is about to change something that outlives the call.

    key: its idempotency key; caller and arguments are personal
    call_id: the model's, of the request that came first
    """

    key: str
    caller: str
    tool: str
    arguments: str
    call_id: str


@dataclass(frozen=True, slots=True)
class WriteEnded:
    """Key: key. What came of it.

    status: done, and so it stays | refused, nothing was changed | failed, nobody knows
    output: what the model was told; outcome: what it means for the call
    """

    key: str
    status: WriteStatus
    output: str
    outcome: str = ""


RecordingState: TypeAlias = Literal["in-progress", "absent", "completed", "unwanted", "deleted"]


@dataclass(frozen=True, slots=True)
class RecordingNoted:
    """Key: recording_sid. What is known of a recording at Twilio.

    state: the last of them that was noted stays, in their order; unwanted: to be deleted there
    """

    recording_sid: str
    state: RecordingState
    started_at: datetime | None = None
    duration_s: int | None = None
    url: str = ""


Kept: TypeAlias = Record | OutcomeSettled | RecordingNoted | WriteBegun | WriteEnded


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, stamped. at is UTC with a time zone."""

    call_sid: str
    at: datetime
    record: Kept


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


@dataclass(frozen=True, slots=True)
class WriteRow:
    """What the store knows of a write. status: None while nobody has said how it ended.

    overtaken: its call has done something else since
    """

    key: str
    call_sid: str
    caller: str
    tool: str
    arguments: str
    call_id: str
    begun_at: datetime
    status: WriteStatus | None
    output: str
    outcome: str
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call in one line, for people. micro_usd: what it has cost so far."""

    call_sid: str
    started_at: datetime
    caller: str
    called: str
    outcome: str | None
    reason: str | None
    summary: str | None
    duration_ms: int | None
    greeting_ms: int | None
    micro_usd: int


@dataclass(frozen=True, slots=True)
class DayCosts:
    """What a day in UTC has cost, in micro-USD."""

    day: date
    calls: int
    model: int
    words: int
    phone: int
    voice: int = 0


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: which calls, and how many rows of each table."""

    call_sids: tuple[str, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Consented:
    """How a call stands with being recorded, for its next stream.

    answer: of its consent, "" when there is none yet, "unknown" when nobody could be asked
    recording_sid: of what runs, "" for none
    """

    answer: str = ""
    recording_sid: str = ""


@dataclass(frozen=True, slots=True)
class UnwantedRecording:
    """A recording that is to be deleted at Twilio."""

    call_sid: str
    recording_sid: str


class CallStore(Protocol):
    """Durable records. Every method blocks and may raise StoreError."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Upsert all entries in one transaction. Writing an entry twice changes nothing."""
        ...

    def call(self, call_sid: str) -> CallRow | None: ...

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a stream's token: True the first time, False ever after, on any process."""
        ...


class RecordingStore(Protocol):
    """Recordings and what callers agreed to. Blocks and may raise StoreError."""

    def consented(self, call_sid: str) -> Consented: ...

    def unwanted_recordings(self) -> Sequence[UnwantedRecording]:
        """Some that were refused or erased; none: none is left."""
        ...


class WriteStore(Protocol):
    """Writes that happen once. Every method blocks and may raise StoreError."""

    def begin_write(self, entry: Entry) -> WriteRow:
        """Commit a WriteBegun. Returns what is known of its key, this beginning included."""
        ...

    def unfinished_writes(self, begun_before: datetime) -> Sequence[WriteRow]:
        """Writes whose end nobody has told, oldest first; some hundred at most."""
        ...
