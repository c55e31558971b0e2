"""A call whose stream has ended: whether it comes back to the agent, and what it is told then.

Twilio asks `after-stream` after a stream that was closed, and, as far as anybody knows, after one
that broke; else it goes on to the next verb, which asks `fallback`. Whichever process is asked
looks up where the call stands, since the one that carried it may be gone:

    a disposition was chosen since the last return ─┬─ resume ──▶ comes back, "moved"
                                                    └─ any other ▶ that
    none was, and a stream had been open ─────────────▶ comes back, "broke", once a minute

Each page that asks names the stream that it asks about, and nothing is done about one that another
has followed. A return is a row in the store, claimed once. So two askers bring back one stream, and
a call that breaks every time it is touched goes to a human instead of round in circles. Each stream
is told how many returns there were, and says so with what it chooses: a disposition from before the
last return is told from a new one without a look at clocks, which differ between machines.

What the next stream is told (`story`) is read from the rows that are kept of every call anyway.
Everything here waits for the store a second at most: nothing is heard meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
import trio

from relay.core.events import CallResumed
from relay.core.moving import RESUME
from relay.errors import StoreError
from relay.ports import ReturnStore, Standing, WhyBack
from relay.ports.returns import MAX_RETURNS, WHYS, followed_nonce, return_nonce

ASK_S: Final = 1.0
CLAIM_S: Final = 0.3
STORY_S: Final = 1.0
# A process writes down what it has chosen within some 100 ms, and Twilio may be as quick to ask.
LATE_S: Final = 0.3
# A stream that breaks this soon after one that was replaced has no successor.
RELAPSE: Final = timedelta(seconds=60)
FALLBACK: Final = "fallback"

_ROLES: Final = {"caller": "user", "agent": "assistant"}

_log = structlog.get_logger("relay.returns")

Ask: TypeAlias = Callable[[Callable[[], Any], float], Awaitable[Any]]


class Returns:
    """Calls that come back to this process. counts: the switchboard's."""

    def __init__(
        self,
        store: ReturnStore,
        ask: Ask,
        counts: Counter[str],
        wall_clock: Callable[[], float],
        larger_model: str = "",
    ) -> None:
        """ask: a blocking question to the store, within seconds, else StoreError.

        larger_model: the name of the model for hard calls, if there is one
        """
        self._store = store
        self._ask = ask
        self._counts = counts
        self._wall_clock = wall_clock
        self._larger_model = larger_model

    async def follows(
        self, call_sid: str, stream: str = "", *, broke_here: bool, here: bool
    ) -> str:
        """What is done with a call whose stream ended: a disposition, or why it comes back.

        stream: which one ended, "" when that is not known
        broke_here: its first stream was in this process, and ended without a word
        here: whether this process has the time to carry it, or to see that another one does
        Raises StoreError for a call of which nothing is known because the store does not answer.
        """
        try:
            standing = await self._standing(call_sid)
            if not (broke_here or standing is None or _chosen(standing)):
                # What its process has chosen may be on its way to the store.
                await trio.sleep(LATE_S)
                standing = await self._standing(call_sid)
        except StoreError as error:
            self._counts["store_silent"] += 1
            _log.warning("! store does not answer", error=str(error))
            if broke_here and here:
                return "broke"
            raise
        if standing is None:
            return "broke" if broke_here and here else FALLBACK
        chosen = _chosen(standing)
        if chosen and chosen != RESUME:
            return chosen
        if not here or not (standing.had_stream or broke_here):
            return FALLBACK
        why: WhyBack = "moved" if chosen else "broke"
        if why == "broke" and self._relapses(standing):
            _log.warning("! broke again", call_sid=call_sid)
            return FALLBACK
        if await self._is_history(call_sid, stream):
            return FALLBACK
        return why if await self._claim(why, call_sid, standing) else FALLBACK

    async def _is_history(self, call_sid: str, stream: str) -> bool:
        """Whether a call has had another stream after this one: then its end was told before, and
        whoever tells it again (a request that was held up, or replayed) takes nothing from that."""
        if not stream:
            return False
        try:
            followed = await self._ask(
                partial(self._store.claimed, followed_nonce(stream)), CLAIM_S
            )
        except StoreError:
            return False
        if followed:
            _log.warning("! a stream's end is told again", call_sid=call_sid)
        return bool(followed)

    async def _standing(self, call_sid: str) -> Standing | None:
        found: Standing | None = await self._ask(partial(self._store.standing, call_sid), ASK_S)
        return found

    def _relapses(self, standing: Standing) -> bool:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        return any(why == "broke" and now - at < RELAPSE for why, at in standing.returns)

    async def note(self, why: WhyBack, call_sid: str, stream: str = "") -> bool:
        """Write down that a call comes back, so that what was chosen before counts no more.

        stream: the last that it had, "" when that is not known. False: it has come back before.
        """
        if await self._is_history(call_sid, stream):
            return False
        with suppress(StoreError):
            standing = await self._ask(partial(self._store.standing, call_sid), CLAIM_S)
            if standing is not None:
                await self._claim(why, call_sid, standing)
        return True

    async def _claim(self, why: WhyBack, call_sid: str, standing: Standing) -> bool:
        """Claim the next return. False when another process has, or there were too many."""
        number = 1 + sum(each == why for each, _ in standing.returns)
        if number > MAX_RETURNS:
            return False
        at = datetime.fromtimestamp(self._wall_clock(), UTC)
        nonce = return_nonce(why, call_sid, number)
        try:
            claimed = await self._ask(
                partial(self._store.claim_stream, nonce, call_sid, at), CLAIM_S
            )
        except StoreError as error:
            _log.warning("! return not written down", error=str(error))
            return True
        return bool(claimed)

    async def story(
        self, call_sid: str, *, journal_flushed: Callable[[], Awaitable[None]]
    ) -> CallResumed:
        """What a call has come to; nothing when the store does not say so in STORY_S, all told."""
        with trio.move_on_after(STORY_S / 2):
            await journal_flushed()
        try:
            past = await self._ask(partial(self._store.past, call_sid), STORY_S / 2)
        except StoreError as error:
            self._counts["store_silent"] += 1
            _log.warning("! a call goes on without its past", error=str(error))
            past = None
        if past is None:
            return CallResumed(returns=1)  # at least this one
        lines = tuple((_ROLES.get(speaker, "user"), text) for speaker, text in past.lines if text)
        return CallResumed(
            lines,
            past.micro_usd,
            max(0.0, self._wall_clock() - past.started_at.timestamp()),
            past.answers,
            past.tools,
            past.outcomes,
            past.notices,
            hard=bool(self._larger_model) and self._larger_model in past.models,
            returns=past.returns,
            greeting_ms=past.greeting_ms,
        )


def _chosen(standing: Standing) -> str | None:
    """What was chosen for a call's last stream; None: nothing was."""
    if standing.chosen_after is not None:
        return standing.disposition if standing.chosen_after >= len(standing.returns) else None
    last = max((at for _, at in standing.returns), default=None)
    if last and standing.disposition_at and standing.disposition_at <= last:
        return None  # that was for a stream before the last
    return standing.disposition


def comes_back(what: str) -> bool:
    """Whether what follows is another stream."""
    return what in WHYS
