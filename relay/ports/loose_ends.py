"""Calls and humans' legs of which nobody has told the end: a callback was lost, or a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relay.ports.humans import Attempt


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call without an outcome. had_stream: a stream of it was open once."""

    call_sid: str
    started_at: datetime
    had_stream: bool


class LooseEndStore(Protocol):
    """What has no end. Every method blocks and may raise StoreError; limit: rows at most."""

    def open_calls(self, since: datetime, before: datetime, limit: int) -> Sequence[OpenCall]:
        """Calls that began then and have no outcome, oldest first."""
        ...

    def open_legs(self, since: datetime, before: datetime, limit: int) -> Sequence[Attempt]:
        """Tries to reach a human that have stood still since then, short of a conversation."""
        ...

    def claim_stream(self, nonce: str, call_sid: str, at: datetime) -> bool:
        """Use up a nonce: True the first time, False ever after, on any process."""
        ...
