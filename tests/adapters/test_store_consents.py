"""Consents and recordings on both databases: any order, twice over, and what a refusal removes."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from relay.adapters.store import SqlStore
from relay.adapters.store_tables import metadata
from relay.ports import (
    Attempt,
    CallEnded,
    CallOpened,
    Consented,
    ConsentNoted,
    Entry,
    Kept,
    OwnerNotice,
    RecordingNoted,
    ToolCalled,
    TranscriptLine,
    UnwantedRecording,
)
from tests.databases import rows

START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
PHONE = "+15550100"
OPENED = CallOpened(0.0, "MZ1", PHONE, "+15550111")
ASKED = ConsentNoted(0.0, "states", "US", "CA", "TX", True, "ab" * 32, None, "hung_up_before")
STAYED = replace(ASKED, at=4.0, heard_at=4.0, answer="stayed", greeting_ms=310)
DECLINED = replace(ASKED, at=9.0, heard_at=4.0, answer="declined")
# What another stream of the call knows, which did not greet.
DECLINED_LATER = replace(DECLINED, notice_hash="", heard_at=None, caller_state="")
LINE = TranscriptLine(5.0, "item_1", "caller", 1, "My name is Ann.", "My name is Ann.")
TOOL = ToolCalled(6.0, "call_1", "take_message", '{"name":"Ann"}', "ok", '{"status":"taken"}', 41)
ENDED = CallEnded(12.0, "message", "phone", 12_000, 12, True, 0, "Ann wants a call.")
NOTICE = OwnerNotice(6.0, "call_1", "message", "Ann wants a call.")
RECORDED = RecordingNoted("RE1", "in-progress", START + timedelta(seconds=4), None, "https://r/RE1")
COMPLETED = replace(RECORDED, state="completed", duration_s=8)
UNWANTED = RecordingNoted("RE1", "unwanted")
DELETED = RecordingNoted("RE1", "deleted")


def entry(record: Kept, after_s: float = 0.0, call_sid: str = "CA1") -> Entry:
    return Entry(call_sid, START + timedelta(seconds=getattr(record, "at", after_s)), record)


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(url, table) for table in metadata.tables}


def test_a_consent_is_a_row_a_call(store: SqlStore, database_url: str) -> None:
    store.write([entry(ASKED), entry(STAYED)])
    assert rows(database_url, "consents") == [
        {
            "call_sid": "CA1",
            "policy": "states",
            "caller_country": "US",
            "caller_state": "CA",
            "business_state": "TX",
            "needed": True,
            "notice_hash": "ab" * 32,
            "heard_at": START + timedelta(seconds=4),
            "answer": "stayed",
            "answered_at": START + timedelta(seconds=4),
            "greeting_ms": 310,
        }
    ]
    store.write([entry(DECLINED_LATER)])
    (row,) = rows(database_url, "consents")
    assert (row["answer"], row["answered_at"]) == ("declined", START + timedelta(seconds=9))
    assert (row["heard_at"], row["notice_hash"]) == (START + timedelta(seconds=4), "ab" * 32)


def test_callbacks_come_twice_and_in_any_order(store: SqlStore, database_url: str) -> None:
    for noted in (COMPLETED, RECORDED, COMPLETED, RECORDED):
        store.write([entry(noted, 20)])
    assert rows(database_url, "recordings") == [
        {
            "recording_sid": "RE1",
            "call_sid": "CA1",
            "state": "completed",
            "started_at": START + timedelta(seconds=4),
            "duration_s": 8,
            "url": "https://r/RE1",
            "deleted_at": None,
        }
    ]
    store.write([entry(DELETED, 30), entry(COMPLETED, 31), entry(UNWANTED, 32)])
    (row,) = rows(database_url, "recordings")
    assert (row["state"], row["url"]) == ("deleted", "")
    assert row["deleted_at"] == START + timedelta(seconds=30)


def test_any_order_ends_in_the_same_rows(store: SqlStore, database_url: str) -> None:
    """Whole, in pieces, twice: with a refusal somewhere in the middle."""
    kept = [OPENED, ASKED, STAYED, LINE, TOOL, NOTICE, RECORDED, COMPLETED]
    kept += [DECLINED, DECLINED_LATER, UNWANTED, DELETED, ENDED, replace(LINE, item_id="item_2")]
    dice = random.Random(7)
    expected: dict[str, list[dict[str, Any]]] = {}
    for round_ in range(12):
        entries = [entry(record, 20) for record in kept]
        entries += dice.sample(entries, 6)
        if round_:
            dice.shuffle(entries)
        while entries:
            size = dice.randint(1, 6)
            store.write(entries[:size])
            del entries[:size]
        found = everything(database_url)
        expected = expected or found
        assert found == expected
        assert found["transcripts"] == []
        with store._engine.begin() as connection:
            for table in metadata.sorted_tables:
                connection.execute(sa.delete(table))


def test_a_refusal_removes_the_words_and_keeps_them_out(store: SqlStore, database_url: str) -> None:
    other = [entry(each, call_sid="CA2") for each in (OPENED, STAYED, LINE, TOOL, ENDED)]
    store.write([*other, *map(entry, (OPENED, STAYED, LINE, TOOL, NOTICE, ENDED))])
    store.write([entry(DECLINED)])
    late = replace(LINE, item_id="item_2", at=10.0)
    store.write([entry(late), entry(LINE), entry(replace(TOOL, call_id="call_2"))])
    assert [row["call_sid"] for row in rows(database_url, "transcripts")] == ["CA2"]
    tools = [row for row in rows(database_url, "tool_calls") if row["call_sid"] == "CA1"]
    assert [(row["name"], row["arguments"], row["output"]) for row in tools] == [
        ("take_message", "", "")
    ] * 2
    ended = {row["call_sid"]: row for row in rows(database_url, "call_outcomes")}
    assert ended["CA1"]["summary"] == ""
    assert ended["CA1"]["outcome"] == "message"
    assert ended["CA2"]["summary"] == "Ann wants a call."
    assert [row["text"] for row in rows(database_url, "notices")] == ["Ann wants a call."]


def test_a_refusal_removes_what_a_human_was_to_be_told(store: SqlStore, database_url: str) -> None:
    """In this process they are told all the same: it is remembered there, and written nowhere."""
    for sid in ("CA1", "CA2"):
        rung = Attempt(f"at_{sid}", sid, "", "ringing", "", "", "Ann has a toothache", START, START)
        store.open_attempt(rung)
    store.write([entry(OPENED), entry(DECLINED)])
    found = {row["call_sid"]: row["summary"] for row in rows(database_url, "attempts")}
    assert found == {"CA1": "", "CA2": "Ann has a toothache"}
    store.note_attempt("at_CA1", leg_sid="CA9", summary="Ann has a toothache.")
    store.note_attempt("at_CA2", summary="Ann is in pain.")
    store.open_attempt(replace(rung, attempt="again", call_sid="CA1"))
    found = {
        row["attempt"]: (row["leg_sid"], row["summary"]) for row in rows(database_url, "attempts")
    }
    assert found == {"at_CA1": ("CA9", ""), "at_CA2": ("", "Ann is in pain."), "again": ("", "")}


def test_a_writer_that_has_looked_before_the_refusal_leaves_nothing(
    store: SqlStore, database_url: str
) -> None:
    """Words on their way in another transaction are not missed by the refusal."""
    store.write([entry(OPENED)])
    for number in range(20):
        line = entry(replace(LINE, item_id=f"item_{number}"), call_sid=f"CA{number}")
        no = entry(DECLINED, call_sid=f"CA{number}")
        gate = threading.Barrier(2)

        def write(one: Entry, gate: threading.Barrier = gate) -> None:
            gate.wait(5)
            store.write([one])

        threads = [threading.Thread(target=write, args=(one,)) for one in (line, no)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert rows(database_url, "transcripts") == []
    assert len(rows(database_url, "consents")) == 20


# ---- what must go ---------------------------------------------------------------------------


def test_what_was_refused_or_disowned_is_to_be_deleted(store: SqlStore) -> None:
    store.write([entry(OPENED), entry(STAYED), entry(RECORDED)])
    assert store.unwanted_recordings() == []
    store.write([entry(DECLINED)])
    assert store.unwanted_recordings() == [UnwantedRecording("CA1", "RE1")]
    store.write([entry(DELETED, 30)])
    assert store.unwanted_recordings() == []
    store.write([entry(replace(UNWANTED, recording_sid="RE2"), call_sid="CA2")])
    assert store.unwanted_recordings() == [UnwantedRecording("CA2", "RE2")]
    store.recording_gone("RE2")
    assert store.unwanted_recordings() == []


def test_recordings_grow_old_as_words_do(store: SqlStore, database_url: str) -> None:
    store.write([entry(OPENED), entry(COMPLETED)])
    assert store.old_recordings(START) == []
    assert store.old_recordings(START + timedelta(days=1)) == ["RE1"]
    store.recording_gone("RE1")
    assert store.old_recordings(START + timedelta(days=1)) == []
    (row,) = rows(database_url, "recordings")
    assert row["state"] == "deleted"
    assert row["url"] == ""


def test_who_is_erased_leaves_the_names_of_recordings_until_they_are_gone(
    store: SqlStore, database_url: str
) -> None:
    done = replace(COMPLETED, recording_sid="RE2")
    store.write([entry(OPENED), entry(STAYED), entry(COMPLETED), entry(done)])
    assert store.recordings_of(PHONE) == ["RE1", "RE2"]
    store.recording_gone("RE2")
    store.erase(PHONE, START)
    assert rows(database_url, "consents") == []
    (row,) = rows(database_url, "recordings")
    assert (row["recording_sid"], row["state"], row["url"]) == ("RE1", "unwanted", "")
    # A callback that comes late says no more of them, and a recording not heard of is found.
    store.write([entry(COMPLETED), entry(replace(COMPLETED, recording_sid="RE3"))])
    found = {
        row["recording_sid"]: (row["state"], row["url"]) for row in rows(database_url, "recordings")
    }
    assert found == {"RE1": ("unwanted", ""), "RE3": ("unwanted", "")}
    assert {each.recording_sid for each in store.unwanted_recordings()} == {"RE1", "RE3"}


@pytest.mark.parametrize(
    ("kept", "consented"),
    [
        ([], Consented()),
        ([ASKED], Consented("hung_up_before")),
        ([STAYED, RECORDED], Consented("stayed", "RE1")),
        ([STAYED, RECORDED, COMPLETED], Consented("stayed")),
        ([STAYED, RECORDED, DECLINED, UNWANTED], Consented("declined")),
    ],
)
def test_a_next_stream_learns_how_the_call_stands(
    store: SqlStore, kept: list[Kept], consented: Consented
) -> None:
    store.write([entry(each) for each in kept])
    assert store.consented("CA1") == consented


def test_an_export_holds_both(store: SqlStore) -> None:
    store.write([entry(OPENED), entry(STAYED), entry(COMPLETED)])
    found = store.everything("CA1")
    assert found["consents"][0]["answer"] == "stayed"
    assert found["recordings"][0]["url"] == "https://r/RE1"
