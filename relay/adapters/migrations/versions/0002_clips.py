"""Clips in the agent's own voice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clips",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("mulaw", sa.LargeBinary, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("rendered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def downgrade() -> None:
    op.drop_table("clips")
