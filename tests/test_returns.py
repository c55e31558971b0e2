"""What follows a stream that ended, in any process: the table of it, and what is told next."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import trio

from relay.core.events import CallResumed
from relay.core.records import CallOpened, DispositionChosen, SpendAdded, TranscriptLine
from relay.errors import StoreError
from relay.ports import Entry, Standing
from relay.returns import Returns, _chosen, comes_back
from tests.fakes import FakeStore, ask_inline

START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC).timestamp()


pytestmark = pytest.mark.usefixtures("autojump_clock")


class Place:
    """Processes on one store and one clock: each question comes to another of them."""

    def __init__(self, *, stream: bool = True) -> None:
        self.store, self.now = FakeStore(), START
        self.keep(CallOpened(0.0, "MZ1" if stream else "", "+15550001"))

    def keep(self, record: object) -> None:
        at = datetime.fromtimestamp(self.now, UTC)
        self.store.write([Entry("CA1", at, record)])  # type: ignore[arg-type]

    def choose(self, disposition: str, *, ahead_s: float = 0.0) -> None:
        """By the call's last stream, on a machine whose clock is ahead of the others'."""
        self.now += ahead_s
        self.keep(DispositionChosen(0.0, disposition, returns=self.store.came_back("CA1")))
        self.now -= ahead_s

    def process(self) -> Returns:
        return Returns(self.store, ask_inline, Counter(), lambda: self.now, "large")

    async def follows(self, *, broke_here: bool = False, here: bool = True) -> str:
        self.now += 1
        return await self.process().follows("CA1", broke_here=broke_here, here=here)


@pytest.mark.parametrize("chosen", ["hang_up", "join", "voicemail", "fallback"])
async def test_what_was_chosen_is_done_however_often_it_is_asked(chosen: str) -> None:
    place = Place()
    place.choose(chosen)
    assert [await place.follows() for _ in range(3)] == [chosen] * 3


async def test_a_call_that_moved_comes_back_once_for_each_move() -> None:
    place = Place()
    for _ in range(3):
        place.now += 1
        place.choose("resume")
        assert await place.follows() == "moved"


async def test_a_stream_that_breaks_after_a_move_is_no_second_move() -> None:
    place = Place()
    place.choose("resume")
    assert await place.follows() == "moved"
    assert await place.follows() == "broke"
    assert await place.follows() == "fallback"
    place.now += 60
    assert await place.follows() == "broke", "a minute later it may break again"


async def test_what_was_chosen_before_a_return_is_history() -> None:
    place = Place()
    place.choose("join")
    place.now += 1
    await place.process().note("human_dropped", "CA1")
    assert await place.follows() == "broke"
    place.now += 1
    place.choose("hang_up")
    assert await place.follows() == "hang_up"


@pytest.mark.parametrize("ahead_s", [30.0, -30.0])
async def test_what_is_history_does_not_depend_on_the_machines_clocks(ahead_s: float) -> None:
    place = Place()
    place.choose("resume", ahead_s=ahead_s)
    assert await place.follows() == "moved"
    assert await place.follows() == "broke", "what was chosen before is no second move"
    place.now += 5
    place.choose("hang_up", ahead_s=ahead_s)
    assert await place.follows() == "hang_up"


@pytest.mark.parametrize(("after", "chosen"), [(-1, None), (0, None), (1, "hang_up")])
def test_of_a_version_that_did_not_count_the_clocks_decide(after: int, chosen: str | None) -> None:
    back = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    at = back + timedelta(seconds=after)
    assert _chosen(Standing(True, "hang_up", at, (("broke", back),))) == chosen


async def test_what_another_process_has_chosen_is_waited_for_a_moment() -> None:
    """Its stream is closed, and Twilio asks, before its journal has written why."""
    place = Place()
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            await trio.sleep(0.1)
            place.choose("hang_up")

        nursery.start_soon(write)
        assert await place.follows() == "hang_up"


async def test_a_call_that_was_never_connected_does_not_come_back() -> None:
    place = Place(stream=False)
    assert await place.follows() == "fallback"
    assert await place.follows(broke_here=True) == "broke", "its row is late, its stream was not"


async def test_a_call_that_moves_for_ever_goes_to_a_human() -> None:
    place = Place()
    found = []
    for _ in range(10):
        place.now += 1
        place.choose("resume")
        found.append(await place.follows())
    assert found == ["moved"] * 8 + ["fallback"] * 2


async def test_a_process_that_ends_takes_nobody_and_leaves_the_return_to_others() -> None:
    place = Place()
    place.choose("resume")
    assert await place.follows(here=False) == "fallback"
    assert await place.follows() == "moved"


async def test_of_two_that_are_asked_at_once_one_brings_it_back() -> None:
    place = Place()
    place.choose("resume")
    standing = place.store.standing("CA1")
    assert standing is not None
    claims = [await place.process()._claim("moved", "CA1", standing) for _ in range(2)]
    assert claims == [True, False]


async def test_without_the_store_only_a_stream_that_broke_here_is_followed_by_another() -> None:
    place = Place()
    place.store.away = True
    assert await place.follows(broke_here=True) == "broke"
    with pytest.raises(StoreError):
        await place.follows()
    with pytest.raises(StoreError):
        await place.follows(broke_here=True, here=False)
    story = await place.process().story("CA1", journal_flushed=_nothing)
    assert story == CallResumed(returns=1), "at least this one"


async def test_the_story_of_a_call() -> None:
    place = Place()
    place.keep(TranscriptLine(0.0, "clip_greeting_1", "agent", 1, "Hello!", "Hello!", 900))
    place.keep(TranscriptLine(0.0, "u1", "caller", 2, "Nine?", "Nine?"))
    place.keep(TranscriptLine(0.0, "a1", "agent", 3, "Yes.", "", 0, True))
    place.keep(SpendAdded(0.0, "r1", "response", 700, "m"))
    place.now += 42
    story = await place.process().story("CA1", journal_flushed=_nothing)
    lines = (("assistant", "Hello!"), ("user", "Nine?"))
    assert story == CallResumed(lines, 700, 42.0, 1)
    assert await place.process().story("CA2", journal_flushed=_nothing) == CallResumed(returns=1)
    place.choose("resume")
    assert await place.follows() == "moved"
    assert (await place.process().story("CA1", journal_flushed=_nothing)).returns == 1


async def test_a_call_that_had_gone_to_the_larger_model_goes_on_with_it() -> None:
    place = Place()
    place.keep(SpendAdded(0.0, "r1", "response", 700, "small"))
    assert not (await place.process().story("CA1", journal_flushed=_nothing)).hard
    place.keep(SpendAdded(1.0, "r2", "response", 900, "large"))
    assert (await place.process().story("CA1", journal_flushed=_nothing)).hard


def test_only_returns_are_streams() -> None:
    assert [comes_back(what) for what in ("moved", "broke", "hang_up", "fallback")] == [
        True,
        True,
        False,
        False,
    ]


async def _nothing() -> None: ...
