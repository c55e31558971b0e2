"""What people read: the list of calls, one call whole, what the days have cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from relay.adapters.store import SqlStore
from relay.adapters.store_engine import make_engine, parse_url
from relay.core.records import SpendAdded
from relay.ports import CallSummary, DayCosts, Entry, Record
from tests.adapters.test_store_contract import (
    CHOSEN,
    ENDED,
    LINE,
    OPENED,
    PHONE,
    SPENT,
    START,
    TOOL,
    entry,
)

WORDS = replace(SPENT, ref="words_i1", kind="transcription", micro_usd=180, model="words")


def at(moment: datetime, record: Record, call_sid: str) -> Entry:
    return Entry(call_sid, moment, record)


def test_the_latest_calls_come_first_with_what_they_cost(store: SqlStore) -> None:
    store.write([entry(r) for r in (OPENED, ENDED, SPENT, WORDS, PHONE)])
    store.write([entry(OPENED, 60, "CA2")])
    first, second = store.overview(10)
    assert first == CallSummary(
        "CA2",
        START + timedelta(seconds=60),
        "+15550100",
        "+15550111",
        None,
        None,
        None,
        None,
        None,
        0,
    )
    assert (second.call_sid, second.micro_usd) == ("CA1", 7206 + 180 + 12_500)
    assert (second.outcome, second.reason) == ("resolved", "goodbye")
    assert second.summary == "Asked when we open."
    assert (second.duration_ms, second.greeting_ms) == (61_000, 12)
    assert second.started_at.tzinfo is UTC
    assert [call.call_sid for call in store.overview(1)] == ["CA2"]
    since = START + timedelta(seconds=30)
    assert [call.call_sid for call in store.overview(10, since)] == ["CA2"]


def test_a_day_is_a_day_in_utc_and_its_sorts_add_up(store: SqlStore) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    store.write(
        [
            at(midnight - timedelta(microseconds=1), SPENT, "CA1"),
            at(midnight, WORDS, "CA1"),
            at(midnight, SPENT, "CA2"),
            at(midnight + timedelta(hours=23), PHONE, "CA3"),
            at(midnight, SpendAdded(0.0, "voice_i_9", "voice", 450, "flash", 9), "CA3"),
        ]
    )
    assert store.costs(10) == [
        DayCosts(date(2026, 11, 21), 3, 7206, 180, 12_500, 450),
        DayCosts(date(2026, 11, 20), 1, 7206, 0, 0),
    ]
    assert [day.day for day in store.costs(1)] == [date(2026, 11, 21)]


@pytest.mark.parametrize("view", ["call_overview", "daily_costs"])
def test_a_view_says_it_in_dollars(store: SqlStore, database_url: str, view: str) -> None:
    store.write([entry(r) for r in (OPENED, SPENT, PHONE)])
    engine = make_engine(parse_url(database_url))
    with engine.connect() as connection:
        (row,) = connection.execute(sa.text(f"SELECT micro_usd, usd FROM {view}"))  # noqa: S608
    engine.dispose()
    assert (row.micro_usd, float(row.usd)) == (19_706, 0.0197)


def test_everything_of_a_call_in_the_order_in_which_it_happened(store: SqlStore) -> None:
    second = replace(LINE, item_id="item_0", speaker="caller", position=1)
    store.write([entry(r) for r in (OPENED, LINE, second, TOOL, CHOSEN, ENDED, SPENT)])
    store.write([entry(OPENED, 0, "CA2"), entry(LINE, 0, "CA2")])
    store.claim_stream("n1", "CA1", START)
    found = store.everything("CA1")
    assert set(found) == {
        "calls",
        "transcripts",
        "tool_calls",
        "call_outcomes",
        "spend",
        "stream_claims",
    }
    assert [row["item_id"] for row in found["transcripts"]] == ["item_1", "item_0"]
    assert {row["call_sid"] for rows in found.values() for row in rows} == {"CA1"}
    assert store.everything("CA9") == {}
