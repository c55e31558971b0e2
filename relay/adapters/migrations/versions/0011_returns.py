"""How often a call had come back when it chose what follows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("disposition_returns", sa.Integer))


def downgrade() -> None:
    op.drop_column("calls", "disposition_returns")
