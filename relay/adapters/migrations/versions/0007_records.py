"""Records that stand up: when a line began, a call in one line, and what was erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Both databases spell it so; Alembic would copy the whole table on SQLite.
    op.execute('ALTER TABLE transcripts RENAME COLUMN "at" TO started_at')
    op.add_column("call_outcomes", sa.Column("summary", sa.Text))
    op.create_table(
        "erased_calls",
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_sid"),
    )


def downgrade() -> None:
    op.drop_table("erased_calls")
    op.drop_column("call_outcomes", "summary")
    op.execute('ALTER TABLE transcripts RENAME COLUMN started_at TO "at"')
