"""Where the clips in the agent's own voice are kept. Every method blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A text as a model has spoken it in one of its voices: raw mu-law at 8 kHz.

    model, voice, text: the key
    """

    model: str
    voice: str
    text: str
    mulaw: bytes
    rendered_at: datetime


class ClipStore(Protocol):
    """Clips by model, voice and text. Every method blocks and may raise StoreError."""

    def clips(self, model: str, voice: str) -> Sequence[StoredClip]:
        """All clips in a voice; without those whose sound was damaged."""
        ...

    def keep_clip(self, clip: StoredClip) -> None:
        """Keep a clip. Of two with the same key the later one stays."""
        ...
