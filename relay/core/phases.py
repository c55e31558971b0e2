"""The phases of a call, as a table.

    IDLE ── started ──▶ GREETING ── greeted ──▶ TALKING ◀─ taken_back ─┐
      │                    │                       │                   │
      │                    └────── leaving ────────┴──── leaving ──▶ LEAVING
      │                                                                │
      └─ gone ─▶ ENDED ◀─ settled ─ LAST_WORDS ◀─ gone ─ HANDED_OVER ◀─┘ acted
                                        ▲── gone ── any phase with a caller

GREETING     the greeting plays; only an emergency cuts it, and no answer is given yet
TALKING      the conversation
LEAVING      something is said to its end, then the stream is closed with a disposition
HANDED_OVER  we closed the stream; the phone's socket is about to go
LAST_WORDS   the caller is gone; the model may still send what was said last
"""

from __future__ import annotations

from enum import Enum, auto

from relay.core import events as on


class Phase(Enum):
    IDLE = auto()
    GREETING = auto()
    TALKING = auto()
    LEAVING = auto()
    HANDED_OVER = auto()
    LAST_WORDS = auto()
    ENDED = auto()


class Fit(Enum):
    """How an event stands to a phase."""

    TAKEN = auto()
    MOOT = auto()  # was in flight when the phase changed: dropped without a word
    NONSENSE = auto()  # dropped with a note


WITH_CALLER = (Phase.GREETING, Phase.TALKING, Phase.LEAVING)

TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.IDLE, "started"): Phase.GREETING,
    (Phase.IDLE, "gone"): Phase.ENDED,
    (Phase.GREETING, "greeted"): Phase.TALKING,
    (Phase.GREETING, "leaving"): Phase.LEAVING,
    (Phase.TALKING, "leaving"): Phase.LEAVING,
    (Phase.LEAVING, "taken_back"): Phase.TALKING,
    (Phase.LEAVING, "acted"): Phase.HANDED_OVER,
    **{(phase, "gone"): Phase.LAST_WORDS for phase in (*WITH_CALLER, Phase.HANDED_OVER)},
    (Phase.LAST_WORDS, "settled"): Phase.ENDED,
}

_BEFORE = (
    on.CallResumed,
    on.MoveAsked,
    on.PhoneStarted,
    on.PhoneStopped,
    on.PhoneClosed,
    on.DayBudget,
    on.DeadlinePassed,
    on.OutboxFull,
    on.PeerMisbehaved,
)

#: What still matters after the stream was closed.
_AFTERWARDS = (
    on.CallerTranscribed,
    on.AgentTranscribed,
    on.AgentWrote,
    on.InputCommitted,
    on.SpeechStopped,
    on.ResponseStarted,
    on.ResponseEnded,
    on.ToolFinished,
    on.RecordingRefused,
    on.ModelClosed,
    on.PhoneStopped,
    on.PhoneClosed,
    on.DeadlinePassed,
)


def fit(phase: Phase, event: on.Event) -> Fit:
    """Whether an event means something in a phase."""
    if phase in WITH_CALLER:
        first = (on.PhoneStarted, on.CallResumed)
        return Fit.NONSENSE if isinstance(event, first) else Fit.TAKEN
    if phase is Phase.IDLE:
        return Fit.TAKEN if isinstance(event, _BEFORE) else Fit.NONSENSE
    if phase is Phase.ENDED:
        return Fit.MOOT
    return Fit.TAKEN if isinstance(event, _AFTERWARDS) else Fit.MOOT
