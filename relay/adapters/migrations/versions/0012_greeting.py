"""How long a call's greeting was waited for, for a stream that goes on with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consents", sa.Column("greeting_ms", sa.Integer))


def downgrade() -> None:
    op.drop_column("consents", "greeting_ms")
