"""A call that goes on elsewhere, on both databases: where it stands, and what it has come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from relay.adapters.store import SqlStore
from relay.adapters.store_engine import make_engine, parse_url
from relay.core.records import (
    CallOpened,
    ConsentNoted,
    DispositionChosen,
    OwnerNotice,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
)
from relay.ports import CallPast, Entry, Standing, WriteBegun, WriteEnded
from relay.ports.returns import MAX_RETURNS, return_nonce

AT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
LATER = AT + timedelta(seconds=30)


def at(moment: datetime, record: object, call_sid: str = "CA1") -> Entry:
    return Entry(call_sid, moment, record)  # type: ignore[arg-type]


def test_where_a_call_stands(store: SqlStore) -> None:
    assert store.standing("CA1") is None
    store.write([at(AT, CallOpened(0.0, "", "+15550001"))])
    assert store.standing("CA1") == Standing(False, None, None)
    store.write([at(AT, CallOpened(0.0, "MZ1", "+15550001"))])
    store.write([at(LATER, DispositionChosen(1.0, "resume", "moved"))])
    assert store.standing("CA1") == Standing(True, "resume", LATER, chosen_after=0)


def test_a_later_stream_s_choice_stays_whatever_its_machine_s_clock_says(store: SqlStore) -> None:
    first = at(LATER, DispositionChosen(1.0, "resume", "moved"))
    second = at(AT, DispositionChosen(2.0, "hang_up", "goodbye", returns=1))
    for order in ([first, second], [second, first], [first, second, first]):
        for entry in order:
            store.write([entry])
        assert store.standing("CA1") == Standing(False, "hang_up", AT, chosen_after=1)


def test_a_choice_of_a_version_that_did_not_count_yields_to_one_that_does(
    store: SqlStore, database_url: str
) -> None:
    store.write([at(AT, DispositionChosen(1.0, "resume", "moved"))])
    with make_engine(parse_url(database_url), poolclass=NullPool).begin() as connection:
        connection.execute(sa.text("UPDATE calls SET disposition_returns = NULL"))
    assert store.standing("CA1") == Standing(False, "resume", AT)
    store.write([at(LATER, DispositionChosen(1.0, "hang_up", "goodbye", returns=1))])
    assert store.standing("CA1") == Standing(False, "hang_up", LATER, chosen_after=1)


def test_the_ringing_that_another_process_writes_late_takes_no_stream_away(
    store: SqlStore,
) -> None:
    ringing = at(AT, CallOpened(0.0, "", "+15550001", "+15559990000"))
    stream = at(LATER, CallOpened(1.0, "MZ1", "+15550001", "+15559990000"))
    again = at(LATER + timedelta(seconds=60), CallOpened(61.0, "MZ2", "+15550001", "+15559990000"))
    found = []
    for number, order in enumerate(permutations([ringing, stream, again])):
        call_sid = f"CA{number}"
        for entry in order:
            store.write([Entry(call_sid, entry.at, entry.record)])
        standing, row = store.standing(call_sid), store.call(call_sid)
        assert standing is not None
        assert row is not None
        found.append((standing.had_stream, row.started_at, row.caller))
    assert set(found) == {(True, LATER, "+15550001")}


def test_returns_are_claimed_once_and_told_in_order(store: SqlStore) -> None:
    store.write([at(AT, CallOpened(0.0, "MZ1")), at(AT, CallOpened(0.0, "MZ2"), "CA2")])
    second, first = return_nonce("moved", "CA1", 1), return_nonce("broke", "CA1", 1)
    assert store.claim_stream(second, "CA1", LATER)
    assert not store.claim_stream(second, "CA1", LATER)
    assert store.claim_stream(first, "CA1", AT)
    assert store.claim_stream("a token's nonce", "CA1", LATER)
    assert store.claim_stream(return_nonce("broke", "CA1", MAX_RETURNS), "CA1", LATER)
    assert [store.claimed(nonce) for nonce in (first, "no token's")] == [True, False]
    standing = store.standing("CA1")
    assert standing is not None
    assert standing.returns[0] == ("broke", AT)
    assert sorted(standing.returns[1:]) == [("broke", LATER), ("moved", LATER)]
    other = store.standing("CA2")
    assert other is not None
    assert other.returns == ()


def test_what_a_call_has_come_to(store: SqlStore) -> None:
    assert store.past("CA1") is None
    key = "CA1:book"
    store.write(
        [
            at(LATER, CallOpened(9.0, "MZ2", "+15550001")),
            at(AT, CallOpened(0.0, "MZ1", "+15550001")),
            at(AT, TranscriptLine(0.0, "item_2", "agent", 3, "Nine, or ten.", "Nine,", 500, True)),
            at(AT, TranscriptLine(0.0, "clip_greeting_1", "agent", 1, "Hello!", "Hello!", 900)),
            at(AT, TranscriptLine(0.0, "item_1", "caller", 2, "When?", "When?")),
            at(LATER, ToolCalled(0.0, "c2", "book", '{"at":9}', "running")),
            at(AT, ToolCalled(0.0, "c1", "hours", "{}", "ok", '{"from":9}', 20)),
            at(AT, SpendAdded(0.0, "r1", "response", 700, "m")),
            at(AT, SpendAdded(0.0, "phone_MZ1", "phone", 50)),
            at(AT, WriteBegun(key, "+15550001", "book", "{}", "c0")),
            at(AT, WriteEnded(key, "done", "{}", "booked")),
            at(AT, OwnerNotice(0.0, "c0", "booked", "A cleaning")),
            at(AT, OwnerNotice(0.0, "failed", "failed", "Went wrong")),
            at(AT, TranscriptLine(0.0, "item_9", "caller", 1, "Other", "Other"), "CA2"),
        ]
    )
    assert store.past("CA1") == CallPast(
        AT,
        (("agent", "Hello!"), ("caller", "When?"), ("agent", "Nine,")),
        1,
        (("hours", "{}", "ok", '{"from":9}'), ("book", '{"at":9}', "running", "")),
        ("booked",),
        ("A cleaning",),
        750,
        frozenset({"m"}),
    )


def test_what_the_owner_was_told_last_stands_last(store: SqlStore) -> None:
    """There and back and there again: each text once, by its last time."""
    store.write([at(AT, CallOpened(0.0, "MZ1"))])
    for number, text in enumerate(["to ten", "to nine", "to ten"]):
        noted = OwnerNotice(0.0, f"c{number}", "changed", text)
        store.write([at(AT + timedelta(seconds=number), noted)])
    past = store.past("CA1")
    assert past is not None
    assert past.notices == ("to nine", "to ten")


def test_how_a_call_began_is_known_when_it_comes_back(store: SqlStore) -> None:
    begun = ConsentNoted(0.0, "always", "US", "CA", "TX", True, "ab" * 32, None, "hung_up_before")
    heard = replace(begun, at=4.0, heard_at=4.0, answer="stayed", greeting_ms=310)
    later = replace(begun, at=60.0, answer="declined")
    assert store.claim_stream(return_nonce("broke", "CA1", 1), "CA1", LATER)
    for order in permutations([begun, heard, later]):
        store.write([at(AT, CallOpened(0.0, "MZ1")), *(at(AT, record) for record in order)])
        past = store.past("CA1")
        assert past is not None
        assert (past.greeting_ms, past.returns) == (310, 1)
