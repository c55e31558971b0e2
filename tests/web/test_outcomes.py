"""Late outcomes, under a jumping clock and with a store that runs inline."""

from collections.abc import Callable
from datetime import datetime

import trio

from relay.web import outcomes as module
from relay.web.outcomes import Outcomes
from tests.fakes import FakeStore


async def inline(write: Callable[[], None]) -> None:
    await trio.lowlevel.checkpoint()
    write()


async def at_once() -> None:
    await trio.lowlevel.checkpoint()


def make(store: FakeStore, flushed=at_once, run_sync=inline) -> Outcomes:
    return Outcomes(store, journal_flushed=flushed, run_sync=run_sync)


async def test_outcomes_are_written_in_order(autojump_clock, nursery) -> None:
    store = FakeStore()
    outcomes = make(store)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "failed", "human_busy")
    outcomes.note("CA1", "transferred")
    outcomes.note("CA2", "abandoned", only_if_none=True)
    await outcomes.written()
    assert store.rows["CA1"].outcome == "transferred"
    assert "CA2" not in store.rows, "a guess about an unknown call writes nothing"
    outcomes.note("CA1", "failed")
    await outcomes.written()
    assert store.rows["CA1"].outcome == "failed"
    await outcomes.written()


async def test_the_journal_goes_first_but_not_for_ever(autojump_clock, nursery) -> None:
    store = FakeStore()

    async def never() -> None:
        await trio.sleep_forever()

    outcomes = make(store, flushed=never)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "transferred")
    started = trio.current_time()
    await outcomes.written()
    assert trio.current_time() - started == module.JOURNAL_S


async def test_a_guess_waits_for_the_journal_as_long_as_it_takes(autojump_clock, nursery) -> None:
    store, journal = FakeStore(), trio.Event()
    store.change("CA1", caller="+14155550123")
    outcomes = make(store, flushed=journal.wait)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "failed", "no_outcome", only_if_none=True)
    await trio.sleep(60)
    store.change("CA1", outcome="booked")
    journal.set()
    await outcomes.written()
    assert store.rows["CA1"].outcome == "booked"


async def test_a_store_that_is_away_gets_them_when_it_is_back(autojump_clock, nursery) -> None:
    store = FakeStore(away=True)
    outcomes = make(store)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "transferred")
    outcomes.note("CA2", "failed", "human_busy")
    await trio.sleep(60)
    assert outcomes.depth() == 2
    store.away = False
    await outcomes.written()
    assert {sid: row.outcome for sid, row in store.rows.items()} == {
        "CA1": "transferred",
        "CA2": "failed",
    }


async def test_a_store_that_hangs_does_not_hold_the_task(autojump_clock, nursery) -> None:
    store, attempts = FakeStore(), []

    async def sometimes_hung(write: Callable[[], None]) -> None:
        attempts.append(trio.current_time())
        if len(attempts) == 1:
            await trio.sleep_forever()
        write()

    outcomes = make(store, run_sync=sometimes_hung)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "transferred")
    await outcomes.written()
    assert attempts[1] - attempts[0] == module.WRITE_S + module.RETRY_S[0]


async def test_a_full_queue_loses_its_oldest(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    outcomes = make(FakeStore())
    for number in range(5):
        outcomes.note(f"CA{number}", "failed")
    assert outcomes.depth() == 3


async def test_times_are_utc(nursery) -> None:
    seen: list[datetime] = []

    class Watching(FakeStore):
        def set_outcome(self, call_sid: str, at: datetime, outcome: str, reason: str) -> None:
            seen.append(at)

    outcomes = Outcomes(Watching(), journal_flushed=at_once)
    nursery.start_soon(outcomes.run)
    outcomes.note("CA1", "failed")
    with trio.fail_after(3):
        await outcomes.written()
    assert seen[0].utcoffset().total_seconds() == 0
