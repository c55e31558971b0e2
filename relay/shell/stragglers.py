"""Ends that nobody has told: Twilio is asked about calls and humans' legs that seem to live on.

A status callback can be lost, and so can the process that would have taken it. A call then stays
without an outcome, and a human's telephone may ring, or be asked for a key, for nobody. So whoever
is there asks Twilio by REST: about a call without an outcome at the ages below, and about a leg
that has stood still longer than any may.

    over, or unknown there ─▶ the call gets its outcome, as a guess: what a stream said stands
    not over ───────────────▶ asked again at the next age

Each question is claimed in the store, so that of many processes one asks, and a call is asked about
len(AGES) times at most. What this process carries itself is not asked about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
import trio

from relay.errors import PhoneControlError, StoreError
from relay.ports import ENDED, Attempt, LooseEndStore, OpenCall, PhoneControl
from relay.shell.humans import LEG_S, Humans

LOOK_S: Final = 30.0
ASK_S: Final = 5.0
#: How old a call is when it is asked about: often while it is young, then ever more seldom.
AGES: Final = tuple(timedelta(minutes=m) for m in (1, 2, 4, 8, 15, 30, 60, 180, 720, 1440))
OLDEST: Final = timedelta(days=2)
# The call's own process ends a leg after LEG_S; this much later there is no such process.
LEG: Final = timedelta(seconds=LEG_S + 15)
MAX_ROWS: Final = 500
MAX_ASKED: Final = 20  # one after another, each within the deadline of a REST request

Ask: TypeAlias = Callable[[Callable[[], Any], float], Awaitable[Any]]
Ended: TypeAlias = Callable[[OpenCall], Awaitable[None]]

_log = structlog.get_logger("relay.stragglers")


class Stragglers:
    """This process's share of looking for them."""

    def __init__(
        self,
        store: LooseEndStore,
        control: PhoneControl,
        humans: Humans,
        *,
        ask: Ask,
        carried: Callable[[str], bool],
        ended: Ended,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """ask: a blocking question to the store, within seconds, else StoreError

        carried: whether a call is live in this process; ended: what is done about one that is over
        """
        self._store = store
        self._control = control
        self._humans = humans
        self._ask = ask
        self._carried = carried
        self._ended = ended
        self._wall_clock = wall_clock
        self._asked: dict[str, int] = {}  # for which age last, by this process or another

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await trio.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                _log.warning("! stragglers not looked for", error=str(error))

    async def look(self) -> None:
        """Ask about what is due. Raises StoreError."""
        now = self._wall_clock()
        rows = partial(self._store.open_calls, now - OLDEST, now - AGES[0], MAX_ROWS)
        calls: Sequence[OpenCall] = await self._ask(rows, ASK_S)
        self._asked = {each.call_sid: self._asked.get(each.call_sid, -1) for each in calls}
        asked = 0
        for each in calls:
            if asked < MAX_ASKED and await self._is_due(each, now):
                asked += 1
                await self._look_at(each)
        legs = partial(self._store.open_legs, now - OLDEST, now - LEG, MAX_ASKED)
        for leg in await self._ask(legs, ASK_S):
            await self._look_at_leg(leg)

    async def _is_due(self, call: OpenCall, now: datetime) -> bool:
        """Whether a call is to be asked about, by us."""
        age = sum(now - call.started_at >= each for each in AGES) - 1
        if age <= self._asked[call.call_sid] or self._carried(call.call_sid):
            return False
        self._asked[call.call_sid] = age
        nonce = f"ended? {call.call_sid} {age}"
        claim = partial(self._store.claim_stream, nonce, call.call_sid, now)
        return bool(await self._ask(claim, ASK_S))

    async def _look_at(self, call: OpenCall) -> None:
        status = await self._status(call.call_sid)
        if status in ENDED:
            _log.warning("! a call had ended without a word", call_sid=call.call_sid, status=status)
            await self._ended(call)

    async def _look_at_leg(self, leg: Attempt) -> None:
        """A leg in progress whose caller is on the line may be a conversation: it is left alone."""
        status = await self._status(leg.leg_sid) if leg.leg_sid else "failed"
        if status == "in-progress" and await self._status(leg.call_sid) not in ENDED:
            return
        if status:
            await self._humans.forgotten(leg, answered=status == "in-progress")

    async def _status(self, call_sid: str) -> str:
        """Twilio's word; "failed" for a call that it does not know, "" when it does not answer."""
        try:
            return await self._control.status(call_sid)
        except PhoneControlError as error:
            if error.gone:
                return "failed"
            _log.warning("! not told how a call is", call_sid=call_sid, error=str(error))
            return ""
