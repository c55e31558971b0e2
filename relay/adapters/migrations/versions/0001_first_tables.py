"""Calls, what was said in them, what came of them, and the embedded business's bookings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=default)


def upgrade() -> None:
    op.create_table(
        "calls",
        text("call_sid"),
        moment("started_at"),
        text("stream_sid", default=""),
        text("caller", default=""),
        text("called", default=""),
        text("disposition", nullable=True),
        text("disposition_reason", nullable=True),
        moment("disposition_at", nullable=True),
        sa.PrimaryKeyConstraint("call_sid"),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_caller", "calls", ["caller"])
    op.create_table(
        "transcripts",
        text("call_sid"),
        text("item_id"),
        sa.Column("position", sa.Integer, nullable=False),
        moment("at"),
        text("speaker"),
        text("generated_text"),
        text("heard_text"),
        sa.Column("heard_ms", sa.Integer),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", "item_id"),
    )
    op.create_table(
        "call_outcomes",
        text("call_sid"),
        text("outcome"),
        text("reason"),
        moment("ended_at", nullable=True),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("greeting_ms", sa.Integer),
        sa.Column("notice_heard", sa.Boolean),
        sa.Column("barge_ins", sa.Integer),
        moment("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("call_sid"),
    )
    op.create_table(
        "tool_calls",
        text("call_sid"),
        text("call_id"),
        moment("at"),
        text("name"),
        text("arguments"),
        text("status"),
        text("output"),
        sa.Column("duration_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("call_sid", "call_id"),
    )
    op.create_table(
        "bookings",
        text("key"),
        text("reference"),
        text("service"),
        sa.Column("starts_at", sa.DateTime, nullable=False),
        text("name"),
        text("phone"),
        moment("booked_at"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("reference"),
    )
    op.create_index("ix_bookings_starts_at", "bookings", ["starts_at"])
    op.create_table(
        "booking_slots",
        sa.Column("starts_at", sa.DateTime, nullable=False),
        text("key"),
        sa.PrimaryKeyConstraint("starts_at"),
    )
    op.create_table(
        "stream_claims",
        text("nonce"),
        text("call_sid"),
        moment("at"),
        sa.PrimaryKeyConstraint("nonce"),
    )


def downgrade() -> None:
    for table in (
        "stream_claims",
        "booking_slots",
        "bookings",
        "tool_calls",
        "call_outcomes",
        "transcripts",
        "calls",
    ):
        op.drop_table(table)
