"""The queue of notices, on SQLite and on PostgreSQL: enqueued once, claimed by one, never lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from relay.adapters.store import SqlStore, open_store
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_notices import MAX_ERROR_CHARS, MAX_TEXT_CHARS, notice_id
from relay.adapters.store_tables import notices
from relay.errors import StoreError
from relay.ports import (
    CallEnded,
    CallOpened,
    Claimed,
    Entry,
    Notice,
    OutcomeSettled,
    OwnerNotice,
    Settled,
    failed_notice,
)
from relay.shell.notifier import Notifier

START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY = 15 * MINUTE
BOOKED = OwnerNotice(1.0, "call_1", "booked", "Cleaning, Tuesday at ten")
BOTH = ("webhook", "sms_owner")


def entry(record: Any = BOOKED, after_s: float = 0, call_sid: str = "CA1") -> Entry:
    return Entry(call_sid, START + timedelta(seconds=after_s), record)


def channels(kind: str) -> Sequence[str]:
    return BOTH if kind != "flagged" else ("webhook",)


@pytest.fixture
def queue(database_url: str) -> Iterator[SqlStore]:
    store = open_store(database_url, channels=channels)
    yield store
    store.close()


def rows(url: str) -> list[dict[str, Any]]:
    engine = make_engine(parse_url(url))
    with engine.connect() as connection:
        query = sa.select(notices).order_by(notices.c.ref, notices.c.channel)
        found = [dict(row) for row in connection.execute(query).mappings()]
    engine.dispose()
    return found


def claim(
    store: SqlStore,
    after: timedelta = timedelta(0),
    *,
    holder: str = "me",
    wanted: Sequence[str] = BOTH,
    limit: int = 100,
    lapsed: Settled = "pending",
) -> Claimed:
    now = START + after
    return store.claim_notices(
        wanted,
        now=now,
        until=now + MINUTE,
        holder=holder,
        limit=limit,
        lapsed=lapsed,
        failed_every=EVERY,
    )


# ---- enqueued -------------------------------------------------------------------------------


def test_a_notice_is_a_row_for_each_who_is_told(queue: SqlStore, database_url: str) -> None:
    queue.write([entry()])
    first, second = rows(database_url)
    assert [first["channel"], second["channel"]] == ["sms_owner", "webhook"]
    assert first["id"] == second["id"] == notice_id("CA1", "call_1")
    assert first | {"channel": "webhook"} == second
    assert second == {
        "id": second["id"],
        "channel": "webhook",
        "call_sid": "CA1",
        "ref": "call_1",
        "kind": "booked",
        "at": START,
        "text": BOOKED.text,
        "state": "pending",
        "tries": 0,
        "next_at": START,
        "holder": "",
        "settled_at": None,
        "last_error": "",
    }


def test_without_anybody_to_tell_it_is_kept(store: SqlStore, database_url: str) -> None:
    store.write([entry()])
    [row] = rows(database_url)
    assert (row["channel"], row["state"], row["text"]) == ("none", "kept", BOOKED.text)
    assert claim(store, wanted=("none", *BOTH)) == Claimed((), ())


def test_a_record_that_is_stored_again_is_no_second_notice(
    queue: SqlStore, database_url: str
) -> None:
    queue.write([entry(), entry()])
    [held, _] = claim(queue).notices
    queue.settle_notice(held, "me", "sent", at=START)
    queue.write([entry(), entry(OwnerNotice(0.0, "call_1", "booked", "other words"), -9)])
    assert len(rows(database_url)) == 2
    assert {row["text"] for row in rows(database_url)} == {BOOKED.text}
    assert claim(queue) == Claimed((), ())


def test_a_batch_that_fails_leaves_no_notice(queue: SqlStore, database_url: str) -> None:
    naive = Entry("CA2", datetime(2026, 11, 20), BOOKED)  # noqa: DTZ001 - the fault on trial
    with pytest.raises(StoreError):
        queue.write([entry(), naive])
    assert rows(database_url) == []


def test_ids_tell_calls_and_refs_apart() -> None:
    ids = {notice_id(sid, ref) for sid in ("CA1", "CA2", "\ud800") for ref in ("", "1", "call_1")}
    assert len(ids) == 9


def test_a_text_without_end_has_one(queue: SqlStore, database_url: str) -> None:
    queue.write([entry(OwnerNotice(1.0, "x", "message", "a\0" * 9999))])
    assert {len(row["text"]) for row in rows(database_url)} == {MAX_TEXT_CHARS}


# ---- a failed call --------------------------------------------------------------------------


def test_a_hand_over_that_nobody_answered_is_told_once(queue: SqlStore, database_url: str) -> None:
    queue.write([Entry("CA1", START, OutcomeSettled("failed", "human_no-answer"))])
    queue.write([Entry("CA1", START + MINUTE, OutcomeSettled("failed", "human_busy"))])
    told = [row for row in rows(database_url) if row["channel"] == "webhook"]
    assert [(row["kind"], row["ref"], row["at"]) for row in told] == [("failed", "failed", START)]
    assert "human no-answer" in told[0]["text"]


@pytest.mark.parametrize("outcome", ["transferred", "abandoned"])
def test_another_aftermath_is_no_failure(queue: SqlStore, database_url: str, outcome: str) -> None:
    queue.write([Entry("CA1", START + MINUTE, OutcomeSettled(outcome, ""))])
    queue.write([Entry("CA1", START, OutcomeSettled("failed", "an older word"))])
    assert rows(database_url) == []


def test_a_guess_is_a_failure_only_where_nothing_is_known(
    queue: SqlStore, database_url: str
) -> None:
    guess = OutcomeSettled("failed", "ended_without_outcome", guess=True)
    ended = CallEnded(1.0, "resolved", "goodbye", 1000, 5, True)
    queue.write([Entry("CA1", START, ended), Entry("CA1", START + MINUTE, guess)])
    assert rows(database_url) == []
    queue.write([Entry("CA2", START, guess)])
    queue.write([Entry("CA2", START, guess)])
    assert {row["call_sid"] for row in rows(database_url)} == {"CA2"}


# ---- claimed --------------------------------------------------------------------------------


def test_a_claim_says_all_that_is_to_be_told(queue: SqlStore) -> None:
    queue.write([entry(CallOpened(0.5, "MZ1", "+15550100")), entry()])
    [notice] = claim(queue, wanted=["webhook"]).notices
    assert notice == Notice(
        notice_id("CA1", "call_1"), "webhook", "CA1", "booked", START, BOOKED.text, "+15550100", 1
    )


def test_a_notice_may_come_before_its_call(queue: SqlStore) -> None:
    queue.write([entry()])
    assert {notice.caller for notice in claim(queue).notices} == {None}


def test_only_what_is_due_and_asked_for_is_claimed(queue: SqlStore) -> None:
    queue.write([entry(), entry(BOOKED, 30, "CA2")])
    assert [one.call_sid for one in claim(queue, wanted=["webhook"]).notices] == ["CA1"]
    assert [one.channel for one in claim(queue).notices] == ["sms_owner"]


def test_the_oldest_come_first_and_not_more_than_wanted(queue: SqlStore) -> None:
    queue.write([entry(BOOKED, -number, f"CA{number}") for number in range(5)])
    found = claim(queue, wanted=["webhook"], limit=2).notices
    assert [notice.call_sid for notice in found] == ["CA4", "CA3"]


def test_two_claims_never_share_a_notice(database_url: str) -> None:
    """As two processes do: each with connections of its own, at the same moment."""
    stores = [open_store(database_url, channels=channels) for _ in range(4)]
    stores[0].write([entry(BOOKED, 0, f"CA{number}") for number in range(60)])

    def work(number: int) -> list[tuple[str, str]]:
        mine: list[tuple[str, str]] = []
        while found := claim(stores[number], holder=f"p{number}", limit=5).notices:
            mine += [(notice.id, notice.channel) for notice in found]
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = [one for mine in pool.map(work, range(4)) for one in mine]
    for store in stores:
        store.close()
    assert len(taken) == len(set(taken)) == 120


class Posts:
    """A webhook that takes its time."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.enough = trio.Event()

    async def post(self, body: bytes, headers: dict[str, str]) -> None:
        await trio.sleep(0.005)
        self.ids.append(json.loads(body)["id"])
        if len(self.ids) == 40:
            self.enough.set()


async def test_two_notifiers_deliver_each_notice_once(database_url: str) -> None:
    """Each with threads and connections of its own, at the same moment, on the real clock."""
    stores = [open_store(database_url, channels=channels) for _ in range(2)]
    now = datetime.now(UTC) - timedelta(seconds=5)
    stores[0].write([Entry(f"CA{number}", now, BOOKED) for number in range(40)])
    posts = Posts()
    async with trio.open_nursery() as nursery:
        for store in stores:
            # Threads that are waited for, so that none is left with a connection.
            notifier = Notifier(store, webhook=posts, run_sync=trio.to_thread.run_sync)
            nursery.start_soon(notifier.run)
        with trio.fail_after(20):
            await posts.enough.wait()
        nursery.cancel_scope.cancel()
    for store in stores:
        store.close()
    assert sorted(posts.ids) == sorted(notice_id(f"CA{number}", "call_1") for number in range(40))


# ---- gathered -------------------------------------------------------------------------------

TEXTS = ("sms_owner",)


def fail(store: SqlStore, *calls: int, after: timedelta = timedelta(0)) -> None:
    notice = failed_notice(0.0, "model_unreachable")
    store.write([Entry(f"CA{number}", START + after, notice) for number in calls])


def told_at(store: SqlStore, after: timedelta) -> list[tuple[str, int]]:
    """Which calls the owner is texted about now, and how many others with each."""
    found = claim(store, after, wanted=TEXTS).notices
    for notice in found:
        assert store.settle_notice(notice, "me", "sent", at=START + after)
    return [(notice.call_sid, notice.more) for notice in found]


def test_the_first_call_that_fails_is_told_at_once_and_the_next_ones_together(
    queue: SqlStore, database_url: str
) -> None:
    fail(queue, 1)
    assert told_at(queue, timedelta(0)) == [("CA1", 0)]
    for minute in range(1, 15):
        fail(queue, 10 + minute, after=minute * MINUTE)
        assert told_at(queue, minute * MINUTE) == []
    assert told_at(queue, EVERY) == [("CA11", 13)]
    fail(queue, 40, after=16 * MINUTE)
    assert told_at(queue, 2 * EVERY - MINUTE) == []
    assert told_at(queue, 2 * EVERY) == [("CA40", 0)]
    fail(queue, 50, after=5 * EVERY)
    assert told_at(queue, 5 * EVERY) == [("CA50", 0)], "after a while the first is the first again"
    states = Counter(row["state"] for row in rows(database_url) if row["channel"] == "sms_owner")
    assert states == {"sent": 4, "folded": 13}


def test_the_webhook_gets_every_call(queue: SqlStore) -> None:
    fail(queue, *range(20))
    assert [more for _, more in told_at(queue, timedelta(0))] == [19]
    assert len(claim(queue, wanted=["webhook"]).notices) == 20


def test_what_is_in_doubt_and_what_else_there_is_goes_out_by_itself(queue: SqlStore) -> None:
    fail(queue, 1, 2)
    doubt = OwnerNotice(0.0, "call_7", "failed", "Not sure whether this was done")
    queue.write([entry(doubt), entry(BOOKED, call_sid="CA2")])
    assert sorted(more for _, more in told_at(queue, timedelta(0))) == [0, 0, 1]


def test_one_that_could_not_be_sent_speaks_for_those_that_come_meanwhile(
    queue: SqlStore,
) -> None:
    fail(queue, 1)
    [first] = claim(queue, wanted=TEXTS).notices
    queue.settle_notice(first, "me", "pending", at=START + 2 * MINUTE)
    fail(queue, 2, 3, after=MINUTE)
    assert told_at(queue, MINUTE) == []
    assert told_at(queue, 2 * MINUTE) == [("CA1", 2)]


def test_while_one_is_on_its_way_no_other_is_sent(queue: SqlStore) -> None:
    fail(queue, 1)
    [first] = claim(queue, wanted=TEXTS).notices
    fail(queue, 2)
    assert claim(queue, holder="other", wanted=TEXTS).notices == []
    queue.settle_notice(first, "me", "sent", at=START)
    assert told_at(queue, EVERY) == [("CA2", 0)]


def test_one_that_was_refused_counts_as_not_told(queue: SqlStore) -> None:
    fail(queue, 1)
    [first] = claim(queue, wanted=TEXTS).notices
    queue.settle_notice(first, "me", "failed", at=START)
    fail(queue, 2)
    assert told_at(queue, MINUTE) == [("CA2", 0)]


def test_of_processes_that_gather_at_once_one_speaks(queue: SqlStore, database_url: str) -> None:
    fail(queue, *range(30))
    stores = [open_store(database_url, channels=channels) for _ in range(6)]

    def ask(store: SqlStore) -> list[Notice]:
        return list(claim(store, holder=str(id(store)), wanted=TEXTS, limit=2).notices)

    with ThreadPoolExecutor(len(stores)) as threads:
        found = [notice for batch in threads.map(ask, stores) for notice in batch]
    for store in stores:
        store.close()
    assert [notice.more for notice in found] == [29]


# ---- settled --------------------------------------------------------------------------------


def test_what_is_sent_is_not_claimed_again(queue: SqlStore, database_url: str) -> None:
    queue.write([entry()])
    for notice in claim(queue).notices:
        assert queue.settle_notice(notice, "me", "sent", at=START + MINUTE)
    assert claim(queue, 9 * MINUTE) == Claimed((), ())
    assert {row["state"] for row in rows(database_url)} == {"sent"}
    assert {row["settled_at"] for row in rows(database_url)} == {START + MINUTE}


def test_what_was_not_sent_is_due_again_later(queue: SqlStore, database_url: str) -> None:
    queue.write([entry()])
    [notice] = claim(queue, wanted=["webhook"]).notices
    assert queue.settle_notice(notice, "me", "pending", at=START + 3 * MINUTE, error="x" * 999)
    assert claim(queue, 2 * MINUTE, wanted=["webhook"]) == Claimed((), ())
    assert [one.tries for one in claim(queue, 3 * MINUTE, wanted=["webhook"]).notices] == [2]
    assert {len(row["last_error"]) for row in rows(database_url)} == {0, MAX_ERROR_CHARS}


@pytest.mark.parametrize("into", ["pending", "unknown"])
def test_a_holder_that_never_reports_loses_its_notices(
    queue: SqlStore, database_url: str, into: Settled
) -> None:
    queue.write([entry()])
    [notice] = claim(queue, wanted=["webhook"]).notices
    assert claim(queue, 0.5 * MINUTE, wanted=["webhook"], lapsed=into) == Claimed((), ())
    after = claim(queue, MINUTE, holder="other", wanted=["webhook"], lapsed=into)
    assert after.lapsed == [(notice.id, "webhook")]
    assert [one.tries for one in after.notices] == ([2] if into == "pending" else [])
    assert [row["state"] for row in rows(database_url) if row["channel"] == "webhook"] == [
        "sending" if into == "pending" else "unknown"
    ]


def test_a_late_report_counts_unless_somebody_else_holds_it(queue: SqlStore) -> None:
    queue.write([entry()])
    [notice] = claim(queue, wanted=["webhook"]).notices
    [again] = claim(queue, MINUTE, holder="other", wanted=["webhook"]).notices
    assert not queue.settle_notice(notice, "me", "sent", at=START)
    assert queue.settle_notice(again, "other", "sent", at=START)

    [text] = claim(queue, wanted=["sms_owner"]).notices
    claim(queue, MINUTE, holder="other", wanted=["sms_owner"], lapsed="unknown")
    assert queue.settle_notice(text, "me", "sent", at=START + MINUTE)
