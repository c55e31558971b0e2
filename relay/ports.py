"""The seams to everything outside: who implements them lives above, who uses them never asks who.

Socket    one WebSocket, either side (shell/sockets.py in production, sim/pair.py in tests)
CallStore where records go (adapters/store.py); synchronous, called in worker threads
ClipStore where the clips in the agent's own voice are kept (adapters/store.py); synchronous
Bookings  where the embedded business keeps appointments (adapters/store.py); synchronous
BusinessApi  the business's own system (adapters/business_local.py, adapters/business_http.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Protocol

from relay.core.records import (
    CallEnded,
    CallOpened,
    DispositionChosen,
    Record,
    ToolCalled,
    TranscriptLine,
)

# Adapters see records through this seam: they never import the core.
__all__ = [
    "Booked",
    "BookingRequest",
    "Bookings",
    "BusinessApi",
    "BusinessProfile",
    "CallEnded",
    "CallOpened",
    "CallRow",
    "CallStore",
    "ClipStore",
    "DayHours",
    "DispositionChosen",
    "Entry",
    "NotBooked",
    "Record",
    "Service",
    "Socket",
    "StoredClip",
    "ToolCalled",
    "TranscriptLine",
]

# ---- sockets --------------------------------------------------------------------------------


class Socket(Protocol):
    """One WebSocket as the relay sees it: whole messages, one reader, one writer."""

    async def receive(self) -> str | bytes:
        """Wait for the next message. Raises SocketClosed when there will be none."""
        ...

    async def send(self, text: str) -> None:
        """Send one text message. Raises SocketClosed when the peer is gone."""
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close, within the socket's own deadline; never raises because the peer is gone."""
        ...


# ---- records --------------------------------------------------------------------------------


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

    def set_outcome(self, call_sid: str, at: datetime, outcome: str, reason: str) -> None:
        """What became of a call after its stream ended (a transfer answered, or not)."""
        ...

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a stream's token: True the first time, False ever after, on any process."""
        ...


# ---- clips ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A text as a model has spoken it in one of its voices: raw mu-law at 8 kHz.

    model, voice, text: the key
    """

    model: str
    voice: str
    text: str
    mulaw: bytes
    rendered_at: datetime


class ClipStore(Protocol):
    """Clips by model, voice and text. Every method blocks and may raise StoreError."""

    def clips(self, model: str, voice: str) -> Sequence[StoredClip]:
        """All clips in a voice; without those whose sound was damaged."""
        ...

    def keep_clip(self, clip: StoredClip) -> None:
        """Keep a clip. Of two with the same key the later one stays."""
        ...


# ---- the business ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    minutes: int


@dataclass(frozen=True, slots=True)
class BusinessProfile:
    """Who the agent answers for. facts: what a caller may be told, by topic."""

    name: str
    timezone: str
    services: tuple[Service, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayHours:
    """Opening hours of one date, local time; no spans: closed. note: "holiday", say."""

    day: date
    spans: tuple[tuple[time, time], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """starts_at is local to the business, without a time zone, to the minute."""

    service: str
    starts_at: datetime
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Booked:
    """The appointment stands. reference is what a person can say and write down."""

    reference: str
    service: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class NotBooked:
    """It could not be had; alternatives: what could.

    reason: taken | closed | unknown_service | past | too_far | not_a_slot
    """

    reason: str
    alternatives: tuple[datetime, ...] = ()


class BusinessApi(Protocol):
    """The business's own system. Every method has its own deadline and may raise BusinessError."""

    async def profile(self) -> BusinessProfile: ...

    async def now(self) -> datetime:
        """The business's local wall clock, without a time zone: what "tomorrow" is counted from."""
        ...

    async def hours(self, day: date) -> DayHours: ...

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        """Book once per key: a repeat of the key gets the first answer again."""
        ...


class Bookings(Protocol):
    """Where the embedded business keeps its appointments. Blocks; may raise StoreError."""

    def find(self, key: str) -> Booked | None:
        """What was booked under a key; None: nothing."""
        ...

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        """None: a slot is taken. The same key always gets the same Booked.

        slots: starts of every slot that the appointment fills; empty: its own start alone.
        """
        ...

    def taken(self, day: date) -> Sequence[datetime]:
        """Starts of the slots that are filled on a day."""
        ...
