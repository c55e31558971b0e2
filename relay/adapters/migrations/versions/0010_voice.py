"""What a second voice costs, a day."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DAILY_COSTS = """
CREATE VIEW daily_costs AS
SELECT d.day, d.calls, d.model_micro_usd, d.words_micro_usd, {voice}d.phone_micro_usd,
       d.micro_usd, ROUND(d.micro_usd / 1000000.0, 4) AS usd
FROM (
    SELECT {day} AS day,
           COUNT(DISTINCT call_sid) AS calls,
           {sorts},
           CAST(SUM(micro_usd) AS BIGINT) AS micro_usd
    FROM spend
    GROUP BY {day}
) d
"""

SORTS = {
    "model_micro_usd": "response",
    "words_micro_usd": "transcription",
    "voice_micro_usd": "voice",
    "phone_micro_usd": "phone",
}


def daily_costs(dialect: str, *, voice: bool) -> str:
    day = "date(at)" if dialect == "sqlite" else "CAST(at AT TIME ZONE 'UTC' AS date)"
    sorts = ",\n           ".join(
        f"CAST(SUM(CASE WHEN kind = '{kind}' THEN micro_usd ELSE 0 END) AS BIGINT) AS {name}"
        for name, kind in SORTS.items()
        if voice or kind != "voice"
    )
    return DAILY_COSTS.format(day=day, sorts=sorts, voice="d.voice_micro_usd, " if voice else "")


def upgrade() -> None:
    op.execute("DROP VIEW daily_costs")
    op.execute(daily_costs(op.get_bind().dialect.name, voice=True))


def downgrade() -> None:
    op.execute("DROP VIEW daily_costs")
    op.execute(daily_costs(op.get_bind().dialect.name, voice=False))
