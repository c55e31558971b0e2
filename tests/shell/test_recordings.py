"""Wishes and what becomes of them at Twilio: one request after another, and the last one last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
import trio
import trio.testing

from relay.core import events as on
from relay.errors import PhoneControlError, StoreError
from relay.ports import Consented, Entry, RecordingNoted, UnwantedRecording
from relay.shell.recordings import (
    CURRENT,
    PAUSE_S,
    REFUSE_S,
    SWEEP_S,
    CallRecording,
    Recordings,
)
from tests.fakes import FakePhone

LOST = PhoneControlError("no answer", doubtful=True)
GONE = PhoneControlError("over", gone=True)
BROKEN = PhoneControlError("HTTP 500")


@dataclass
class Studio(FakePhone):
    """A Twilio that records, half a second a request. fails: what a request raises."""

    asked: list[str] = field(default_factory=list)
    fails: dict[str, PhoneControlError] = field(default_factory=dict)

    async def _ask(self, request: str, sid: str) -> None:
        await trio.sleep(0.5)
        self.asked.append(f"{request} {sid}")
        if request in self.fails:
            raise self.fails[request]

    async def start_recording(self, call_sid: str, status_url: str) -> str:
        assert status_url == "https://relay.example.com/recording"
        await self._ask("start", call_sid)
        return "RE1"

    async def pause_recording(self, call_sid: str, recording_sid: str) -> None:
        await self._ask("pause", recording_sid)

    async def resume_recording(self, call_sid: str, recording_sid: str) -> None:
        await self._ask("resume", recording_sid)

    async def stop_recording(self, call_sid: str, recording_sid: str) -> None:
        await self._ask("stop", recording_sid)

    async def delete_recording(self, recording_sid: str) -> None:
        await self._ask("delete", recording_sid)


@dataclass
class Desk:
    studio: Studio
    recordings: Recordings
    kept: list[Entry]

    def states(self) -> list[str]:
        return [e.record.state for e in self.kept if isinstance(e.record, RecordingNoted)]


@asynccontextmanager
async def open_desk(**fails: PhoneControlError) -> AsyncIterator[Desk]:
    studio, kept = Studio(fails=fails), list[Entry]()
    url = "https://relay.example.com/recording"
    recordings = Recordings(studio, kept.append, status_url=url)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recordings.run)
        await trio.testing.wait_all_tasks_blocked()
        yield Desk(studio, recordings, kept)
        nursery.cancel_scope.cancel()


async def test_wishes_are_carried_out_one_after_another(autojump_clock) -> None:
    async with open_desk() as desk:
        desk.recordings.start("CA1")
        await trio.sleep(0.1)
        desk.recordings.pause("CA1")
        assert await desk.recordings.silent("CA1")
        assert desk.recordings.consented("CA1") == Consented("stayed", "RE1")
        desk.recordings.resume("CA1")
        assert not await desk.recordings.silent("CA1")
        assert desk.studio.asked == ["start CA1", "pause RE1", "resume RE1"]
        assert desk.states() == ["in-progress"]


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5, 0.7, 3.0])
async def test_a_refusal_is_the_last_thing_that_happens(autojump_clock, after_s: float) -> None:
    async with open_desk() as desk:
        desk.recordings.start("CA1")
        await trio.sleep(after_s)
        desk.recordings.refuse("CA1")
        desk.recordings.start("CA1")
        desk.recordings.resume("CA1")
        assert await desk.recordings.silent("CA1")
        assert desk.recordings.consented("CA1") == Consented("declined")
        started = "start CA1" in desk.studio.asked
        assert desk.studio.asked[-2:] == (["stop RE1", "delete RE1"] if started else [])
        assert desk.states() == (["in-progress", "unwanted", "deleted"] if started else [])


async def test_what_may_run_is_stopped_and_deleted_once_it_has_a_name(autojump_clock) -> None:
    async with open_desk(start=LOST) as desk:
        desk.recordings.start("CA1")
        await trio.sleep(0.1)
        desk.recordings.refuse("CA1")
        await desk.recordings.silent("CA1")
        assert desk.studio.asked == ["start CA1", f"stop {CURRENT}"]
        desk.recordings.heard_of("CA1", RecordingNoted("RE7", "in-progress"))
        desk.recordings.heard_of("CA1", RecordingNoted("RE7", "completed", None, 2, "https://r"))
        await trio.sleep(2)
        assert desk.studio.asked[-1] == "delete RE7"
        assert desk.states()[-1] == "deleted"


@pytest.mark.parametrize(("fails", "silent"), [({"pause": BROKEN}, False), ({"pause": GONE}, True)])
async def test_a_pause_that_does_not_hold_says_so(autojump_clock, fails, silent: bool) -> None:
    async with open_desk(**fails) as desk:
        desk.recordings.start("CA1")
        await desk.recordings.silent("CA1")
        desk.recordings.pause("CA1")
        assert await desk.recordings.silent("CA1") is silent
        assert desk.studio.asked == ["start CA1", "pause RE1"]


async def test_what_cannot_be_resumed_stays_paused(autojump_clock) -> None:
    async with open_desk(resume=BROKEN) as desk:
        desk.recordings.start("CA1")
        await trio.sleep(0.1)
        desk.recordings.pause("CA1")
        await desk.recordings.silent("CA1")
        desk.recordings.resume("CA1")
        assert await desk.recordings.silent("CA1")
        assert desk.studio.asked.count("resume RE1") == 1


async def test_what_was_not_started_is_not_paused_nor_deleted(autojump_clock) -> None:
    async with open_desk(start=BROKEN) as desk:
        desk.recordings.start("CA1")
        await trio.sleep(0.1)
        desk.recordings.pause("CA1")
        assert await desk.recordings.silent("CA1")
        desk.recordings.refuse("CA1")
        await trio.sleep(PAUSE_S)
        assert desk.studio.asked == ["start CA1"]
        assert desk.states() == []


async def test_a_recording_of_another_process_is_taken_over(autojump_clock) -> None:
    async with open_desk() as desk:
        desk.recordings.adopt("CA1", "RE5")
        desk.recordings.refuse("CA1")
        await desk.recordings.silent("CA1")
        assert desk.studio.asked == ["stop RE5", "delete RE5"]


@pytest.mark.parametrize(
    ("takes_s", "waited_s", "warned"),
    [(0.0, 0.0, False), (1.5, 1.5, False), (60.0, REFUSE_S, True)],
)
async def test_a_refusal_is_answered_once_it_is_safe_or_late(
    autojump_clock, takes_s: float, waited_s: float, warned: bool
) -> None:
    fed: list[on.Event] = []

    async def flushed() -> None:
        assert fed == [on.RecordingRefused()], "it holds before anybody waits"
        await trio.sleep(takes_s)

    async with open_desk() as desk:
        ours = CallRecording(desk.recordings, "CA1", fed.append, flushed)
        began = trio.current_time()
        with structlog.testing.capture_logs() as logs:
            await ours.refuse()
        assert trio.current_time() - began == pytest.approx(waited_s)
        assert [line["log_level"] for line in logs] == ["warning"] * warned


@dataclass
class Wardrobe:
    """What a store says must go."""

    left: list[UnwantedRecording] = field(default_factory=list)
    asked: int = 0

    def unwanted_recordings(self) -> list[UnwantedRecording]:
        self.asked += 1
        if self.asked == 1:
            raise StoreError("away")
        return self.left

    def consented(self, call_sid: str) -> Consented:
        return Consented()


async def test_what_must_go_is_deleted_sooner_or_later(autojump_clock) -> None:
    store = Wardrobe([UnwantedRecording("CA1", "RE1")])

    async def ask(question, _within_s):
        return question()

    async with open_desk() as desk, trio.open_nursery() as nursery:
        desk.studio.fails["delete"] = BROKEN
        nursery.start_soon(desk.recordings.sweep, store, ask)
        await trio.sleep(2.5 * SWEEP_S)
        assert desk.states() == []
        del desk.studio.fails["delete"]
        await trio.sleep(SWEEP_S)
        assert desk.states() == ["deleted"]
        nursery.cancel_scope.cancel()
