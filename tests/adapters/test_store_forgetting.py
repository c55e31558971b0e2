"""What is erased or too old cannot be read any more: not asked for, not in the files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from relay.adapters.store import SqlStore, open_store
from relay.adapters.store_forgetting import KEPT, NUMBERS, PORTION
from relay.adapters.store_tables import metadata
from relay.ports import (
    BookingRequest,
    Entry,
    Kept,
    Message,
    OutcomeSettled,
    OwnerNotice,
    RecordingNoted,
    WriteBegun,
    WriteEnded,
)
from tests.adapters.test_store_contract import (
    CHOSEN,
    ENDED,
    LINE,
    OPENED,
    SPENT,
    START,
    TOOL,
    entry,
    everything,
    rows,
)

PERSON, OTHER = "+14155550123", "+14155550999"
CANARY = "canary-Zq7f"
SAID = replace(LINE, generated_text=f"I am {CANARY}.", heard_text=f"I am {CANARY}.")
DONE = replace(TOOL, status="ok", arguments=f'{{"name":"{CANARY}"}}', output=CANARY)
OVER = replace(ENDED, summary=f"{CANARY} wants a cleaning")
TOLD = OwnerNotice(4.5, "call_1", "booked", f"Cleaning for {CANARY}")
MESSAGE = Message("message", CANARY, "", "Call me.")
TEN = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
#: Tables that hold nothing of a person, and why.
IMPERSONAL = {
    "booking_slots": "times alone; theirs go with the booking",
    "clips": "the agent's own voice",
    "day_budgets": "amounts",
}


def call_of(number: str, call_sid: str, after_s: float = 0) -> list[Entry]:
    records: list[Kept] = [
        replace(OPENED, caller=number),
        SAID,
        DONE,
        replace(CHOSEN, reason="asked_for"),
        OVER,
        SPENT,
        TOLD,
        WriteBegun(f"k_{call_sid}", number, "book_appointment", DONE.arguments, "call_1"),
        WriteEnded(f"k_{call_sid}", "done", CANARY, "booked"),
    ]
    return [entry(record, after_s, call_sid) for record in records]


# ---- a person -------------------------------------------------------------------------------


def test_a_person_is_removed_everywhere_and_nobody_else_is(
    store: SqlStore, database_url: str
) -> None:
    store.write([*call_of(PERSON, "CA1"), *call_of(OTHER, "CA2"), *call_of(PERSON, "CA3")])
    store.claim_stream("n1", "CA1", START)
    for key, phone in (("k1", "415-555-0123"), ("k2", OTHER), ("k3", PERSON)):
        at = TEN + timedelta(hours=int(key[1]))
        store.book(BookingRequest("cleaning", at, CANARY, phone), key, START)
    store.leave(replace(MESSAGE, call_back="(415) 555-0123"), "m1", START)
    store.leave(replace(MESSAGE, phone=OTHER), "m2", START)
    erased = store.erase(PERSON, START)
    assert erased.call_sids == ("CA1", "CA3")
    assert erased.rows == {
        "bookings": 2,
        "booking_slots": 2,
        "booking_writes": 2,
        "messages": 1,
        "notices": 2,
        "call_outcomes": 2,
        "calls": 2,
        "intents": 2,
        "stream_claims": 1,
        "tool_calls": 2,
        "transcripts": 2,
    }
    left = everything(database_url)
    assert [row["call_sid"] for row in left["calls"]] == ["CA2"]
    assert [row["key"] for row in left["bookings"]] == ["k2"]
    assert [row["key"] for row in left["booking_slots"]] == ["k2"]
    assert [row["key"] for row in left["messages"]] == ["m2"]
    assert [row["call_sid"] for row in left["spend"]] == ["CA1", "CA2", "CA3"], "amounts stay"
    assert store.erase(PERSON, START).call_sids == ()


def test_every_table_says_whether_it_holds_anything_of_a_person() -> None:
    """A new table that nobody thought about would keep people whom everybody thinks erased."""
    for name, table in metadata.tables.items():
        personal = "call_sid" in table.c or any(column in table.c for column in NUMBERS)
        assert personal != (name in IMPERSONAL), name
    assert metadata.tables.keys() >= KEPT


@pytest.mark.parametrize(
    ("stored", "same"),
    [
        ("+14155550123", True),
        ("14155550123", True),
        ("4155550123", True),
        ("(415) 555-0123", True),
        ("+1 415.555.0123", True),
        ("+4155550123", False),  # another country's
        ("+24155550123", False),
        ("5550123", False),
        ("", False),
    ],
)
def test_a_number_is_the_same_however_it_is_written(
    store: SqlStore, stored: str, same: bool
) -> None:
    store.book(BookingRequest("cleaning", TEN, "Ann", stored), "k1", START)
    store.erase(PERSON, START)
    assert (store.find("k1") is None) is same


def test_a_number_of_another_country_is_another_person_s(store: SqlStore) -> None:
    """Tampa and Singapore: the last ten digits of the one are all of the other."""
    tampa, singapore = "+16562345678", "+6562345678"
    store.write([*call_of(tampa, "CA1"), *call_of(singapore, "CA2")])
    store.leave(replace(MESSAGE, call_back="+6562345678"), "m1", START)
    assert store.erase(tampa, START).call_sids == ("CA1",)
    assert store.call("CA2") is not None
    assert store.erase(singapore, START).rows["messages"] == 1


def test_a_voicemail_of_an_erased_person_is_to_be_deleted_whenever_it_comes(
    store: SqlStore,
) -> None:
    """What is known, and could not be deleted at once; and what Twilio tells of afterwards."""
    mail = OwnerNotice(1.0, "RE1", "voicemail", f"A message from {PERSON}")
    store.write([*call_of(PERSON, "CA1"), entry(mail, 5), entry(replace(mail, ref="RE2"), 6)])
    store.recording_gone("RE2")
    store.erase(PERSON, START)
    store.write([entry(replace(mail, ref="RE3"), 7)])
    assert [each.recording_sid for each in store.unwanted_recordings()] == ["RE1", "RE3"]
    store.write([entry(RecordingNoted("RE1", "deleted"), 8), entry(mail, 9)])
    assert [each.recording_sid for each in store.unwanted_recordings()] == ["RE3"]


def test_what_comes_late_of_an_erased_call_is_dropped(store: SqlStore, database_url: str) -> None:
    """A spool that is replayed, or a call that was still under way."""
    history = call_of(PERSON, "CA1")
    store.write(history)
    store.erase(PERSON, START)
    store.write([*history, *call_of(OTHER, "CA2")])
    store.write([entry(OutcomeSettled("transferred", ""), 50)])
    left = everything(database_url)
    assert [row["call_sid"] for row in left["calls"]] == ["CA2"]
    assert [row["call_sid"] for row in left["call_outcomes"]] == ["CA2"]
    store.write(call_of(PERSON, "CA4"))
    assert store.call("CA4") is not None, "who calls again is a caller again"


@pytest.mark.parametrize("seed", range(3))
def test_a_person_who_is_erased_while_their_call_is_written_is_gone(
    store: SqlStore, database_url: str, seed: int
) -> None:
    store.write(call_of(PERSON, "CA1")[:1])
    dice = random.Random(seed)
    rest = [e for e in call_of(PERSON, "CA1") if not isinstance(e.record, type(SPENT))]
    lines = [replace(e, record=replace(SAID, item_id=f"i{n}")) for n, e in enumerate(rest * 8)]
    with ThreadPoolExecutor(5) as pool:
        work = [pool.submit(store.write, [each]) for each in [*rest, *lines]]
        work.insert(dice.randrange(len(work)), pool.submit(store.erase, PERSON, START))
        for each in work:
            each.result()
    left = everything(database_url)
    assert CANARY not in repr(left)
    assert left["calls"] == left["transcripts"] == left["call_outcomes"] == []


# ---- words that are too old -----------------------------------------------------------------


def forget(store: SqlStore, before: datetime) -> int:
    total = 0
    while count := store.forget_words(before):
        total += count
    return total


def test_old_words_go_and_the_call_stays(store: SqlStore, database_url: str) -> None:
    store.write([*call_of(PERSON, "CA1"), *call_of(PERSON, "CA2", 3600)])
    assert forget(store, START + timedelta(seconds=1800)) == 5
    left = everything(database_url)
    assert [row["call_sid"] for row in left["transcripts"]] == ["CA2"]
    old, _ = left["tool_calls"]
    assert (old["name"], old["arguments"], old["output"]) == ("lookup_hours", "", "")
    assert [row["summary"] for row in left["call_outcomes"]] == [None, OVER.summary]
    assert [row["outcome"] for row in left["call_outcomes"]] == ["resolved", "resolved"]
    assert [row["output"] for row in left["intents"]] == ["", CANARY]
    assert [row["text"] for row in left["notices"]] == ["", TOLD.text]
    assert len(left["calls"]) == len(left["spend"]) == 2
    assert forget(store, START + timedelta(seconds=1800)) == 0


def test_a_notice_keeps_its_words_only_while_somebody_tries_to_deliver_it(
    database_url: str,
) -> None:
    """When its channel is turned off nobody claims it, and nobody gives it up."""
    with closing(open_store(database_url, channels=lambda _: ["webhook"])) as store:
        store.write(call_of(PERSON, "CA1"))
        until, every = START + timedelta(seconds=60), timedelta(hours=1)
        [notice] = store.claim_notices(
            ["webhook"],
            now=START,
            until=until,
            holder="h",
            limit=9,
            lapsed="pending",
            failed_every=every,
        ).notices
        store.settle_notice(notice, "h", "pending", at=START + timedelta(days=1))
        forget(store, START + timedelta(hours=23))
        assert [row["text"] for row in rows(database_url, "notices")] == [TOLD.text]
        forget(store, START + timedelta(hours=25))
        [row] = rows(database_url, "notices")
        assert (row["text"], row["state"]) == ("", "failed")


def test_recordings_keep_their_words_until_they_are_deleted(
    store: SqlStore, database_url: str
) -> None:
    mail = OwnerNotice(1.0, "RE1", "voicemail", f"A message from {PERSON}")
    store.write([*call_of(PERSON, "CA1"), entry(mail, 5), entry(replace(mail, ref="RE2"), 6)])
    store.write([entry(replace(mail, ref="RE9"), 7, "CA9")])
    assert store.recordings_of(PERSON) == ["RE1", "RE2"]
    later = START + timedelta(days=1)
    assert store.old_recordings(START) == []
    assert store.old_recordings(later) == ["RE1", "RE2", "RE9"]
    forget(store, later)
    assert store.old_recordings(later) == ["RE1", "RE2", "RE9"]
    store.recording_gone("RE1")
    assert store.old_recordings(later) == ["RE2", "RE9"]
    told = {row["ref"]: row["text"] for row in rows(database_url, "notices")}
    assert told == {"call_1": "", "RE1": "", "RE2": mail.text, "RE9": mail.text}


def test_many_old_words_go_in_portions(store: SqlStore, database_url: str) -> None:
    many = PORTION + 50
    store.write([entry(SAID, 0, f"CA{n}") for n in range(many)])
    later = START + timedelta(days=1)
    assert store.forget_words(later) == PORTION
    assert len(rows(database_url, "transcripts")) == 50
    assert forget(store, later) == 50


# ---- in the files ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def sqlite(migrated_sqlite: str) -> Iterator[SqlStore]:
    store = open_store(migrated_sqlite)
    yield store
    store.close()


def traces(folder: Path) -> set[str]:
    """Files that the canary can be read in."""
    return {path.name for path in folder.iterdir() if CANARY.encode() in path.read_bytes()}


def fill(store: SqlStore) -> None:
    for n in range(40):
        store.write(call_of(PERSON if n % 2 else OTHER, f"CA{n}"))


def test_the_canary_can_be_read_before(sqlite: SqlStore, folder: Path) -> None:
    fill(sqlite)
    assert traces(folder)


@pytest.mark.parametrize("how", ["erased", "forgotten"])
def test_nothing_can_be_read_in_the_file_or_its_log(
    sqlite: SqlStore, folder: Path, how: str
) -> None:
    fill(sqlite)
    if how == "erased":
        sqlite.erase(PERSON, START)
        sqlite.erase(OTHER, START)
    else:
        forget(sqlite, START + timedelta(days=1))
    assert sqlite.scrub()
    assert traces(folder) == set()


def test_a_reader_in_the_way_is_told_of(
    sqlite: SqlStore, migrated_sqlite: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite)
    reader = sa.create_engine(migrated_sqlite)
    with reader.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM transcripts").all()
        forget(sqlite, START + timedelta(days=1))
        with sqlite._engine.connect() as ours:
            ours.connection.cursor().execute("PRAGMA busy_timeout=50")
        assert not sqlite.scrub()
        assert traces(folder)
        connection.exec_driver_sql("ROLLBACK")
    reader.dispose()
    assert sqlite.scrub()
    assert traces(folder) == set()


def test_a_server_s_database_scrubs_itself(migrated_postgresql: str) -> None:
    store = open_store(migrated_postgresql)
    assert store.scrub()
    store.close()
