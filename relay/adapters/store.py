"""The relay's records in a database: SQLite by default, PostgreSQL by DATABASE_URL.

This file is the face; beside it lie store_tables (what is kept), store_records (how a record
becomes an upsert), store_intents (writes that happen once), store_notices (what the owner shall
hear of), store_bookings (appointments), store_messages (what callers leave), store_attempts (humans
who were rung), store_consents (what callers agreed to, recordings), store_clips (the agent's
voice), store_spend (the day's cap), store_reading (for people), store_forgetting (erasure),
store_engine (drivers), store_upgrade and migrations/ (how the tables come to be). Every method
blocks: call them from worker threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from relay.adapters import (
    store_attempts,
    store_bookings,
    store_clips,
    store_consents,
    store_forgetting,
    store_intents,
    store_loose_ends,
    store_messages,
    store_notices,
    store_reading,
    store_records,
    store_returns,
    store_spend,
)
from relay.adapters.store_engine import mapped, parse_url, pooled
from relay.adapters.store_notices import Channels
from relay.adapters.store_tables import call_outcomes, calls, stream_claims
from relay.adapters.store_upgrade import lag, upgrade
from relay.errors import Misuse, StoreError
from relay.ports import (
    Appointment,
    Attempt,
    Booked,
    BookingRequest,
    CallPast,
    CallRow,
    CallSummary,
    ChangeRequest,
    Claimed,
    Consented,
    DayCosts,
    Drawn,
    Entry,
    Erased,
    Message,
    Notice,
    OpenCall,
    Settled,
    Standing,
    StoredClip,
    UnwantedRecording,
    WriteBegun,
    WriteRow,
)

__all__ = ["SqlStore", "lag", "open_store", "upgrade"]


def _nobody(_kind: str) -> Sequence[str]:
    return ()


def open_store(database_url: str, *, channels: Channels = _nobody) -> SqlStore:
    """A store on a database whose tables `upgrade` has made.

    channels: who is told of a kind of notice; nobody unless given, and notices are only kept

    Connects when it is first used, so that calls are served while the database is away.
    Raises ConfigError for a malformed URL.
    """
    url = parse_url(database_url)
    return SqlStore(pooled(url), url, channels)


class SqlStore:
    """Every port of the store over one engine. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, url: URL, channels: Channels = _nobody) -> None:
        self._engine = engine
        self._reader = engine.execution_options(read_only=True)
        self._url = url
        self._channels = channels
        self._held = False

    def hold(self) -> None:
        """Have everybody believe that the database is away: its tables are not known to be ours."""
        self._held = True

    def release(self) -> None:
        """Its tables are ours."""
        self._held = False

    def close(self) -> None:
        """Give up every connection."""
        self._engine.dispose()

    def ping(self) -> None:
        """Ask the database for a sign of life. Raises StoreError."""
        with self._read() as connection:
            connection.execute(sa.select(1))

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        self._check()
        with mapped(self._url), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        self._check()
        with mapped(self._url), self._engine.begin() as connection:
            yield connection

    def _check(self) -> None:
        if self._held:
            raise StoreError("the database has not been reached since the start", away=True)

    # ---- CallStore

    def write(self, entries: Sequence[Entry]) -> None:
        """Upsert all entries in one transaction, whatever was written before them."""
        if entries:
            with self._write() as connection:
                store_records.write(connection, entries, self._channels)

    def call(self, call_sid: str) -> CallRow | None:
        """What is known of a call. reason: the outcome's, or else the disposition's."""
        query = (
            sa.select(
                calls.c.call_sid,
                calls.c.started_at,
                calls.c.caller,
                calls.c.called,
                calls.c.disposition,
                call_outcomes.c.outcome,
                sa.func.coalesce(call_outcomes.c.reason, calls.c.disposition_reason),
            )
            .join_from(
                calls, call_outcomes, calls.c.call_sid == call_outcomes.c.call_sid, isouter=True
            )
            .where(calls.c.call_sid == call_sid)
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else CallRow(*row)

    def consented(self, call_sid: str) -> Consented:
        """What a call's next stream must know of consent and recording."""
        with self._read() as connection:
            return store_consents.consented(connection, call_sid)

    def unwanted_recordings(self) -> list[UnwantedRecording]:
        """Some recordings that are to be deleted at Twilio."""
        with self._read() as connection:
            return store_consents.unwanted(connection)

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a stream's token: True the first time, False ever after."""
        row = {"nonce": nonce, "call_sid": call_sid, "at": at}
        with self._write() as connection:
            return store_records.inserted(connection, stream_claims, row) == 1

    def claimed(self, nonce: str) -> bool:
        """Whether a nonce was used up, by any process."""
        with self._read() as connection:
            return store_returns.claimed(connection, nonce)

    # ---- ReturnStore

    def standing(self, call_sid: str) -> Standing | None:
        """What `after-stream` must know of a call."""
        with self._read() as connection:
            return store_returns.standing(connection, call_sid)

    def past(self, call_sid: str) -> CallPast | None:
        """What a call has come to in its streams so far."""
        with self._read() as connection:
            return store_returns.past(connection, call_sid)

    # ---- WriteStore

    def begin_write(self, entry: Entry) -> WriteRow:
        """Commit a WriteBegun, and say what is known of its key."""
        if not isinstance(entry.record, WriteBegun):
            raise Misuse(f"{type(entry.record).__name__} begins no write")
        with self._write() as connection:
            store_records.write(connection, [entry], self._channels)
            return store_intents.find(connection, entry.record.key)

    def unfinished_writes(self, begun_before: datetime) -> list[WriteRow]:
        """Writes whose end nobody has told, oldest first."""
        with self._read() as connection:
            return store_intents.unfinished(connection, begun_before)

    # ---- NoticeStore

    def claim_notices(
        self,
        channels: Sequence[str],
        *,
        now: datetime,
        until: datetime,
        holder: str,
        limit: int,
        lapsed: Settled,
        failed_every: timedelta,
    ) -> Claimed:
        """Take what is due; ask first without a lock, for mostly nothing is."""
        with self._read() as connection:
            if not store_notices.any_due(connection, channels, now):
                return Claimed((), ())
        with self._write() as connection:
            gone = store_notices.lapse(connection, channels, now, lapsed)
            if store_notices.GATHERED in channels:
                store_notices.gather(connection, now, failed_every)
            found = store_notices.claim(
                connection, channels, now=now, until=until, holder=holder, limit=limit
            )
            return Claimed(found, gone)

    def settle_notice(
        self, notice: Notice, holder: str, state: Settled, *, at: datetime, error: str = ""
    ) -> bool:
        """Report about a claimed notice. False: somebody else holds it by now."""
        with self._write() as connection:
            return store_notices.settle(connection, notice, holder, state, at=at, error=error)

    # ---- DayBudgets

    def draw(self, day: date, owed: int, want: int, cap: int) -> Drawn:
        """Report what was spent beyond earlier grants, and draw what may be spent next."""
        with self._write() as connection:
            return store_spend.draw(connection, day, owed, want, cap)

    # ---- reading, for people

    def overview(self, limit: int, since: datetime | None = None) -> list[CallSummary]:
        """The latest calls, the newest first."""
        with self._read() as connection:
            return store_reading.overview(connection, limit, since)

    def costs(self, limit: int) -> list[DayCosts]:
        """The latest days in UTC that cost something, the newest first."""
        with self._read() as connection:
            return store_reading.costs(connection, limit)

    def everything(self, call_sid: str) -> dict[str, list[dict[str, Any]]]:
        """All that is kept of a call, by table; {} for a call that is not known."""
        with self._read() as connection:
            return store_reading.everything(connection, call_sid)

    # ---- forgetting

    def erase(self, phone: str, at: datetime, others: Collection[str] = ()) -> Erased:
        """Remove a person, by telephone number, and keep what still comes of them out.

        others: calls of theirs that the database may not know yet
        """
        with self._write() as connection:
            return store_forgetting.erase(connection, phone, at, others)

    def recordings_of(self, phone: str) -> list[str]:
        """SIDs of what Twilio has recorded of a person."""
        with self._read() as connection:
            return store_forgetting.recordings_of(connection, phone)

    def old_recordings(self, before: datetime) -> list[str]:
        """SIDs of a portion of the recordings from before a moment."""
        with self._read() as connection:
            return store_forgetting.old_recordings(connection, before)

    def recording_gone(self, recording_sid: str) -> None:
        """A recording is deleted: forget what was said of it."""
        with self._write() as connection:
            store_forgetting.recording_gone(connection, recording_sid, datetime.now(UTC))

    def forget_words(self, before: datetime) -> int:
        """Remove a portion of what was said before a moment. 0: nothing is left to remove."""
        with self._write() as connection:
            return store_forgetting.forget_words(connection, before)

    def scrub(self) -> bool:
        """Make what was removed unreadable in the files. False: try again, somebody reads."""
        with mapped(self._url), self._reader.connect() as connection:
            return store_forgetting.scrub(connection)

    # ---- Bookings

    def find(self, key: str) -> Appointment | None:
        """What was booked, changed or cancelled under a key, as it was then."""
        with self._read() as connection:
            return store_bookings.find(connection, key)

    def book(
        self, request: BookingRequest, key: str, at: datetime, slots: Sequence[datetime] = ()
    ) -> Booked | None:
        """Book once per key; None: a slot is somebody else's."""
        try:
            with self._write() as connection:
                return store_bookings.book(
                    connection, request, key, at, slots or (request.starts_at,)
                )
        except store_bookings.SlotTaken:
            with self._read() as connection:
                return store_bookings.own(connection, request)

    def change(
        self, request: ChangeRequest, key: str, at: datetime, slots: Sequence[datetime]
    ) -> Appointment | None:
        """Move an appointment, once per key; None: a slot is somebody else's, or it is."""
        try:
            with self._write() as connection:
                return store_bookings.change(connection, request, key, at, slots)
        except store_bookings.SlotTaken:
            return None

    def cancel(self, reference: str, phone: str, key: str, at: datetime) -> Appointment | None:
        """Cancel an appointment and free its slots; None: the number has no such one."""
        with self._write() as connection:
            return store_bookings.cancel(connection, reference, phone, key, at)

    def of_phone(self, phone: str, after: datetime) -> list[Appointment]:
        """A number's appointments that begin after a local moment, in order."""
        with self._read() as connection:
            return store_bookings.of_phone(connection, phone, after)

    def leave(self, message: Message, key: str, at: datetime) -> None:
        """Keep a message; the same key again changes nothing."""
        with self._write() as connection:
            store_messages.leave(connection, message, key, at)

    def taken(self, day: date) -> list[datetime]:
        """Starts of the slots that are filled on a day, in order."""
        with self._read() as connection:
            return store_bookings.taken(connection, day)

    # ---- AttemptStore

    def open_attempt(self, attempt: Attempt) -> None:
        """Begin an attempt; one of that name stays as it is."""
        with self._write() as connection:
            store_attempts.opened(connection, attempt)

    def attempt(self, attempt: str) -> Attempt | None:
        """An attempt by its name."""
        with self._read() as connection:
            return store_attempts.find(connection, attempt)

    def attempt_of(self, call_sid: str) -> Attempt | None:
        """The newest attempt of a call."""
        with self._read() as connection:
            return store_attempts.newest(connection, call_sid)

    def move_attempt(self, attempt: str, state: str, at: datetime, reason: str = "") -> bool:
        """Take a step of ports.humans.BEFORE; False when it is not to be taken, or was."""
        with self._write() as connection:
            return store_attempts.move(connection, attempt, state, at, reason)

    def note_attempt(self, attempt: str, *, leg_sid: str = "", summary: str = "") -> None:
        """Note what has become known of an attempt."""
        with self._write() as connection:
            store_attempts.note(connection, attempt, leg_sid=leg_sid, summary=summary)

    # ---- LooseEndStore

    def open_calls(self, since: datetime, before: datetime, limit: int) -> list[OpenCall]:
        """Calls without an outcome."""
        with self._read() as connection:
            return store_loose_ends.open_calls(connection, since, before, limit)

    def open_legs(self, since: datetime, before: datetime, limit: int) -> list[Attempt]:
        """Tries to reach a human that nobody has ended."""
        with self._read() as connection:
            return store_loose_ends.open_legs(connection, since, before, limit)

    # ---- ClipStore

    def clips(self, model: str, voice: str) -> list[StoredClip]:
        """All clips in a voice whose sound is whole."""
        with self._read() as connection:
            return store_clips.find(connection, model, voice)

    def keep_clip(self, clip: StoredClip) -> None:
        """Keep a clip; of two with the same key the later one stays."""
        with self._write() as connection:
            store_clips.keep(connection, clip)
