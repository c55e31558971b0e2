"""Humans who are rung for calls: one object a process, which the calls and the webhooks meet at.

    a call's tool ── ring ──▶ REST: place a leg ──▶ Twilio ── screen, key, status ──▶ webhooks
         ▲ HumanRinging, HumanAccepted, HumanLost                                        │
         └──────────────────────────────────── Humans ◀──────────────────────────────────┘

A leg is a call of its own: the human hears what it is about and presses a key, and only then are
both put into a room. The room's name follows from the CallSid and a secret, so that every process
knows it and nobody else can guess it.

A webhook may reach another process than the one whose call it is about. What it says is written to
the store as a step that only one can take; the call's own process looks there while a leg of its
own lives (`look_s`), unless it is the only process there is.

Nobody is left waiting for somebody who does not come: a leg whose call ends is ended or told so, a
human in a room whose caller has not come within ARRIVE_S is told so, too, and every leg has an end
that needs nobody's answer (LEG_S).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
import trio

from relay.core import events as on
from relay.errors import PhoneControlError
from relay.ports import ENDED, Attempt, AttemptStore, PhoneControl
from relay.ports.humans import BEFORE
from relay.shell.attempts import BRIEF_S, Ask, SharedAttempts
from relay.shell.legs import Legs

log = structlog.get_logger("relay.humans")

RING_S: Final = 20  # Twilio adds 5; a voicemail usually answers after 20 to 25
LEG_S: Final = RING_S + 5 + 40.0  # rung, told what it is about, twice, and asked for the key
ARRIVE_S: Final = 10.0  # "connecting you", a webhook, the room
RELEASE_S: Final = 1.0  # in which a conference that is over releases its caller
EARLY_S: Final = 10.0  # who leaves the room so soon has not talked to the caller
MAX_ATTEMPTS: Final = 3  # of one call
MAX_REMEMBERED: Final = 1000

Feed = Callable[[on.Event], None]

_LOST_BY: Final = {"busy": "busy", "no-answer": "no_answer"}


def _to_nobody(_: on.Event) -> None:
    """What a call whose stream is over is told."""


@dataclass(eq=False, slots=True)
class _Try:
    """One attempt of a call in this process. feed: into that call; never raises."""

    attempt: str
    call_sid: str
    summary: str
    feed: Feed
    opened_at: float
    state: str = "ringing"
    leg_sid: str = ""
    joined_at: float = 0.0
    briefed: trio.Event = field(default_factory=trio.Event)
    settled: trio.Event = field(default_factory=trio.Event)  # joined, over or lost


class Humans:
    """All humans that this process rings, and those that its webhooks hear of."""

    def __init__(
        self,
        control: PhoneControl,
        store: AttemptStore,
        *,
        numbers: Mapping[str, str],
        url: Callable[[str], str],
        secret: str,
        ask: Ask,
        there: Callable[[], bool] = lambda: True,
        look_s: float | None = 0.25,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """numbers: whom can be rung, by name; "" for whoever is there.

        url: the public URL of a webhook's path; secret: for the rooms' names
        ask: a blocking question to the store, within seconds, else StoreError
        there: whether anybody is at the desk at this hour
        look_s: how often the store is asked for other processes' news; None: there are none
        """
        self._legs = Legs(control, url, ring_s=RING_S)
        self._shared = SharedAttempts(store, ask, wall_clock)
        self._numbers = numbers
        self._secret = secret
        self._there = there
        self._look_s = look_s
        self._wall_clock = wall_clock
        self._nursery: trio.Nursery | None = None
        self._tries: OrderedDict[str, _Try] = OrderedDict()

    async def run(self) -> None:
        """Look after every leg, for ever."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def there(self) -> bool:
        """Whether somebody can be rung at this hour."""
        return self._there()

    def room(self, call_sid: str) -> str:
        """The name of the conference in which a call meets its human."""
        digest = hmac.digest(self._secret.encode(), b"room " + call_sid.encode(), hashlib.sha256)
        return f"talk-{digest.hex()[:32]}"

    # ---- for a call -------------------------------------------------------------------------

    async def ring(self, call_sid: str, person: str, reason: str, feed: Feed) -> str:
        """Ring a human for a call. "" once it rings, else why not (ports.HumanDesk).

        reason: what they are told while there is no summary
        """
        of_call = [each for each in self._tries.values() if each.call_sid == call_sid]
        if person not in self._numbers:
            return "unknown"
        if any(not each.settled.is_set() for each in of_call):
            return "ringing"
        if len(of_call) >= MAX_ATTEMPTS:
            return "too_often"
        if not self._there():
            return "closed"
        one = _Try(secrets.token_urlsafe(12), call_sid, reason, feed, trio.current_time())
        self._remember(one)
        now = self._wall_clock()
        await self._shared.opened(
            Attempt(one.attempt, call_sid, person, "ringing", "", "", reason, now, now)
        )
        try:
            one.leg_sid = await self._legs.place(one.attempt, self._numbers[person])
        except PhoneControlError as failed:
            log.warning("human not rung", error=str(failed), call_sid=call_sid)
            if not failed.doubtful:
                self._settle(one, "lost", "not_rung")
                return "not_rung"
        else:
            self._later(self._shared.noted, one.attempt, one.leg_sid, "")
        if one.settled.is_set():  # the caller has hung up meanwhile
            self._later(self._legs.hang_up, one.leg_sid)
            return "not_rung"
        log.info("human rung", call_sid=call_sid, person=person)
        feed(on.HumanRinging(one.attempt))
        if one.settled.is_set():  # the call has dropped them
            return "cancelled"
        if one.state == "accepted":  # before Twilio had answered us that it rings
            feed(on.HumanAccepted(one.attempt))
        self._later(self._look_after, one)
        return ""

    def brief(self, attempt: str, summary: str) -> None:
        """What the human shall hear before the key."""
        one = self._tries.get(attempt)
        if one is not None:
            one.summary = summary
            one.briefed.set()
            self._later(self._shared.noted, attempt, "", summary)

    def drop(self, attempt: str) -> None:
        """The human is not wanted any more."""
        one = self._tries.get(attempt)
        if one is None or one.settled.is_set():
            return
        state = one.state
        self._settle(one, "lost", "dropped")
        self._later(self._legs.hang_up if state == "ringing" else self._legs.say_gone, one.leg_sid)

    def left(self, call_sid: str, *, joining: bool) -> None:
        """A call's stream is over. joining: the caller is on the way to the room."""
        for one in self._tries.values():
            if one.call_sid != call_sid:
                continue
            one.feed = _to_nobody  # an attempt is remembered for long, and the call would be by it
            if joining and one.state == "accepted":
                self._later(self._await_arrival, one)
            else:
                self.drop(one.attempt)

    # ---- for the webhooks -------------------------------------------------------------------

    async def screen(self, attempt: str) -> str | None:
        """A human has answered: what the call is about, "" when nobody knows; None: it is over."""
        one = self._tries.get(attempt)
        if one is None:
            return await self._shared.screened(attempt)
        if not self._step(one, "answered"):
            return None
        with trio.move_on_after(BRIEF_S):
            await one.briefed.wait()
        return one.summary

    async def pressed(self, attempt: str, digits: str) -> str | None:
        """A human pressed a key; any but 1 says no. Returns the room, if that is where they go."""
        state, reason = ("accepted", "") if digits == "1" else ("lost", "declined")
        one = self._tries.get(attempt)
        if one is not None:
            moved, call_sid = self._step(one, state, reason), one.call_sid
        else:
            row = await self._shared.row(attempt)
            call_sid = row.call_sid if row else ""
            moved = row is not None and await self._shared.moved(attempt, state, reason)
        return self.room(call_sid) if moved and state == "accepted" else None

    async def leg_status(self, attempt: str, status: str, leg_sid: str) -> None:
        """Twilio says how a leg goes; and which one it is, when its answer to us got lost."""
        one = self._tries.get(attempt)
        row = await self._shared.row(attempt) if one is None else None
        known = one or row
        if leg_sid and known is not None and not known.leg_sid:
            if one is not None:
                one.leg_sid = leg_sid
            self._later(self._shared.noted, attempt, leg_sid, "")
            if known.state == "lost" and status not in ENDED:
                self._later(self._legs.hang_up, leg_sid)  # it was dropped before anybody knew of it
        if status not in ENDED:
            return
        state = one.state if one is not None else row.state if row is not None else "lost"
        call_sid = one.call_sid if one is not None else row.call_sid if row is not None else ""
        if state == "joined":
            self._later(self._release, attempt, call_sid)
            return
        answered = status == "completed"
        reason = _LOST_BY.get(status, "declined" if answered else "failed")
        reason = "hung_up" if state == "accepted" else reason
        if one is None:
            await self._shared.moved(attempt, "lost", reason)
        else:
            self._step(one, "lost", reason)

    async def joins(self, call_sid: str) -> str | None:
        """A caller comes to the room: its name, or None when nobody waits there.

        Asked twice, it is the same room. That the human has hung up meanwhile may have been told to
        another process: then the caller would sit in there alone, and in silence.
        """
        one = self._newest(call_sid)
        if one is not None:
            if self._look_s is not None:
                await self._take_news(one)
            return (
                self.room(call_sid) if self._step(one, "joined") or one.state == "joined" else None
            )
        row = await self._shared.newest(call_sid)
        if row is None or row.state not in {"accepted", "joined"}:
            return None
        await self._shared.moved(row.attempt, "joined", "")
        return self.room(call_sid)

    async def parts(self, call_sid: str) -> bool:
        """A caller's conference is over, and the caller is still there. True when the human left
        it so soon that the caller has not been helped."""
        one = self._newest(call_sid)
        if one is not None:
            self._step(one, "over")
            return trio.current_time() - one.joined_at < EARLY_S
        row = await self._shared.newest(call_sid)
        if row is None or row.state != "joined":
            return False
        await self._shared.moved(row.attempt, "over", "")
        return self._wall_clock() - row.changed_at < timedelta(seconds=EARLY_S)

    async def caller_gone(self, call_sid: str) -> None:
        """The caller's own call is over: who waits for them is told."""
        one = self._newest(call_sid)
        if one is not None:
            self.drop(one.attempt)
            return
        row = await self._shared.newest(call_sid)
        if row is not None and row.state in {"ringing", "answered", "accepted"} and row.leg_sid:
            await self._shared.moved(row.attempt, "lost", "dropped")
            self._later(self._legs.say_gone, row.leg_sid)

    async def forgotten(self, row: Attempt, *, answered: bool) -> None:
        """A leg that nobody looks after any more is ended or told so, by one process.

        answered: somebody is on it
        """
        if row.attempt in self._tries:
            return
        if not await self._shared.moved(row.attempt, "lost", "forgotten"):
            return
        log.warning("! a human's leg was forgotten", call_sid=row.call_sid, state=row.state)
        if row.leg_sid:
            await (self._legs.say_gone if answered else self._legs.hang_up)(row.leg_sid)

    # ---- one leg's life ---------------------------------------------------------------------

    async def _look_after(self, one: _Try) -> None:
        """Wait for an attempt to be settled: by a webhook here, elsewhere, or by time."""
        ends_at = one.opened_at + LEG_S
        while not one.settled.is_set() and one.state in {"ringing", "answered"}:
            wait_s = ends_at - trio.current_time()
            if wait_s <= 0:
                self._step(one, "lost", "no_answer")
                await self._legs.hang_up(one.leg_sid)
                return
            with trio.move_on_after(min(wait_s, self._look_s or wait_s)):
                await one.settled.wait()
            if self._look_s is not None and not one.settled.is_set():
                await self._take_news(one)

    async def _take_news(self, one: _Try) -> None:
        """What other processes have heard of a leg."""
        row = await self._shared.row(one.attempt)
        if row is None:
            return
        one.leg_sid = one.leg_sid or row.leg_sid
        if row.state != one.state and row.state in {"answered", "accepted", "lost"}:
            self._step(one, row.state, row.reason, told=True)

    async def _await_arrival(self, one: _Try) -> None:
        with trio.move_on_after(ARRIVE_S):
            while not one.settled.is_set():
                with trio.move_on_after(self._look_s or ARRIVE_S):
                    await one.settled.wait()
                row = None if self._look_s is None else await self._shared.row(one.attempt)
                if row is not None and row.state in {"joined", "over", "lost"}:
                    self._step(one, "joined", told=True)
        self.drop(one.attempt)

    async def _release(self, attempt: str, call_sid: str) -> None:
        """A human who was in the room has gone. That ends it; but one who goes before the caller
        has come ends nothing, and the caller would sit in there alone."""
        await trio.sleep(RELEASE_S)
        one = self._tries.get(attempt)
        row = await self._shared.row(attempt) if one is None else None
        state = one.state if one is not None else row.state if row is not None else ""
        if state == "joined":
            await self._legs.fetch(call_sid)

    def _step(self, one: _Try, state: str, reason: str = "", *, told: bool = False) -> bool:
        """Take an attempt a step further, and tell its call. False when that makes no sense.

        told: the store knows
        """
        if one.state not in BEFORE[state]:
            return False
        one.state = state
        if not told:
            self._later(self._shared.moved, one.attempt, state, reason)
        log.info("human", call_sid=one.call_sid, state=state, reason=reason)
        if state == "accepted":
            one.feed(on.HumanAccepted(one.attempt))
        elif state == "joined":
            one.joined_at = trio.current_time()
            one.settled.set()
        elif state == "lost":
            one.settled.set()
            one.feed(on.HumanLost(one.attempt, reason))
        return True

    def _settle(self, one: _Try, state: str, reason: str) -> None:
        """End an attempt without a word to its call, which knows."""
        one.state = state
        one.settled.set()
        self._later(self._shared.moved, one.attempt, state, reason)

    # ---- memory -----------------------------------------------------------------------------

    def _newest(self, call_sid: str) -> _Try | None:
        return next((t for t in reversed(self._tries.values()) if t.call_sid == call_sid), None)

    def _remember(self, one: _Try) -> None:
        self._tries[one.attempt] = one
        while len(self._tries) > MAX_REMEMBERED:
            self._tries.popitem(last=False)

    def _later(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        if self._nursery is not None and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(task, *args)


@dataclass(frozen=True, slots=True)
class CallDesk:
    """ports.HumanDesk of one call. loop: the caller is the human."""

    humans: Humans
    call_sid: str
    feed: Feed
    loop: bool = False

    async def ring(self, person: str, reason: str) -> str:
        """Ring somebody for this call."""
        if self.loop:
            return "loop"
        return await self.humans.ring(self.call_sid, person, reason, self.feed)
