"""The tables, as SQLAlchemy Core sees them. migrations/ makes them; a test holds the two equal.

    calls          one row a call: who, when, and what `after-stream` shall do
    transcripts    one row an utterance: what was said, what of it was heard
    call_outcomes  one row a call: what came of it
    tool_calls     one row a function call
    intents        one row a write that outlives its call, by its idempotency key
    spend          one row a response, an utterance put into words, a phone line: what it cost
    day_budgets    one row a day in UTC: what all processes have spent of the day's cap
    consents       one row a call: what its caller was told about being recorded, and answered
    recordings     one row a recording of a call at Twilio
    erased_calls   calls whose records were erased: what still comes of them is dropped
    bookings       the embedded business's appointments, as they stand now
    booking_slots  one row a filled slot; its primary key is what stops a double booking
    booking_writes what was booked, changed and cancelled, by which number: one row an
                   idempotency key, with its first answer
    messages       what callers left for people to read, quotes' requests among it
    stream_claims  stream tokens that were used up
    notices        what the owner shall hear of, one row a channel; also the queue of deliveries
    attempts       tries to reach a human for a call
    clips          sentences that the agent says in every call, in its own voice

There are no foreign keys: records are replayed in any order after a database was away, and a
transcript may arrive before its call.

Two views are for people: call_overview (a call a row) and daily_costs (a day in UTC a row). Money
is whole micro-USD in every table; the views say it in USD as well.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A moment, always with UTC attached: SQLite keeps none, PostgreSQL its session's."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from outside: what no database keeps (NUL, lone surrogates) becomes U+FFFD.

    One such character would otherwise refuse a whole batch, again at every retry.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.replace("\0", "\ufffd")


metadata = sa.MetaData()

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("started_at", Utc, nullable=False, index=True),
    sa.Column("stream_sid", Words, nullable=False, server_default=""),
    sa.Column("caller", Words, nullable=False, server_default="", index=True),
    sa.Column("called", Words, nullable=False, server_default=""),
    sa.Column("disposition", Words),
    sa.Column("disposition_reason", Words),
    sa.Column("disposition_at", Utc),
    # How often the call had come back before the stream that chose this; null: nobody counted.
    sa.Column("disposition_returns", sa.Integer),
)

transcripts = sa.Table(
    "transcripts",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("item_id", Words, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("speaker", Words, nullable=False),
    sa.Column("generated_text", Words, nullable=False),
    sa.Column("heard_text", Words, nullable=False),
    sa.Column("heard_ms", sa.Integer),
    sa.Column("interrupted", sa.Boolean, nullable=False),
)

call_outcomes = sa.Table(
    "call_outcomes",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("outcome", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    # When our part of the call ended; null while only its aftermath is known.
    sa.Column("ended_at", Utc),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("greeting_ms", sa.Integer),
    sa.Column("notice_heard", sa.Boolean),
    sa.Column("barge_ins", sa.Integer),
    # One line for a person; null when no words were kept, or no longer are.
    sa.Column("summary", Words),
    # When the aftermath (a transfer answered, or not) had the last word; null: it had none.
    sa.Column("settled_at", Utc),
)

tool_calls = sa.Table(
    "tool_calls",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("call_id", Words, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("arguments", Words, nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("output", Words, nullable=False),
    sa.Column("duration_ms", sa.BigInteger),
)

intents = sa.Table(
    "intents",
    metadata,
    sa.Column("key", Words, primary_key=True),
    sa.Column("call_sid", Words, nullable=False, index=True),
    sa.Column("caller", Words, nullable=False),
    sa.Column("tool", Words, nullable=False),
    sa.Column("arguments", Words, nullable=False),
    sa.Column("call_id", Words, nullable=False),
    # The first beginning and the last; null while only the end is known.
    sa.Column("first_at", Utc),
    sa.Column("begun_at", Utc, index=True),
    sa.Column("ended_at", Utc),
    # done | refused | failed; null: nobody has said yet.
    sa.Column("status", Words),
    sa.Column("output", Words, nullable=False),
    sa.Column("outcome", Words, nullable=False),
)

spend = sa.Table(
    "spend",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("ref", Words, primary_key=True),
    sa.Column("at", Utc, nullable=False, index=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("micro_usd", sa.BigInteger, nullable=False),
    sa.Column("model", Words, nullable=False),
    sa.Column("input_text", sa.BigInteger, nullable=False),
    sa.Column("input_audio", sa.BigInteger, nullable=False),
    sa.Column("cached_text", sa.BigInteger, nullable=False),
    sa.Column("cached_audio", sa.BigInteger, nullable=False),
    sa.Column("output_text", sa.BigInteger, nullable=False),
    sa.Column("output_audio", sa.BigInteger, nullable=False),
    sa.Column("audio_ms", sa.BigInteger, nullable=False),
    sa.Column("note", Words, nullable=False),
)

day_budgets = sa.Table(
    "day_budgets",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    # Spent, or handed out to a process that is about to spend it; micro-USD.
    sa.Column("taken", sa.BigInteger, nullable=False),
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("policy", Words, nullable=False),
    sa.Column("caller_country", Words, nullable=False),
    sa.Column("caller_state", Words, nullable=False),
    sa.Column("business_state", Words, nullable=False),
    sa.Column("needed", sa.Boolean, nullable=False),
    # SHA-256 of the greeting's words, in hexadecimal.
    sa.Column("notice_hash", Words, nullable=False),
    # When the greeting's own mark came back; null: it was not heard to its end.
    sa.Column("heard_at", Utc),
    # hung_up_before | none_needed | stayed | declined
    sa.Column("answer", Words, nullable=False),
    sa.Column("answered_at", Utc, nullable=False),
    # How long the greeting that was heard was waited for; call_outcomes says so at the end.
    sa.Column("greeting_ms", sa.Integer),
)

recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("recording_sid", Words, primary_key=True),
    sa.Column("call_sid", Words, nullable=False, index=True),
    # in-progress | absent | completed | unwanted (to be deleted) | deleted
    sa.Column("state", Words, nullable=False),
    sa.Column("started_at", Utc, nullable=False, index=True),
    sa.Column("duration_s", sa.Integer),
    sa.Column("url", Words, nullable=False),
    sa.Column("deleted_at", Utc),
)

erased_calls = sa.Table(
    "erased_calls",
    metadata,
    sa.Column("call_sid", Words, primary_key=True),
    sa.Column("at", Utc, nullable=False),
)

bookings = sa.Table(
    "bookings",
    metadata,
    sa.Column("key", Words, primary_key=True),
    sa.Column("reference", Words, nullable=False, unique=True),
    sa.Column("service", Words, nullable=False),
    # The business's own wall clock: "Tuesday at ten" stays at ten when the law moves the clocks.
    sa.Column("starts_at", sa.DateTime, nullable=False, index=True),
    sa.Column("name", Words, nullable=False),
    sa.Column("phone", Words, nullable=False, index=True),
    sa.Column("booked_at", Utc, nullable=False),
    # booked | cancelled; one that is cancelled fills no slot
    sa.Column("state", Words, nullable=False, server_default="booked"),
)

booking_slots = sa.Table(
    "booking_slots",
    metadata,
    sa.Column("starts_at", sa.DateTime, primary_key=True),
    sa.Column("key", Words, nullable=False),
)

booking_writes = sa.Table(
    "booking_writes",
    metadata,
    sa.Column("key", Words, primary_key=True),
    sa.Column("reference", Words, nullable=False, index=True),
    # booked | changed | cancelled
    sa.Column("kind", Words, nullable=False),
    sa.Column("starts_at", sa.DateTime, nullable=False),
    sa.Column("phone", Words, nullable=False),
    sa.Column("at", Utc, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("key", Words, primary_key=True),
    # message | quote
    sa.Column("kind", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("phone", Words, nullable=False, index=True),
    sa.Column("call_back", Words, nullable=False),
    sa.Column("about", Words, nullable=False),
    sa.Column("text", Words, nullable=False),
    sa.Column("at", Utc, nullable=False, index=True),
)

stream_claims = sa.Table(
    "stream_claims",
    metadata,
    sa.Column("nonce", Words, primary_key=True),
    sa.Column("call_sid", Words, nullable=False),
    sa.Column("at", Utc, nullable=False),
)

notices = sa.Table(
    "notices",
    metadata,
    # A hash of call and ref: the receiver's means against repeats.
    sa.Column("id", Words, primary_key=True),
    # webhook, sms_owner, sms_caller; none: it is only kept
    sa.Column("channel", Words, primary_key=True),
    sa.Column("call_sid", Words, nullable=False, index=True),
    sa.Column("ref", Words, nullable=False),
    sa.Column("kind", Words, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("text", Words, nullable=False),
    # pending, sending, sent, failed, unknown; kept: there is nobody to tell; folded: another one,
    # whose id `holder` is, tells of it
    sa.Column("state", Words, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    # When a pending one is due, and when a sending one's holder has lost it.
    sa.Column("next_at", Utc, nullable=False),
    sa.Column("holder", Words, nullable=False, server_default=""),
    sa.Column("settled_at", Utc),
    sa.Column("last_error", Words, nullable=False, server_default=""),
    sa.Index("ix_notices_state_next_at", "state", "next_at"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("attempt", Words, primary_key=True),
    sa.Column("call_sid", Words, nullable=False, index=True),
    sa.Column("person", Words, nullable=False),
    sa.Column("state", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("leg_sid", Words, nullable=False),
    sa.Column("summary", Words, nullable=False),
    sa.Column("opened_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
)

clips = sa.Table(
    "clips",
    metadata,
    # A hash of model, voice and text: together they are too long for an index.
    sa.Column("key", Words, primary_key=True),
    sa.Column("model", Words, nullable=False),
    sa.Column("voice", Words, nullable=False),
    sa.Column("text", Words, nullable=False),
    sa.Column("mulaw", sa.LargeBinary, nullable=False),
    # SHA-256 of mulaw, in hexadecimal: a clip that was damaged is not played to callers.
    sa.Column("content_hash", Words, nullable=False),
    sa.Column("rendered_at", Utc, nullable=False),
)

# ---- views ----------------------------------------------------------------------------------

#: Beside the tables, since a database makes views from a SELECT and not from columns.
views = sa.MetaData()

call_overview = sa.Table(
    "call_overview",
    views,
    sa.Column("call_sid", Words),
    sa.Column("started_at", Utc),
    sa.Column("caller", Words),
    sa.Column("called", Words),
    sa.Column("outcome", Words),
    sa.Column("reason", Words),
    sa.Column("summary", Words),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("greeting_ms", sa.Integer),
    sa.Column("barge_ins", sa.Integer),
    sa.Column("micro_usd", sa.BigInteger),
    sa.Column("usd", sa.Numeric(asdecimal=False)),
)

daily_costs = sa.Table(
    "daily_costs",
    views,
    sa.Column("day", sa.Date),
    sa.Column("calls", sa.BigInteger),
    sa.Column("model_micro_usd", sa.BigInteger),
    sa.Column("words_micro_usd", sa.BigInteger),
    sa.Column("phone_micro_usd", sa.BigInteger),
    sa.Column("voice_micro_usd", sa.BigInteger),
    sa.Column("micro_usd", sa.BigInteger),
    sa.Column("usd", sa.Numeric(asdecimal=False)),
)
