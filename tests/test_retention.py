"""Old words go, hour by hour, whatever the database does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trio

from relay.adapters.store import open_store
from relay.errors import StoreError
from relay.retention import BEGIN_S, LOOK_S, SCRUBS, forget, forget_daily
from tests.adapters.test_store_forgetting import CANARY, PERSON, call_of, traces
from tests.databases import migrated
from tests.fakes import FakePhone

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


async def inline(question: Callable[[], int]) -> int:
    await trio.lowlevel.checkpoint()
    return question()


class Words:
    """A store with so many portions of old words."""

    def __init__(self, *portions: int, readers: int = 0) -> None:
        self.portions = list(portions)
        self.readers = readers
        self.asked: list[datetime] = []
        self.scrubs = 0
        self.away = False
        self.recordings: list[str] = []

    def forget_words(self, before: datetime) -> int:
        self.asked.append(before)
        if self.away:
            raise StoreError("the database is away")
        return self.portions.pop(0) if self.portions else 0

    def old_recordings(self, before: datetime) -> list[str]:
        return self.recordings[:2]

    def recording_gone(self, recording_sid: str) -> None:
        self.recordings.remove(recording_sid)

    def scrub(self) -> bool:
        self.scrubs += 1
        return self.scrubs > self.readers


async def test_all_portions_go_and_then_the_files_are_scrubbed(autojump_clock) -> None:
    store = Words(200, 200, 7, readers=3)
    assert await forget(store, NOW, ask=inline) == 407
    assert store.asked == [NOW] * 4
    assert store.scrubs == 4


async def test_without_old_words_nothing_is_scrubbed(autojump_clock) -> None:
    store = Words()
    assert await forget(store, NOW, ask=inline) == 0
    assert store.scrubs == 0


async def test_readers_that_never_go_are_given_up(autojump_clock) -> None:
    store = Words(1, readers=1000)
    assert await forget(store, NOW, ask=inline) == 1
    assert store.scrubs == SCRUBS


async def test_every_hour_what_is_older_than_the_days_goes(autojump_clock, nursery) -> None:
    store = Words()

    def clock() -> datetime:
        return NOW + timedelta(seconds=trio.current_time() - began)

    began = trio.current_time()
    task = lambda: forget_daily(store, FakePhone(), 30, wall_clock=clock, ask=inline)  # noqa: E731
    nursery.start_soon(task)
    await trio.sleep(BEGIN_S + 2.5 * LOOK_S)
    assert len(store.asked) == 3
    begun = NOW - timedelta(days=30) + timedelta(seconds=BEGIN_S)
    assert store.asked[1] - begun == timedelta(seconds=LOOK_S)
    nursery.cancel_scope.cancel()


async def test_a_database_that_is_away_is_asked_again_an_hour_later(
    autojump_clock, nursery
) -> None:
    store = Words(5)
    store.away = True
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(
            lambda: forget_daily(store, FakePhone(), 30, wall_clock=lambda: NOW, ask=inline)
        )
        await trio.sleep(BEGIN_S + 1)
        store.away = False
        await trio.sleep(LOOK_S)
        nursery.cancel_scope.cancel()
    assert [line["event"] for line in logs] == ["! words not forgotten", "= words forgotten"]
    assert store.portions == []


async def test_recordings_are_deleted_at_twilio_and_tried_again_when_they_are_not(
    autojump_clock, nursery
) -> None:
    store, phone = Words(), FakePhone(gone={"RE2"})
    store.recordings = ["RE1", "RE2", "RE3"]
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(
            lambda: forget_daily(store, phone, 30, wall_clock=lambda: NOW, ask=inline)
        )
        await trio.sleep(BEGIN_S + 1)
        assert (phone.ended, store.recordings) == (["RE1", "RE3"], ["RE2"])
        phone.gone.clear()
        await trio.sleep(LOOK_S)
        assert (phone.ended, store.recordings) == (["RE1", "RE3", "RE2"], [])
        nursery.cancel_scope.cancel()
    events = [line["event"] for line in logs]
    assert events == ["! recording not deleted", "= words forgotten", "= words forgotten"]


async def test_a_hung_database_is_not_waited_for(autojump_clock) -> None:
    async def hung(question: Callable[[], int]) -> int:
        await trio.sleep_forever()
        return 0

    with pytest.raises(trio.TooSlowError):
        await forget(Words(1), NOW, ask=hung)


async def test_expired_words_cannot_be_read_in_the_files(tmp_path: Path) -> None:
    """On the real clock and a real file: the canary is there, then in none of the files."""
    store = open_store(migrated(tmp_path / "relay.db"))
    store.write([entry for n in range(30) for entry in call_of(PERSON, f"CA{n}")])
    assert traces(tmp_path)
    assert await forget(store, NOW) == 150
    assert traces(tmp_path) == set()
    assert CANARY
    store.close()
