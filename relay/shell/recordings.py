"""Recordings at Twilio: one object a process, which the calls and the webhooks meet at.

    a call ── start, pause, resume, refuse ──▶ a wish ─▶ REST, one request after another
    Twilio ── in-progress, completed, absent ──▶ webhook ─▶ row

A call only wishes: `on`, `paused` or `refused`. One task a call brings the recording there, step by
step, and looks after each what is wished by now; so a pause that is asked for while the start is
still under way comes behind it, and a refusal is the last thing that happens. Nothing of this is
waited for by the call's core, and whatever fails disturbs no call: it is logged, and stays on the
safe side. A pause that does not take hold says so; a recording that cannot be resumed stays paused.

What is to be deleted is written down first (`unwanted`), so that another process, or this one at
another time, deletes what could not be deleted at once: `sweep` looks for such recordings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import structlog
import trio

from relay.core import events as on
from relay.errors import PhoneControlError, StoreError
from relay.ports import (
    Consented,
    Entry,
    PhoneControl,
    RecordingNoted,
    RecordingState,
    RecordingStore,
    UnwantedRecording,
)

log = structlog.get_logger("relay.recordings")

#: Twilio's name for whatever of a call is being recorded, for when an answer was lost.
CURRENT: Final = "Twilio.CURRENT"
# A start that is under way, and then the pause: each has tries of its own.
PAUSE_S: Final = 8.0
# A database that is away costs a second (journal.DIRECT_S), then there is the spool. The caller
# waits for it, and the model is told "pending" a second later (core/policy.py).
REFUSE_S: Final = 2.0
SWEEP_S: Final = 60.0
ASK_S: Final = 10.0
MAX_REMEMBERED: Final = 10_000

Wish: TypeAlias = Literal["on", "paused", "refused"]
State: TypeAlias = Literal["none", "on", "paused", "over"]
Feed = Callable[[on.Event], None]
Ask: TypeAlias = Callable[[Callable[[], Any], float], Awaitable[Any]]


@dataclass(eq=False, slots=True)
class _Take:
    """One call's recording. sid: "" before it began; at_work: a task brings it to its wish."""

    call_sid: str
    wish: Wish = "on"
    state: State = "none"
    sid: str = ""
    at_work: bool = False
    settled: trio.Event = field(default_factory=trio.Event)


class Recordings:
    """All recordings that this process starts, and those that its webhooks hear of."""

    def __init__(
        self,
        control: PhoneControl,
        keep: Callable[[Entry], None],
        *,
        status_url: str,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """keep: the journal's; status_url: the public URL of the recordings' webhook."""
        self._control = control
        self._keep = keep
        self._status_url = status_url
        self._wall_clock = wall_clock
        self._nursery: trio.Nursery | None = None
        self._takes: OrderedDict[str, _Take] = OrderedDict()

    async def run(self) -> None:
        """Carry out what calls wish, for ever."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    # ---- for the calls ----------------------------------------------------------------------

    def start(self, call_sid: str) -> None:
        """Record a call from now on."""
        self._wish(self._take(call_sid), "on")

    def adopt(self, call_sid: str, recording_sid: str) -> None:
        """A recording that runs already, of a call that goes on here."""
        take = self._take(call_sid)
        if not take.sid:
            take.sid, take.state = recording_sid, "on"

    def pause(self, call_sid: str) -> None:
        self._wish(self._take(call_sid), "paused")

    def resume(self, call_sid: str) -> None:
        self._wish(self._take(call_sid), "on")

    def refuse(self, call_sid: str) -> None:
        """Stop and delete, for good."""
        self._wish(self._take(call_sid), "refused")

    async def silent(self, call_sid: str) -> bool:
        """Wait until all wishes have been carried out. Whether nothing is recorded now."""
        take = self._takes.get(call_sid)
        if take is None:
            return True
        with trio.move_on_after(PAUSE_S):
            while take.at_work:
                await take.settled.wait()
        return take.state != "on"

    def consented(self, call_sid: str) -> Consented | None:
        """How a call of this process stands with being recorded; None: nothing is known."""
        take = self._takes.get(call_sid)
        if take is None:
            return None
        if take.wish == "refused":
            return Consented("declined")
        return Consented("stayed", take.sid if take.state in ("on", "paused") else "")

    # ---- for the webhook --------------------------------------------------------------------

    def heard_of(self, call_sid: str, noted: RecordingNoted) -> None:
        """Twilio tells of a recording; twice, maybe, and not in order."""
        self._note(call_sid, noted)
        take = self._takes.get(call_sid)
        if take is None:
            return
        take.sid = noted.recording_sid if take.sid in ("", CURRENT) else take.sid
        if noted.state in ("completed", "absent"):
            take.state = "over"
        if take.wish == "refused":
            self._note(call_sid, RecordingNoted(noted.recording_sid, "unwanted"))
            if noted.state == "completed" and self._nursery is not None:
                self._nursery.start_soon(self._delete, call_sid, noted.recording_sid)

    # ---- what was refused or erased elsewhere, or could not be deleted ----------------------

    async def sweep(self, store: RecordingStore, ask: Ask) -> None:
        """Delete what must go, for ever."""
        while True:
            await trio.sleep(SWEEP_S)
            try:
                found: Sequence[UnwantedRecording] = await ask(store.unwanted_recordings, ASK_S)
            except StoreError as error:
                log.warning("! recordings not looked for", error=str(error))
                continue
            for each in found:
                await self._delete(each.call_sid, each.recording_sid)

    # ---- carrying it out --------------------------------------------------------------------

    def _take(self, call_sid: str) -> _Take:
        take = self._takes.setdefault(call_sid, _Take(call_sid))
        self._takes.move_to_end(call_sid)
        while len(self._takes) > MAX_REMEMBERED:
            self._takes.popitem(last=False)
        return take

    def _wish(self, take: _Take, wish: Wish) -> None:
        if take.wish == "refused":
            return
        take.wish = wish
        if not take.at_work and self._nursery is not None:
            take.at_work, take.settled = True, trio.Event()
            self._nursery.start_soon(self._work, take)

    async def _work(self, take: _Take) -> None:
        while (step := self._step(take)) is not None:
            await step(take)
        take.at_work = False
        take.settled.set()

    def _step(self, take: _Take) -> Callable[[_Take], Awaitable[None]] | None:
        """What brings a recording nearer to its wish; None: it is there."""
        match take.state, take.wish:
            case "none", "on":
                return self._begin
            case "on", "paused":
                return self._pause
            case "paused", "on":
                return self._resume
            case (("on" | "paused"), "refused"):
                return self._drop
        return None

    async def _begin(self, take: _Take) -> None:
        try:
            take.sid = await self._control.start_recording(take.call_sid, self._status_url)
        except PhoneControlError as error:
            log.warning("! not recorded", call_sid=take.call_sid, error=str(error))
            # It may run all the same: then its webhook will say under which name.
            take.sid = take.sid or (CURRENT if error.doubtful else "")
            take.state = "on" if error.doubtful else "over"
            return
        take.state = "on"
        self._note(take.call_sid, RecordingNoted(take.sid, "in-progress"))

    async def _pause(self, take: _Take) -> None:
        try:
            await self._control.pause_recording(take.call_sid, take.sid)
        except PhoneControlError as error:
            log.warning("! recording not paused", call_sid=take.call_sid, error=str(error))
            if error.gone:
                take.state = "over"
            elif take.wish == "paused":
                take.wish = "on"
        else:
            take.state = "paused" if take.state == "on" else take.state

    async def _resume(self, take: _Take) -> None:
        try:
            await self._control.resume_recording(take.call_sid, take.sid)
        except PhoneControlError as error:
            log.warning("! recording stays paused", call_sid=take.call_sid, error=str(error))
            if error.gone:
                take.state = "over"
            elif take.wish == "on":
                take.wish = "paused"
        else:
            take.state = "on" if take.state == "paused" else take.state

    async def _drop(self, take: _Take) -> None:
        if take.sid != CURRENT:
            self._note(take.call_sid, RecordingNoted(take.sid, "unwanted"))
        try:
            await self._control.stop_recording(take.call_sid, take.sid)
        except PhoneControlError as error:
            if not error.gone:
                log.warning("! recording not stopped", call_sid=take.call_sid, error=str(error))
        take.state = "over"
        if take.sid != CURRENT:
            await self._delete(take.call_sid, take.sid)

    async def _delete(self, call_sid: str, recording_sid: str) -> None:
        try:
            await self._control.delete_recording(recording_sid)
        except PhoneControlError as error:
            log.warning("! recording not deleted yet", call_sid=call_sid, error=str(error))
            return
        log.info("= recording deleted", call_sid=call_sid, recording=recording_sid)
        self._note(call_sid, RecordingNoted(recording_sid, "deleted"))

    def _note(self, call_sid: str, noted: RecordingNoted) -> None:
        self._keep(Entry(call_sid, self._wall_clock(), noted))


class CallRecording:
    """A ports.RecordingDesk: one call's functions, and what they want of its core."""

    def __init__(
        self,
        recordings: Recordings,
        call_sid: str,
        feed: Feed,
        flushed: Callable[[], Awaitable[None]],
    ) -> None:
        """flushed: waits until all that was kept so far would outlive the process; the journal's"""
        self._recordings = recordings
        self._flushed = flushed
        self._call_sid = call_sid
        self._feed = feed

    async def pause(self) -> bool:
        self._feed(on.PauseAsked())
        return await self._recordings.silent(self._call_sid)

    def resume(self) -> None:
        self._feed(on.ResumeAsked())

    async def refuse(self) -> None:
        self._feed(on.RecordingRefused())
        with trio.move_on_after(REFUSE_S) as scope:
            await self._flushed()
        if scope.cancelled_caught:
            log.warning("! a refusal is not written down yet", call_sid=self._call_sid)


def recording_state(word: str) -> RecordingState | None:
    """Twilio's word for a recording's state, if it is one that is noted."""
    match word:
        case "in-progress" | "completed" | "absent":
            return word
        case _:
            return None
