"""What the business's owner shall hear of, on its way out: adapters/store_notices.py, webhook.py.

A notice becomes one row a channel in the transaction that stores its record. Whoever delivers
claims rows for a while; a row whose holder never reported is dealt with when that while is over.

    pending ─claimed─▶ sending ─▶ sent | failed | unknown
       ▲                  │
       └─── not sent ─────┘

Texts to the owner that a call failed are not sent for each call of an outage: one tells of others
as well, whose rows are "folded" into its own, and the next is not sent soon after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeAlias

Settled: TypeAlias = Literal["pending", "sent", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice for one channel, claimed. at is UTC; text and caller are personal.

    id: the same on every channel, however often it is delivered
    caller: None while the call itself is not stored; "" when withheld
    tries: how often it has been claimed, this time included
    more: how many others it tells of as well
    """

    id: str
    channel: str
    call_sid: str
    kind: str
    at: datetime
    text: str
    caller: str | None
    tries: int
    more: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """lapsed: id and channel of notices whose holder had not reported in time."""

    notices: Sequence[Notice]
    lapsed: Sequence[tuple[str, str]]


class NoticeStore(Protocol):
    """The queue of notices. Every method blocks and may raise StoreError."""

    def claim_notices(
        self,
        channels: Sequence[str],
        *,
        now: datetime,
        until: datetime,
        holder: str,
        limit: int,
        lapsed: Settled,
        failed_every: timedelta,
    ) -> Claimed:
        """Take what is due, oldest first; nobody else gets it before `until`.

        holder: a name for this claim, never used before
        lapsed: what becomes of notices that another holder took and never reported about
        failed_every: how seldom the owner gets a text that calls failed
        """
        ...

    def settle_notice(
        self, notice: Notice, holder: str, state: Settled, *, at: datetime, error: str = ""
    ) -> bool:
        """Report about a claimed notice. False: somebody else holds it by now.

        at: of "pending", when it is due again; of all others, when that was known
        """
        ...


class Webhook(Protocol):
    """Where notices are posted (adapters/webhook.py)."""

    async def post(self, body: bytes, headers: dict[str, str]) -> None:
        """Raises NoticeError when it did not certainly arrive. Has its own deadline."""
        ...
