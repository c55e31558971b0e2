"""Fetching a human while the caller stays with us: one attempt at a time.

    FREE ─ ringing ─▶ RINGING ─ accepted ─▶ ACCEPTED ─▶ the stream is closed with "join"
      ▲                  │ lost, dropped        │ lost: the human hung up before the caller came
      └──────────────────┴──────────────────────┘

The human is rung by a function that the shell runs (`transfer_to_human`), so that the wish waits
for the speech before it and is answered like any other; what becomes of the ringing are events.
Meanwhile the agent goes on talking. A summary is written out of band and told to the human, who
presses a key. Only that key counts as success: a telephone that was answered may be a voicemail.

The number is never in here: the model cannot choose it and the core does not know it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from relay.core.commands import AskPrivately, BriefHuman, Command, DropHuman

TOOL = "transfer_to_human"
CANCEL = "cancel_transfer"
PURPOSE = "summary"
#: What a lone 0 asks for, in the function's own arguments.
BY_KEY = '{"reason":"The caller pressed 0 for a person."}'

SUMMARISE = (
    "A colleague is about to take this call over. Tell them in at most two short sentences, in"
    " plain words to be read aloud: what the caller wants, and what was said or done about it so"
    " far. No greeting, no names of functions, no advice."
)
RUNG_BY_KEY = (
    "The caller pressed 0 for a person, and someone is being rung. Keep the caller company until"
    " you are told how it went."
)
CANCELLED = '{"status":"cancelled","message":"Nobody is being rung any more. Go on yourself."}'
NOT_RINGING = '{"status":"not_ringing","message":"Nobody is being rung. Go on yourself."}'

_WHY = {
    "busy": "their line is busy",
    "no_answer": "nobody answered",
    "declined": "they cannot take the call now",
    "closed": "nobody is there at this hour",
    "hung_up": "they hung up",
    "not_rung": "the telephone network did not take the call",
    "too_often": "it was tried often enough in this call",
    "loop": "the caller is the person who would be rung",
}


class Stage(Enum):
    FREE = auto()
    RINGING = auto()
    ACCEPTED = auto()


@dataclass(slots=True)
class Handover:
    """Where a call stands with the human it wants.

    called_off: nobody is wanted any more, though the telephone network was asked and may still ring
    """

    stage: Stage = Stage.FREE
    attempt: str = ""
    called_off: bool = False
    _private: set[str] = field(default_factory=set)  # responses out of band: none is heard

    @property
    def live(self) -> bool:
        return self.stage is not Stage.FREE

    @property
    def ringing(self) -> bool:
        return self.stage is Stage.RINGING

    def rings(self, attempt: str, *, model_ready: bool) -> list[Command]:
        """A telephone rings: have the model say what the call is about, if there is one."""
        if self.called_off:
            self.called_off = False
            return [DropHuman(attempt)]
        self.stage, self.attempt = Stage.RINGING, attempt
        return [AskPrivately(PURPOSE, SUMMARISE)] if model_ready else []

    def accepts(self, attempt: str) -> bool:
        """The human pressed the key. False: that attempt is history."""
        if self.stage is not Stage.RINGING or attempt != self.attempt:
            return False
        self.stage = Stage.ACCEPTED
        return True

    def loses(self, attempt: str) -> bool:
        """Nothing came of it. False: that is no news."""
        if not self.live or attempt != self.attempt:
            return False
        self.stage = Stage.FREE
        return True

    def cancel(self, *, asked: bool) -> tuple[list[Command], str]:
        """The caller wants nobody any more. Commands, and what the model is told.

        asked: the telephone network was, and has not answered
        """
        if not (self.live or asked):
            return [], NOT_RINGING
        self.called_off = not self.live
        return self.drop(), CANCELLED

    def drop(self) -> list[Command]:
        """The human is not wanted any more."""
        if not self.live:
            return []
        self.stage = Stage.FREE
        return [DropHuman(self.attempt)]

    # ---- the summary ------------------------------------------------------------------------

    def started(self, response_id: str, purpose: str) -> bool:
        """True for a response out of band, which is nobody's turn."""
        if purpose != PURPOSE:
            return False
        self._private.add(response_id)
        return True

    def private(self, response_id: str) -> bool:
        return response_id in self._private

    def wrote(self, response_id: str, text: str) -> list[Command]:
        """The summary is written: the human hears it, if there still is one."""
        if self.live and self.private(response_id) and text.strip():
            return [BriefHuman(self.attempt, text.strip())]
        return []


def told(reason: str) -> str:
    """What the model is told when nobody took the call."""
    why = _WHY.get(reason, "they could not be reached")
    return (
        f"The person was not reached: {why}. Tell the caller, and offer to take a message, with"
        " take_message, or to help yourself."
    )


_NOBODY = "If a person was being rung, nobody is any more: ring again if that is still wanted."
_BROKE = f"The line broke for a moment and is back. Take up where you were. {_NOBODY}"
_RESUMED = {
    "moved": (
        "The line was quiet for a moment, which is not the caller's doing. Do not explain it: take"
        f" up where you were. {_NOBODY}"
    ),
    "human_dropped": (
        "The person that the caller was connected to has hung up at once, and the caller is back"
        " with you. Say that you are sorry, and offer to take a message or to help yourself."
    ),
}


def resumed(why: str) -> str:
    """What the model is told when a call comes back to it. why: as after-stream named it."""
    return _RESUMED.get(why, _BROKE)
