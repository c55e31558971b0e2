"""Handing the caller to a human: who may be asked for, how often, and what the model is told.

    AVAILABLE ─ requested ─▶ REQUESTED ─ handed over ─▶ GONE

The number is never in here: the model cannot choose it and the core does not know it.
"""

from __future__ import annotations

from enum import Enum, auto


class Transfer(Enum):
    """Where a call stands with its one transfer."""

    UNAVAILABLE = auto()
    AVAILABLE = auto()
    REQUESTED = auto()
    GONE = auto()


TRANSITIONS = {
    (Transfer.AVAILABLE, "requested"): Transfer.REQUESTED,
    (Transfer.REQUESTED, "handed_over"): Transfer.GONE,
}

#: What a function call is answered, by the state that it found.
ANSWERS = {
    Transfer.UNAVAILABLE: (
        '{"error":"nobody_there","message":"No human can be reached now. Say so and offer to'
        ' help yourself."}'
    ),
    Transfer.AVAILABLE: '{"status":"transferring"}',
    Transfer.REQUESTED: '{"status":"transferring"}',
    Transfer.GONE: '{"status":"transferring"}',
}


def step(state: Transfer, trigger: str) -> Transfer:
    """The next state; the same one when the trigger makes no sense in it."""
    return TRANSITIONS.get((state, trigger), state)
