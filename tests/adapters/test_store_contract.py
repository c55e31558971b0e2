"""What a store promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from relay.adapters.store import SqlStore, open_store
from relay.adapters.store_tables import metadata
from relay.errors import Misuse, StoreError
from relay.ports import (
    CallEnded,
    CallOpened,
    CallRow,
    DispositionChosen,
    Entry,
    Kept,
    OutcomeSettled,
    OwnerNotice,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
    WriteBegun,
    WriteEnded,
    WriteRow,
)
from tests.databases import rows

START = datetime(2026, 11, 20, 15, 0, 0, 123456, tzinfo=UTC)
OPENED = CallOpened(1.0, "MZ1", "+15550100", "+15550111")
LINE = TranscriptLine(2.0, "item_1", "agent", 0, "We open at nine.", "We open", 700, True)
TOOL = ToolCalled(3.0, "call_1", "lookup_hours", '{"day":"today"}', "running")
CHOSEN = DispositionChosen(4.0, "transfer", "asked")
NOTICE = OwnerNotice(4.5, "call_1", "booked", "Cleaning, Tuesday at ten")
ENDED = CallEnded(5.0, "resolved", "goodbye", 61_000, 12, True, 2, "Asked when we open.")
SPENT = SpendAdded(2.5, "r1", "response", 7206, "large", 119, 13, 64, 0, 30, 91, 0, "")
PHONE = SpendAdded(0.0, "phone", "phone", 12_500, audio_ms=60_000)


def entry(record: Kept, after_s: float = 0, call_sid: str = "CA1") -> Entry:
    return Entry(call_sid, START + timedelta(seconds=after_s), record)


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(url, table) for table in metadata.tables}


# ---- records --------------------------------------------------------------------------------


def test_each_record_becomes_its_row(store: SqlStore, database_url: str) -> None:
    final = replace(TOOL, status="ok", output='{"open":[]}', duration_ms=41)
    store.write(
        [
            entry(OPENED),
            entry(LINE, 1),
            entry(TOOL, 2),
            entry(final, 2),
            entry(CHOSEN, 3),
            entry(ENDED, 4),
            entry(SPENT, 2),
        ]
    )
    assert rows(database_url, "spend") == [
        {
            "call_sid": "CA1",
            "ref": "r1",
            "at": START + timedelta(seconds=2),
            "kind": "response",
            "micro_usd": 7206,
            "model": "large",
            "input_text": 119,
            "input_audio": 13,
            "cached_text": 64,
            "cached_audio": 0,
            "output_text": 30,
            "output_audio": 91,
            "audio_ms": 0,
            "note": "",
        }
    ]
    assert rows(database_url, "calls") == [
        {
            "call_sid": "CA1",
            "started_at": START,
            "stream_sid": "MZ1",
            "caller": "+15550100",
            "called": "+15550111",
            "disposition": "transfer",
            "disposition_reason": "asked",
            "disposition_at": START + timedelta(seconds=3),
            "disposition_returns": 0,
        }
    ]
    assert rows(database_url, "transcripts") == [
        {
            "call_sid": "CA1",
            "item_id": "item_1",
            "position": 0,
            "started_at": START + timedelta(seconds=1),
            "speaker": "agent",
            "generated_text": "We open at nine.",
            "heard_text": "We open",
            "heard_ms": 700,
            "interrupted": True,
        }
    ]
    assert rows(database_url, "tool_calls") == [
        {
            "call_sid": "CA1",
            "call_id": "call_1",
            "at": START + timedelta(seconds=2),
            "name": "lookup_hours",
            "arguments": '{"day":"today"}',
            "status": "ok",
            "output": '{"open":[]}',
            "duration_ms": 41,
        }
    ]
    assert rows(database_url, "call_outcomes") == [
        {
            "call_sid": "CA1",
            "outcome": "resolved",
            "reason": "goodbye",
            "ended_at": START + timedelta(seconds=4),
            "duration_ms": 61_000,
            "greeting_ms": 12,
            "notice_heard": True,
            "barge_ins": 2,
            "summary": "Asked when we open.",
            "settled_at": None,
        }
    ]


def test_nothing_is_written_for_nothing(store: SqlStore, database_url: str) -> None:
    store.write([])
    assert not any(everything(database_url).values())


def test_a_batch_is_whole_or_not_at_all(store: SqlStore, database_url: str) -> None:
    naive = Entry("CA2", datetime(2026, 11, 20), OPENED)  # noqa: DTZ001 - the fault on trial
    with pytest.raises(StoreError, match="without a time zone"):
        store.write([entry(OPENED), naive])
    assert not any(everything(database_url).values())


def test_any_time_zone_comes_back_as_utc(store: SqlStore) -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    store.write([Entry("CA1", START.astimezone(kathmandu), OPENED)])
    row = store.call("CA1")
    assert row is not None
    assert row.started_at == START
    assert row.started_at.tzinfo is UTC


HISTORY = [
    entry(OPENED),
    entry(replace(OPENED, stream_sid="MZ2"), 20),
    entry(LINE, 1),
    entry(replace(LINE, heard_text="We open at nine.", heard_ms=1600, interrupted=False), 1),
    entry(replace(LINE, item_id="item_2", speaker="caller", position=1, heard_ms=None), 2),
    entry(TOOL, 2),
    entry(replace(TOOL, status="ok", output="{}", duration_ms=5), 2.5),
    entry(replace(TOOL, call_id="call_2"), 3),
    entry(replace(TOOL, call_id="call_2", status="error", output='{"e":1}'), 6),
    entry(replace(TOOL, call_id="call_2", status="late", output='{"o":1}'), 9),
    entry(CHOSEN, 10),
    entry(replace(CHOSEN, disposition="hang_up"), 30),
    entry(ENDED, 11),
    entry(replace(ENDED, reason="second stream"), 31),
    entry(NOTICE, 10),
    entry(replace(NOTICE, text="another text"), 12),
    entry(replace(NOTICE, ref="call_2"), 12),
    entry(SPENT, 2),
    entry(PHONE, 0),
    entry(replace(PHONE, micro_usd=25_000, audio_ms=120_000), 60),
    entry(replace(PHONE, micro_usd=37_500, audio_ms=180_000), 120),
    entry(replace(LINE, item_id="item_2", speaker="caller", position=3, heard_ms=None), 2),
    entry(OPENED, 5, "CA2"),
    entry(ENDED, 66, "CA2"),
    entry(OutcomeSettled("abandoned", "no answer"), 40),
    entry(OutcomeSettled("abandoned", "a guess", guess=True), 90),
    entry(OutcomeSettled("abandoned", "a guess", guess=True), 90, "CA2"),
    entry(OutcomeSettled("abandoned", "a guess", guess=True), 90, "CA3"),
]


@pytest.mark.parametrize("seed", range(12))
def test_any_order_any_batching_any_repetition_ends_in_the_same_rows(
    store: SqlStore, database_url: str, seed: int
) -> None:
    """A spool that is replayed, twice, in part, after newer records: nothing changes."""
    dice = random.Random(seed)
    history = [*HISTORY, *dice.choices(HISTORY, k=8)]
    dice.shuffle(history)
    while history:
        store.write([history.pop() for _ in range(min(len(history), dice.randint(1, 6)))])
    found = everything(database_url)
    assert [(row["call_sid"], row["started_at"], row["stream_sid"]) for row in found["calls"]] == [
        ("CA1", START, "MZ1"),
        ("CA2", START + timedelta(seconds=5), "MZ1"),
        ("CA3", START + timedelta(seconds=90), ""),
    ]
    assert found["calls"][0]["disposition"] == "hang_up"
    assert [(row["item_id"], row["heard_ms"]) for row in found["transcripts"]] == [
        ("item_1", 1600),
        ("item_2", None),
    ]
    assert [row["position"] for row in found["transcripts"]] == [0, 3]
    assert [(row["ref"], row["micro_usd"]) for row in found["spend"]] == [
        ("phone", 37_500),
        ("r1", 7206),
    ]
    assert [(row["call_id"], row["status"]) for row in found["tool_calls"]] == [
        ("call_1", "ok"),
        ("call_2", "late"),
    ]
    outcomes = found["call_outcomes"]
    assert [(row["call_sid"], row["outcome"], row["reason"]) for row in outcomes] == [
        ("CA1", "abandoned", "no answer"),
        ("CA2", "resolved", "goodbye"),
        ("CA3", "abandoned", "a guess"),
    ]
    assert outcomes[0]["ended_at"] == START + timedelta(seconds=31)
    assert outcomes[0]["duration_ms"] == 61_000
    notices = sorted((row["ref"], row["at"], row["text"]) for row in found["notices"])
    assert notices == [
        ("call_1", START + timedelta(seconds=10), NOTICE.text),
        ("call_2", START + timedelta(seconds=12), NOTICE.text),
    ]


def test_a_replayed_beginning_does_not_undo_an_end(store: SqlStore, database_url: str) -> None:
    store.write([entry(replace(TOOL, status="ok", output="{}"), 1)])
    store.write([entry(TOOL, 2)])
    assert [row["status"] for row in rows(database_url, "tool_calls")] == ["ok"]


def test_text_that_no_database_keeps_does_not_stop_the_others(
    store: SqlStore, database_url: str
) -> None:
    odd = "a\0b\ud800c 💥 \ud83d\udca5"
    store.write([entry(replace(LINE, generated_text=odd)), entry(OPENED)])
    [line] = rows(database_url, "transcripts")
    assert line["generated_text"] == "a\ufffdb\ufffdc 💥 💥"
    assert store.call("CA1") is not None


def test_writers_side_by_side_lose_nothing(store: SqlStore, database_url: str) -> None:
    def one(number: int) -> None:
        sids = [f"CA{number}-{index}" for index in range(5)] + ["CA-shared"]
        for record in (OPENED, LINE, TOOL, CHOSEN, ENDED):
            store.write([entry(record, 0, sid) for sid in sids])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(12)))
    found = everything(database_url)
    for table in ("calls", "transcripts", "tool_calls", "call_outcomes"):
        assert len(found[table]) == 61


# ---- calls ----------------------------------------------------------------------------------


def test_an_unknown_call(store: SqlStore) -> None:
    assert store.call("CA1") is None


def test_a_call_through_its_life(store: SqlStore) -> None:
    store.write([entry(OPENED)])
    row = CallRow("CA1", START, "+15550100", "+15550111", None, None, None)
    assert store.call("CA1") == row
    store.write([entry(CHOSEN, 3)])
    assert store.call("CA1") == replace(row, disposition="transfer", reason="asked")
    store.write([entry(ENDED, 4)])
    known = replace(row, disposition="transfer", outcome="resolved", reason="goodbye")
    assert store.call("CA1") == known
    store.write([entry(OutcomeSettled("failed", "busy"), 40)])
    assert store.call("CA1") == replace(known, outcome="failed", reason="busy")


def test_the_latest_aftermath_stays(store: SqlStore) -> None:
    for after_s, outcome in [(40, "abandoned"), (50, "transferred"), (45, "failed")]:
        store.write([entry(OutcomeSettled(outcome, "r"), after_s)])
    row = store.call("CA1")
    assert row is not None
    assert row.outcome == "transferred"


def test_a_call_that_only_its_aftermath_knows(store: SqlStore) -> None:
    store.write([entry(OutcomeSettled("abandoned", "never began"))])
    assert store.call("CA1") == CallRow("CA1", START, "", "", None, "abandoned", "never began")
    store.write([entry(OPENED, -60)])
    row = store.call("CA1")
    assert row is not None
    assert (row.caller, row.started_at) == ("+15550100", START - timedelta(seconds=60))


def test_a_stream_is_claimed_once(store: SqlStore) -> None:
    assert store.claim_stream("n1", "CA1", START)
    assert not store.claim_stream("n1", "CA1", START)
    assert not store.claim_stream("n1", "CA2", START)
    assert store.claim_stream("n2", "CA1", START)


def test_a_stream_that_many_claim_at_once_is_claimed_once(store: SqlStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = pool.map(lambda _: store.claim_stream("n1", "CA1", START), range(16))
        assert sum(claims) == 1


# ---- writes that happen once ----------------------------------------------------------------

WISH = WriteBegun("k1", "+15550100", "book_appointment", '{"day":"tuesday"}', "call_1")
DONE = WriteEnded("k1", "done", '{"booked":true}', "booked")
REFUSED = WriteEnded("k1", "refused", '{"booked":false}')
FAILED = WriteEnded("k1", "failed", '{"error":"unavailable"}')
LATER = START + timedelta(days=1)


def test_a_write_is_known_from_its_beginning_on(store: SqlStore) -> None:
    begun = store.begin_write(entry(WISH))
    wish = ("+15550100", "book_appointment", '{"day":"tuesday"}', "call_1")
    assert begun == WriteRow("k1", "CA1", *wish, START, None, "", "")
    assert store.unfinished_writes(LATER) == [begun]
    assert store.unfinished_writes(START) == []
    store.write([entry(DONE, 1)])
    assert store.unfinished_writes(LATER) == []
    again = store.begin_write(entry(replace(WISH, call_id="call_2"), 5))
    assert (again.status, again.output, again.outcome) == ("done", '{"booked":true}', "booked")
    assert again.call_id == "call_1"
    assert store.unfinished_writes(LATER) == []


def test_what_a_call_has_done_since_is_known(store: SqlStore) -> None:
    other = replace(WISH, key="k2", tool="cancel_appointment")
    store.write([entry(WISH), entry(DONE, 1), entry(other, 2)])
    assert not store.begin_write(entry(WISH, 3)).overtaken
    store.write([entry(replace(REFUSED, key="k2"), 4)])
    assert not store.begin_write(entry(WISH, 5)).overtaken
    elsewhere = entry(replace(WISH, key="k3"), 6, "CA2")
    store.write([elsewhere, entry(replace(DONE, key="k3"), 7, "CA2")])
    assert not store.begin_write(entry(WISH, 8)).overtaken
    store.write([entry(replace(DONE, key="k2"), 9)])
    assert store.begin_write(entry(WISH, 10)).overtaken
    assert not store.begin_write(entry(other, 11)).overtaken


@pytest.mark.parametrize("end", [REFUSED, FAILED])
def test_what_changed_nothing_may_be_begun_again(store: SqlStore, end: WriteEnded) -> None:
    store.begin_write(entry(WISH))
    store.write([entry(end, 1)])
    assert store.unfinished_writes(LATER) == []
    again = store.begin_write(entry(WISH, 5))
    assert again.status == end.status
    assert [row.key for row in store.unfinished_writes(LATER)] == ["k1"]
    store.write([entry(DONE, 6)])
    assert store.unfinished_writes(LATER) == []


@pytest.mark.parametrize("seed", range(12))
def test_a_write_s_history_may_come_in_any_order(
    store: SqlStore, database_url: str, seed: int
) -> None:
    dice = random.Random(seed)
    history = [
        entry(WISH),
        entry(REFUSED, 1),
        entry(replace(WISH, call_id="call_2"), 2),
        entry(FAILED, 3),
        entry(replace(WISH, call_id="call_3"), 4),
        entry(DONE, 5),
        entry(replace(REFUSED, output="of another process"), 6),
        entry(replace(WISH, key="k2"), 7),
        entry(replace(FAILED, key="k2"), 8),
        entry(replace(WISH, key="k2"), 9),
    ]
    history += dice.choices(history, k=6)
    dice.shuffle(history)
    while history:
        store.write([history.pop() for _ in range(min(len(history), dice.randint(1, 4)))])
    first, second = rows(database_url, "intents")
    assert (first["status"], first["outcome"], first["call_id"]) == ("done", "booked", "call_1")
    assert (first["first_at"], first["begun_at"]) == (START, START + timedelta(seconds=4))
    assert (second["status"], second["begun_at"]) == ("failed", START + timedelta(seconds=9))
    assert [row.key for row in store.unfinished_writes(LATER)] == ["k2"]


def test_an_end_without_its_beginning_is_nobody_s_to_finish(store: SqlStore) -> None:
    store.write([entry(REFUSED)])
    assert store.unfinished_writes(LATER) == []
    assert store.begin_write(entry(WISH, 1)).arguments == '{"day":"tuesday"}'


def test_only_a_beginning_begins(store: SqlStore) -> None:
    with pytest.raises(Misuse):
        store.begin_write(entry(DONE))


def test_what_will_never_be_taken_is_told_from_a_database_that_is_away(store: SqlStore) -> None:
    naive = Entry("CA2", datetime(2026, 11, 20), OPENED)  # noqa: DTZ001 - the fault on trial
    with pytest.raises(StoreError) as caught:
        store.write([naive])
    assert caught.value.refused
    with pytest.raises(StoreError) as caught:
        store.write([entry(replace(SPENT, audio_ms=2**70))])
    assert caught.value.refused, "no database has so large a number"
    away = open_store("postgresql://127.0.0.1:9/relay")
    with pytest.raises(StoreError) as caught:
        away.write([entry(OPENED)])
    away.close()
    assert not caught.value.refused


def test_a_name_that_is_too_long_for_an_index_is_refused_and_not_waited_for(
    migrated_postgresql: str,
) -> None:
    """Else the whole spool would wait behind it, for ever; SQLite has no such limit."""
    store = open_store(migrated_postgresql)
    with pytest.raises(StoreError) as caught:
        store.write([entry(replace(TOOL, call_id=random.Random(1).randbytes(9000).hex()))])
    store.close()
    assert (caught.value.refused, caught.value.away) == (True, False)
