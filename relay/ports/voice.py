"""A second voice: a provider that speaks text, and says when each letter is said.

It spells a provider's messages and opens its connection; what goes when, and what becomes of it, is
decided elsewhere. Sound is mu-law at 8 kHz, as the telephone has it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from relay.ports.sockets import Socket


@dataclass(frozen=True, slots=True)
class VoiceSound:
    """A piece of an item's sound.

    letters: characters of its text in order, each with the ms of this piece by which it is said
    """

    item_id: str
    mulaw: bytes
    letters: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceOver:
    """No more sound of an item comes."""

    item_id: str


VoiceSays: TypeAlias = VoiceSound | VoiceOver


class Voice(Protocol):
    """One voice of a provider's.

    model, name: what a recording of it is filed under
    at_once: items that may be open on one connection
    """

    @property
    def model(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> int: ...

    def dial(self) -> AbstractAsyncContextManager[Socket]:
        """Open a connection for the length of a block. Raises DialError."""
        ...

    def begin(self, item_id: str) -> str:
        """The message that opens an item."""
        ...

    def say(self, item_id: str, text: str) -> str:
        """The message that has more of it spoken, at once."""
        ...

    def end(self, item_id: str) -> str:
        """The message that says: no more text, or: nobody listens any more."""
        ...

    def parse(self, message: str | bytes) -> VoiceSays | None:
        """Read a message; None: it tells nothing. Raises VoiceError."""
        ...

    def why(self, code: int, reason: str) -> str:
        """What a closed connection means: one of VoiceError's words."""
        ...
