"""What the store knows of a call that wants to go on after its stream: where it stands, and what
it has come to. Every return to a stream is a row, claimed once, whichever process claims it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

#: Why a call comes back: its process let go of it, its stream broke, or a human sent it back.
WhyBack: TypeAlias = Literal["moved", "broke", "human_dropped"]
WHYS: Final[tuple[WhyBack, ...]] = ("moved", "broke", "human_dropped")
#: More of one kind are not granted to one call.
MAX_RETURNS: Final = 8


def return_nonce(why: WhyBack, call_sid: str, number: int) -> str:
    """What the number-th return of a call is claimed by, counted from 1; no token is like it."""
    return f"{why} {call_sid} {number}"


def followed_nonce(stream: str) -> str:
    """What is claimed when a call's next stream is let in: that this one is history.

    stream: the name of the stream before (ticket.py)
    """
    return f"followed {stream}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What `after-stream` must know of a call. returns: why and when, for each that was granted.

    had_stream: a stream of it was open once
    chosen_after: how many returns there had been when the disposition's stream began; None: a
        version that did not count them has chosen it
    """

    had_stream: bool
    disposition: str | None
    disposition_at: datetime | None
    returns: tuple[tuple[WhyBack, datetime], ...] = ()
    chosen_after: int | None = None


@dataclass(frozen=True, slots=True)
class CallPast:
    """All that a call has come to in its streams so far. Texts are personal.

    lines: speaker (caller | agent) and heard text, in order; answers: those of the model's own
    tools: name, arguments, status, output; outcomes, notices: of what those did, in order, each
        once; the last notice is what the owner was told last
    micro_usd: what it has cost; models: which of them answered it
    returns: how often it has come back; greeting_ms: of the stream that was heard greeting
    """

    started_at: datetime
    lines: tuple[tuple[str, str], ...]
    answers: int
    tools: tuple[tuple[str, str, str, str], ...]
    outcomes: tuple[str, ...]
    notices: tuple[str, ...]
    micro_usd: int
    models: frozenset[str] = frozenset()
    returns: int = 0
    greeting_ms: int | None = None


class ReturnStore(Protocol):
    """Calls that go on elsewhere. Every method blocks and may raise StoreError."""

    def standing(self, call_sid: str) -> Standing | None: ...

    def past(self, call_sid: str) -> CallPast | None: ...

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a nonce: True the first time, False ever after, on any process."""
        ...

    def claimed(self, nonce: str) -> bool:
        """Whether a nonce was used up, by any process."""
        ...
