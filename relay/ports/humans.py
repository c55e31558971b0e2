"""Humans who are rung for a call: who may ask for one, and where the tries are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

#: From which states of an attempt a state may be reached: only forward, and each once.
BEFORE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "answered": frozenset({"ringing"}),
        "accepted": frozenset({"ringing", "answered"}),
        "joined": frozenset({"accepted"}),
        "over": frozenset({"joined"}),
        "lost": frozenset({"ringing", "answered", "accepted"}),
    }
)


class HumanDesk(Protocol):
    """Where a function asks for a human, on behalf of one call."""

    async def ring(self, person: str, reason: str) -> str:
        """Ring somebody. person: a name out of the configuration, "" for whoever is there.

        Returns "" once a telephone rings, else why none does:
        closed | unknown | ringing | too_often | loop | not_rung | cancelled
        """
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to reach a human, as any process may see it.

    state: ringing | answered | accepted | joined | over | lost; reason: why it was lost
    leg_sid: of the call that we placed, "" while that is not known
    summary: what the human is told
    """

    attempt: str
    call_sid: str
    person: str
    state: str
    reason: str
    leg_sid: str
    summary: str
    opened_at: datetime
    changed_at: datetime


class AttemptStore(Protocol):
    """Tries that several processes share. Every method blocks and may raise StoreError."""

    def open_attempt(self, attempt: Attempt) -> None: ...

    def attempt(self, attempt: str) -> Attempt | None: ...

    def attempt_of(self, call_sid: str) -> Attempt | None:
        """The newest one of a call."""
        ...

    def move_attempt(self, attempt: str, state: str, at: datetime, reason: str = "") -> bool:
        """Take a step. False when another process has taken it, or it makes no sense any more."""
        ...

    def note_attempt(self, attempt: str, *, leg_sid: str = "", summary: str = "") -> None:
        """Note what has become known; "" leaves a fact as it is."""
        ...
