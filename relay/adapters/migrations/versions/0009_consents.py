"""Consents and recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("caller_country", sa.Text, nullable=False),
        sa.Column("caller_state", sa.Text, nullable=False),
        sa.Column("business_state", sa.Text, nullable=False),
        sa.Column("needed", sa.Boolean, nullable=False),
        sa.Column("notice_hash", sa.Text, nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True)),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_sid"),
    )
    op.create_table(
        "recordings",
        sa.Column("recording_sid", sa.Text, nullable=False),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Integer),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("recording_sid"),
    )
    op.create_index("ix_recordings_call_sid", "recordings", ["call_sid"])
    op.create_index("ix_recordings_started_at", "recordings", ["started_at"])


def downgrade() -> None:
    op.drop_table("recordings")
    op.drop_table("consents")
