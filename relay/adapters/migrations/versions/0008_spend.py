"""What calls cost, what is spent of a day's cap, and two views for people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTS = (
    "input_text",
    "input_audio",
    "cached_text",
    "cached_audio",
    "output_text",
    "output_audio",
    "audio_ms",
)

CALL_OVERVIEW = """
CREATE VIEW call_overview AS
SELECT v.*, ROUND(v.micro_usd / 1000000.0, 4) AS usd
FROM (
    SELECT c.call_sid, c.started_at, c.caller, c.called,
           o.outcome, o.reason, o.summary, o.duration_ms, o.greeting_ms, o.barge_ins,
           CAST(COALESCE(
               (SELECT SUM(s.micro_usd) FROM spend s WHERE s.call_sid = c.call_sid), 0
           ) AS BIGINT) AS micro_usd
    FROM calls c
    LEFT JOIN call_outcomes o ON o.call_sid = c.call_sid
) v
"""

# A day begins at midnight in UTC, as in OpenAI's own accounts.
DAILY_COSTS = """
CREATE VIEW daily_costs AS
SELECT d.day, d.calls, d.model_micro_usd, d.words_micro_usd, d.phone_micro_usd,
       d.micro_usd, ROUND(d.micro_usd / 1000000.0, 4) AS usd
FROM (
    SELECT {day} AS day,
           COUNT(DISTINCT call_sid) AS calls,
           {response} AS model_micro_usd,
           {transcription} AS words_micro_usd,
           {phone} AS phone_micro_usd,
           CAST(SUM(micro_usd) AS BIGINT) AS micro_usd
    FROM spend
    GROUP BY {day}
) d
"""


def daily_costs(dialect: str) -> str:
    day = "date(at)" if dialect == "sqlite" else "CAST(at AT TIME ZONE 'UTC' AS date)"
    kinds = {
        kind: f"CAST(SUM(CASE WHEN kind = '{kind}' THEN micro_usd ELSE 0 END) AS BIGINT)"
        for kind in ("response", "transcription", "phone")
    }
    return DAILY_COSTS.format(day=day, **kinds)


def upgrade() -> None:
    op.create_table(
        "spend",
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("micro_usd", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", "ref"),
    )
    op.create_index("ix_spend_at", "spend", ["at"])
    op.create_table(
        "day_budgets",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("taken", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.execute(CALL_OVERVIEW)
    op.execute(daily_costs(op.get_bind().dialect.name))


def downgrade() -> None:
    op.execute("DROP VIEW daily_costs")
    op.execute("DROP VIEW call_overview")
    op.drop_table("day_budgets")
    op.drop_table("spend")
