"""Messages, quotes, and appointments that were changed or cancelled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def text(name: str, *, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def upgrade() -> None:
    op.add_column("bookings", text("state", default="booked"))
    op.create_index("ix_bookings_phone", "bookings", ["phone"])
    op.create_table(
        "booking_writes",
        text("key"),
        text("reference"),
        text("kind"),
        sa.Column("starts_at", sa.DateTime, nullable=False),
        text("phone"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_booking_writes_reference", "booking_writes", ["reference"])
    op.execute(
        "INSERT INTO booking_writes (key, reference, kind, starts_at, phone, at)"
        " SELECT key, reference, 'booked', starts_at, phone, booked_at FROM bookings"
    )
    op.create_table(
        "messages",
        text("key"),
        text("kind"),
        text("name"),
        text("phone"),
        text("call_back"),
        text("about"),
        text("text"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_messages_phone", "messages", ["phone"])
    op.create_index("ix_messages_at", "messages", ["at"])


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("booking_writes")
    op.drop_index("ix_bookings_phone", "bookings")
    op.drop_column("bookings", "state")
