"""The owner is told: one task a process takes notices from the store and delivers them.

Several processes may share a database: what one has claimed, no other gets for LEASE_S.

    webhook   at least once. A try that is not answered with 2xx, or whose sender died, is made
              again, with the same id, for a day.
    SMS       at most once as soon as there is doubt. A text that certainly was not sent is tried
              again; one whose answer was lost, or whose sender died, is "unknown" for good: the
              operator is told, nobody gets it twice.

An outage fails call after call. The webhook gets each, the owner's telephone the first at once and
then one text each FAILED_EVERY_S for all that failed since; the store gathers them.

A text that is on its way is brought to its end even when the process ends: that takes seconds, and
a notice whose fate is unknown is a nuisance for a human.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
import trio

from relay.errors import NoticeError, PhoneControlError, StoreError
from relay.ports import (
    Claimed,
    Notice,
    NoticeStore,
    PhoneControl,
    Settled,
    Webhook,
    is_number,
)
from relay.shell import notices

POLL_S: Final = 2.0
AT_ONCE: Final = 8
# A claim that is given up may still be carried out, and its texts would be in doubt: so it is not
# given up before the database itself does. A report can be made twice.
CLAIM_S: Final = 20.0
REPORT_S: Final = 5.0
LEASE_S: Final = 60.0  # longer than claiming, delivering and reporting may take together
FIRST_S, LONGEST_S = 10.0, 3600.0
FAILED_EVERY_S: Final = 900.0
MAX_TRIES: Final = 33  # a day and some hours
REPORT_AGAIN_S: Final = (0.5, 1.0, 2.0)

_draw = random.SystemRandom().random
_log = structlog.get_logger("relay.notifier")

T = TypeVar("T")


class RunSync(Protocol):
    """Runs something that blocks."""

    async def __call__(self, ask: Callable[[], T]) -> T: ...


async def in_thread(ask: Callable[[], T]) -> T:
    """Run a blocking question in a thread that may be left behind."""
    return await trio.to_thread.run_sync(ask, abandon_on_cancel=True)


@dataclass(frozen=True, slots=True)
class Fate:
    """What came of a try. error says why it was not "sent"."""

    state: Settled
    error: str = ""


Deliver = Callable[[Notice], Awaitable[Fate]]


class Notifier:
    """The process's deliveries."""

    def __init__(
        self,
        store: NoticeStore,
        *,
        webhook: Webhook | None = None,
        secret: str = "",
        phone_control: PhoneControl | None = None,
        sms_to: str | None = None,
        confirm: bool = False,
        business: Callable[[], str] = lambda: "",
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = _draw,
        run_sync: RunSync = in_thread,
    ) -> None:
        """webhook, secret: where notices are posted, and what they are signed with.

        phone_control: what texts go through; sms_to: to the owner; confirm: to callers, too
        business: its name, for callers. draw: a number in [0, 1), for the waits
        """
        self._store = store
        self._webhook = webhook
        self._secret = secret
        self._phone_control = phone_control
        self._sms_to = sms_to
        self._confirm = confirm
        self._business = business
        self._wall_clock = wall_clock
        self._draw = draw
        self._run_sync = run_sync
        self._troubled = False
        self.counts: Counter[tuple[str, str]] = Counter()  # tries, by channel and what came of them

    async def run(self) -> None:
        """Deliver for ever."""
        texts = [
            channel
            for channel, wanted in (("sms_owner", self._sms_to), ("sms_caller", self._confirm))
            if wanted
        ]
        async with trio.open_nursery() as nursery:
            if self._webhook is not None:
                post = partial(self._post, self._webhook)
                nursery.start_soon(self._serve, ["webhook"], post, "pending", False)
            if self._phone_control is not None and texts:
                text = partial(self._text, self._phone_control)
                nursery.start_soon(self._serve, texts, text, "unknown", True)

    async def _serve(
        self, channels: Sequence[str], deliver: Deliver, lapsed: Settled, finish: bool
    ) -> None:
        """Rounds, without a pause while there is more. finish: a round is not cut short."""
        while True:
            with trio.CancelScope(shield=finish):
                more = await self._round(channels, deliver, lapsed)
            await trio.sleep(0 if more else POLL_S)

    async def _round(self, channels: Sequence[str], deliver: Deliver, lapsed: Settled) -> bool:
        now, holder = self._wall_clock(), secrets.token_hex(8)
        question = partial(
            self._store.claim_notices,
            channels,
            now=now,
            until=now + timedelta(seconds=LEASE_S),
            holder=holder,
            limit=AT_ONCE,
            lapsed=lapsed,
            failed_every=timedelta(seconds=FAILED_EVERY_S),
        )
        claimed = await self._asked(question, CLAIM_S)
        if claimed is None:
            return False
        self._tell_of_lapsed(claimed, lapsed)
        async with trio.open_nursery() as nursery:
            for notice in claimed.notices:
                nursery.start_soon(self._see_through, notice, holder, deliver)
        return len(claimed.notices) == AT_ONCE

    async def _see_through(self, notice: Notice, holder: str, deliver: Deliver) -> None:
        """One try, and the report about it."""
        fate = await deliver(notice)
        if fate.state == "pending" and notice.tries >= MAX_TRIES:
            fate = Fate("failed", fate.error)
        self._tell_of(notice, fate)
        at = self._wall_clock()
        if fate.state == "pending":
            at += timedelta(seconds=self.wait_s(notice.tries))
        report = partial(
            self._store.settle_notice, notice, holder, fate.state, at=at, error=fate.error
        )
        for pause_s in (*REPORT_AGAIN_S, 0.0):
            if await self._asked(report, REPORT_S) is not None:
                return
            await trio.sleep(pause_s)

    def wait_s(self, tries: int) -> float:
        """How long a notice waits that was not delivered at this try."""
        wait_s = min(FIRST_S * 2.0 ** min(tries - 1, 16), LONGEST_S)
        return wait_s * (1 + self._draw() / 4)

    async def _asked(self, question: Callable[[], T], patience_s: float) -> T | None:
        """What the store says; None while it says nothing."""
        try:
            with trio.fail_after(patience_s):
                answer = await self._run_sync(question)
        except (StoreError, trio.TooSlowError) as error:
            if not self._troubled:
                _log.warning("! notices cannot be read", error=str(error) or "no answer")
            self._troubled = True
            return None
        self._troubled = False
        return answer

    # ---- the channels

    async def _post(self, webhook: Webhook, notice: Notice) -> Fate:
        body = notices.payload(notice)
        timestamp = int(self._wall_clock().timestamp())
        try:
            await webhook.post(body, notices.signed(body, self._secret, timestamp))
        except NoticeError as error:
            return Fate("pending", str(error))
        return Fate("sent")

    async def _text(self, phone_control: PhoneControl, notice: Notice) -> Fate:
        """A text to the owner, or to the number that the network says the caller has."""
        to = self._sms_to if notice.channel == "sms_owner" else notice.caller
        if to is None:
            return Fate("pending", "its call is not stored yet")
        if not is_number(to):
            return Fate("failed", "no number to text to")
        if notice.channel == "sms_owner":
            body = notices.to_owner(notice)
        else:
            body = notices.to_caller(notice, self._business())
        try:
            await phone_control.text(to, body)
        except PhoneControlError as error:
            if error.doubtful:
                return Fate("unknown", str(error))
            return Fate("failed" if error.refused else "pending", str(error))
        return Fate("sent")

    # ---- the log

    def _tell_of(self, notice: Notice, fate: Fate) -> None:
        self.counts[notice.channel, fate.state] += 1
        facts = {"notice": notice.id, "channel": notice.channel, "call_sid": notice.call_sid}
        match fate.state:
            case "sent":
                _log.info(
                    "> notice", kind=notice.kind, tries=notice.tries, more=notice.more, **facts
                )
            case "pending":
                _log.warning("! notice not delivered", error=fate.error, **facts)
            case "failed":
                _log.error("! notice given up", error=fate.error, **facts)
            case "unknown":
                _log.error("! text perhaps sent, not repeated", error=fate.error, **facts)

    def _tell_of_lapsed(self, claimed: Claimed, into: Settled) -> None:
        for name, channel in claimed.lapsed:
            self.counts[channel, into] += 1
            if into == "unknown":
                _log.error("! text perhaps sent, not repeated", notice=name, error="sender died")
            else:
                _log.warning("! notice is delivered again", notice=name, error="sender died")
