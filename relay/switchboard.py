"""Which calls this process expects, carries and has carried, and who may open a stream for one.

A call passes through here in steps, each forward only (lines.py).

Admission is decided from memory: a webhook never waits for the database. A stream is admitted by
four locks, and no model is dialled before the last: Twilio's signature over the stream's own
`wss://` URL, a token that we made and that is fresh, a nonce that this process has not seen, and
the same nonce never claimed in the store by any process. Only the last may be out of order: with
the database away the per-process set stands alone, and that is counted.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import structlog
import trio

from relay.core.events import CallResumed
from relay.core.moving import RESUME
from relay.errors import PhoneProtocolError, StoreError
from relay.limits import NO_RULES, NumberLimits, NumberRules
from relay.lines import Line, Lines, Step
from relay.logs import Seldom
from relay.ports import CallRow, CallStore, Consented, RecordingStore, ReturnStore
from relay.ports.returns import followed_nonce
from relay.returns import FALLBACK, Returns
from relay.wire import signature, ticket

TOKEN_S: Final = 60
CLAIM_TIMEOUT_S: Final = 0.3
ASK_TIMEOUT_S: Final = 1.0
ASK_S: Final = 0.3  # the caller hears nothing meanwhile
FRESH_S: Final = 10.0  # `after-stream` is asked within a second of what it asks about
THREADS: Final = 4  # a hung database holds these, and nobody else's

_log = structlog.get_logger("relay.switchboard")
_T = TypeVar("_T")
Ask: TypeAlias = Callable[[Callable[[], Any], float], Awaitable[Any]]


UNTOLD: Final = "untold"  # another process knows why


class Asker:
    """Blocking questions to the store, each with a deadline, in threads that may be left behind."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(THREADS)

    async def __call__(self, question: Callable[[], _T], within_s: float) -> _T:
        """Raises StoreError when the store does, or when it does not answer in time."""
        with trio.move_on_after(within_s):
            return await trio.to_thread.run_sync(
                question, abandon_on_cancel=True, limiter=self._limiter
            )
        raise StoreError(f"no answer within {within_s:g} s")


class BoardStore(CallStore, ReturnStore, RecordingStore, Protocol):
    """What the switchboard asks of the store."""


class Switchboard:
    """The desk of one process. `counts` tells who was let in, who was not and why."""

    def __init__(
        self,
        store: BoardStore,
        *,
        auth_token: str,
        stream_base: str,
        max_calls: int | None = None,
        rules: NumberRules = NO_RULES,
        strained: Callable[[], bool] = lambda: False,
        memory_tight: Callable[[], bool] = lambda: False,
        ask: Ask | None = None,
        affords_a_call: Callable[[], bool] = lambda: True,
        model_admits: Callable[[], bool] = lambda: True,
        larger_model: str = "",
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """stream_base: PUBLIC_URL as wss://, to which a stream's path is added.

        strained, memory_tight: whether the process has no time, no memory for another call
        ask: how the store is asked; in threads unless given
        affords_a_call: whether the day's cap on money has room; from memory
        larger_model: the name of the model for hard calls, if there is one
        model_admits: whether the model can be had, or this call may try; asked last
        """
        self.counts: Counter[str] = Counter()
        self.draining = False
        self.moving = trio.Event()  # the calls shall go on in another process, now
        self._store = store
        self._ask = ask or Asker()
        self._auth_token = auth_token
        self._secret = _derived(auth_token)
        self._stream_base = stream_base
        self._max_calls = max_calls
        self._limits = NumberLimits(rules)
        self._strained = strained
        self._memory_tight = memory_tight
        self._affords_a_call = affords_a_call
        self._model_admits = model_admits
        self._wall_clock = wall_clock
        self._lines = Lines()
        self._strangers = Seldom()
        self._used: dict[str, float] = {}  # nonce -> when it would have expired
        self.returns = Returns(store, self._ask, self.counts, wall_clock, larger_model)

    # ---- admission --------------------------------------------------------------------------

    def expect(self, call_sid: str, caller: str, called: str) -> str | None:
        """A stream's token for a call that rings, or None when there is no room for it.

        The same call gets the same token again: Twilio may ask twice.
        """
        now = self._wall_clock()
        line = self._lines.get(call_sid)
        if line is not None and (line.step is not Step.EXPECTED or now < line.expires_at):
            return line.token
        if refusal := self._refusal(caller, now):
            self._turn_away(refusal)
            return None
        self._limits.began(caller, now)
        self.counts["expected"] += 1
        return self._issue(call_sid, Line(caller, called))

    def expect_again(
        self, call_sid: str, caller: str, called: str, why: str, *, after: str = ""
    ) -> str:
        """A token for another stream of a call that is under way. There is room for it: it was
        let in before, also by a process that drains by now.

        after: the name of the stream before, "" when it is not known
        """
        line = self._lines.get(call_sid)
        if line is not None and line.returns_at(self._wall_clock()):
            return line.token
        self.counts["expected_again"] += 1
        return self._issue(call_sid, Line(caller, called, again=why), after)

    def _issue(self, call_sid: str, line: Line, after: str = "") -> str:
        now = self._wall_clock()
        line.expires_at = expires_at = int(now) + TOKEN_S
        line.fresh_until = now + FRESH_S
        line.stream = secrets.token_urlsafe(16)
        nonce = f"{line.stream}.{after}" if after else line.stream
        line.token = ticket.issue(self._secret, call_sid, expires_at, nonce, again=bool(line.again))
        self._lines.enter(call_sid, line, self._wall_clock())
        return line.token

    def blocked(self, caller: str) -> bool:
        """Whether a number is on the block-list; then its call is not even answered."""
        blocked = self._limits.rules.blocked(caller)
        if blocked:
            self._turn_away("blocked")
        return blocked

    def _refusal(self, caller: str, now: float) -> str:
        """Why a new call gets no stream, "" when it does."""
        if self.draining:
            return "draining"
        if self._strained():
            return "strained"
        if self._memory_tight():
            return "memory"
        if not self._affords_a_call():
            return "over_budget"
        if self._max_calls is not None and self.busy() >= self._max_calls:
            return "full"
        calls_now = self._lines.of_caller(caller, now) if self._limits.rules.at_once else 0
        if refusal := self._limits.refusal(caller, calls_now, now):
            return refusal
        return "" if self._model_admits() else "model_away"

    def _turn_away(self, why: str) -> None:
        self.counts[f"turned_away:{why}"] += 1
        _log.warning("! no stream for a call", why=why)

    async def admit(self, path: str, token: str, claimed_signature: str) -> str | None:
        """The CallSid whose stream this is, or None for a stranger. Uses the token up.

        path: of the request, the token included, as it was sent
        """
        admitted = await self._check(path, token, claimed_signature)
        if isinstance(admitted, ticket.Ticket):
            return admitted.call_sid
        self.counts[f"refused:{admitted}"] += 1
        if times := self._strangers.due(admitted):
            _log.warning("! stream refused", why=admitted, times=times)
        return None

    async def _check(self, path: str, token: str, claimed_signature: str) -> ticket.Ticket | str:
        """The ticket of an admitted stream, or why there is none."""
        url = self._stream_base + path
        if not signature.matches(self._auth_token, url, (), claimed_signature):
            return "bad_signature"
        try:
            claim = ticket.read(self._secret, token, self._wall_clock())
        except PhoneProtocolError as error:
            return error.kind
        line = self._lines.get(claim.call_sid)
        if self.moving.is_set() or (self.draining and line is None and not claim.again):
            return "draining"
        if not self._use(claim.nonce, claim.expires_at) or not await self._claim(claim):
            return "used_token"
        # Another process may have answered the webhook: then we hear of the call just now.
        line = self._lines.get(claim.call_sid)
        if line is None or (claim.again and line.step is not Step.EXPECTED):
            who = (line.caller, line.called) if line else ("", "")
            line = Line(*who, token, claim.expires_at, again=UNTOLD if claim.again else "")
            line.stream = _stream(claim.nonce)
            self._lines.enter(claim.call_sid, line, self._wall_clock())
        if line.step is not Step.EXPECTED:
            return "second_stream"
        line.step = Step.ADMITTED
        return claim

    def _use(self, nonce: str, expires_at: float) -> bool:
        """Use a nonce up in this process. False when it was."""
        now = self._wall_clock()
        for old in [n for n, expiry in self._used.items() if expiry < now]:
            del self._used[old]
        if nonce in self._used:
            return False
        self._used[nonce] = expires_at
        return True

    async def _claim(self, claim: ticket.Ticket) -> bool:
        """Use a nonce up for all processes. True as well when the store cannot be asked."""
        at = datetime.fromtimestamp(self._wall_clock(), UTC)

        def question() -> bool:
            first = self._store.claim_stream(claim.nonce, claim.call_sid, at)
            if first and (before := _stream_before(claim.nonce)):
                self._store.claim_stream(followed_nonce(before), claim.call_sid, at)
            return first

        try:
            return bool(await self._ask(question, CLAIM_TIMEOUT_S))
        except StoreError as error:
            self.counts["claimed_without_store"] += 1
            _log.warning("! token claimed in this process only", error=str(error))
            return True

    # ---- a call's life ----------------------------------------------------------------------

    @contextmanager
    def on_line(self, call_sid: str) -> Iterator[Callable[[str], None]]:
        """The length of an admitted stream. Gives the function that notes its disposition."""
        line = self._lines[call_sid]
        line.step = Step.LIVE
        try:
            yield lambda disposition: line.choose(disposition, self._wall_clock())
        finally:
            line.step = Step.OVER

    def line(self, call_sid: str) -> Line | None:
        """What this process knows of a call."""
        return self._lines.get(call_sid)

    def carries(self, call_sid: str) -> bool:
        """Whether a call's stream is open here."""
        line = self._lines.get(call_sid)
        return line is not None and line.step is Step.LIVE

    def hung_up(self, call_sid: str) -> None:
        """Twilio says that the call has ended: nobody will open its stream any more."""
        line = self._lines.get(call_sid)
        if line is not None and line.coming:
            line.step = Step.MISSED

    async def follows(self, call_sid: str, stream: str = "") -> str:
        """What is done with a call whose stream ended: a disposition, or why it comes back.

        stream: which one ended, "" when that is not known. One that another has followed ended long
        ago: who says so says it again, and changes nothing.
        What was chosen here a moment ago is told from memory; else the store is asked.
        """
        line = self._lines.get(call_sid)
        another_s = line is not None and stream not in ("", line.stream)
        if line is not None and line.again and line.step is Step.EXPECTED:
            if line.returns_at(self._wall_clock()) and (another_s or not line.repeated):
                line.repeated = True
                return line.again  # asked twice: the same answer
            line.step = Step.MISSED
        if another_s:
            line = None  # it was carried elsewhere, or before
        chosen = line.disposition if line else None
        if line and chosen and chosen != RESUME and self._wall_clock() - line.chosen_at < FRESH_S:
            return chosen
        broke = line is not None and line.streamed and not chosen and not line.again
        try:
            return await self.returns.follows(
                call_sid, stream, broke_here=broke, here=not self.moving.is_set()
            )
        except StoreError:
            return chosen if chosen and chosen != RESUME else FALLBACK

    async def row(self, call_sid: str) -> CallRow | None:
        """What the store knows of a call; None as well when it does not answer in a second."""
        try:
            found: CallRow | None = await self._ask(
                partial(self._store.call, call_sid), ASK_TIMEOUT_S
            )
        except StoreError as error:
            self.counts["store_silent"] += 1
            _log.warning("! store does not answer", error=str(error))
            return None
        return found

    async def story(
        self,
        call_sid: str,
        *,
        journal_flushed: Callable[[], Awaitable[None]],
        here: Consented | None = None,
    ) -> CallResumed:
        """What a call has come to in its streams before this one; nothing for one that begins.

        here: what this process knows of being recorded in them
        """
        line = self._lines.get(call_sid)
        if line is None or not line.again:
            return CallResumed()
        past = await self.returns.story(call_sid, journal_flushed=journal_flushed)
        known = await self._consented(call_sid, here)
        return replace(past, consent=known.answer, recording=known.recording_sid)

    async def _consented(self, call_sid: str, here: Consented | None) -> Consented:
        """What was answered about being recorded in a call's streams before this one.

        A refusal that anybody knows of holds; where nobody can be asked there may have been one.
        """
        if here is not None and here.answer == "declined":
            return here
        try:
            found: Consented = await self._ask(partial(self._store.consented, call_sid), ASK_S)
        except StoreError as error:
            self.counts["store_silent"] += 1
            _log.warning("! what a caller has agreed to is not known", error=str(error))
            return here or Consented("unknown")
        return found

    # ---- load -------------------------------------------------------------------------------

    def busy(self) -> int:
        """Calls that are live, or whose stream may still come."""
        if self.moving.is_set():
            return self.live()
        return self._lines.busy(self._wall_clock())

    def live(self) -> int:
        """Calls whose stream is open."""
        return self._lines.live()

    def drain(self) -> None:
        """Take no new call. What is expected may still come."""
        self.draining = True

    def move(self) -> None:
        """Take no stream any more, and let go of those that run: others will carry them."""
        self.moving.set()


def _stream(nonce: str) -> str:
    """The name of the stream that a token is for."""
    return nonce.partition(".")[0]


def _stream_before(nonce: str) -> str:
    """The name of the stream that it follows, "" when that is not known."""
    return nonce.partition(".")[2]


def _derived(auth_token: str) -> str:
    """A key of the tokens' own: what leaks of one use of the auth token must not serve another."""
    return hmac.digest(auth_token.encode(), b"relay stream tokens", hashlib.sha256).hex()
