"""What has no end, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from relay.adapters.store import SqlStore
from relay.core.records import CallEnded, CallOpened
from relay.ports import Attempt, Entry, OpenCall, OutcomeSettled

AT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_calls_without_an_outcome_oldest_first(store: SqlStore) -> None:
    for n, call_sid in enumerate(("CAold", "CAnew", "CAended", "CAguessed", "CAlate")):
        opened = CallOpened(0.0, "MZ1" if n % 2 else "", "+15550001")
        store.write([Entry(call_sid, AT + n * timedelta(minutes=1), opened)])
    ended = CallEnded(1.0, "answered", "", 1000, None, True)
    store.write([Entry("CAended", AT, ended)])
    store.write([Entry("CAguessed", AT, OutcomeSettled("failed", "", guess=True))])
    before = AT + timedelta(minutes=4)
    assert store.open_calls(AT, before, 10) == [
        OpenCall("CAold", AT, False),
        OpenCall("CAnew", AT + timedelta(minutes=1), True),
    ]
    assert [each.call_sid for each in store.open_calls(AT, before, 1)] == ["CAold"]
    assert [each.call_sid for each in store.open_calls(AT + HOUR / 60, before, 9)] == ["CAnew"]


def test_tries_that_stand_still_short_of_a_conversation(store: SqlStore) -> None:
    states = ("ringing", "answered", "accepted", "joined", "over", "lost")
    for n, state in enumerate(states):
        moment = AT + timedelta(seconds=n)
        store.open_attempt(Attempt(state, "CA1", "", state, "", "CAleg", "", AT, moment))
    assert [each.state for each in store.open_legs(AT, AT + HOUR, 9)] == list(states[:3])
    assert [each.state for each in store.open_legs(AT, AT + timedelta(seconds=1), 9)] == ["ringing"]
    assert len(store.open_legs(AT, AT + HOUR, 2)) == 2
