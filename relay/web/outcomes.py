"""What became of a call after its stream ended, as the webhooks hear of it.

It goes the way of every record, through the journal, so it outlives what they outlive. The store
puts it in its place whenever it arrives: above what the call itself said, or, if it is a guess,
below everything.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from relay.ports import Entry, OutcomeSettled


class Outcomes:
    """The process's late outcomes. keep: the journal's."""

    def __init__(self, keep: Callable[[Entry], None]) -> None:
        self._keep = keep

    def note(
        self, call_sid: str, outcome: str, reason: str = "", *, only_if_none: bool = False
    ) -> None:
        """Take an outcome. Never waits, never fails. only_if_none: a guess."""
        settled = OutcomeSettled(outcome, reason, guess=only_if_none)
        self._keep(Entry(call_sid, datetime.now(UTC), settled))
