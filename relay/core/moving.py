"""A call that outlives its process: how it is let go of, and what it is taken up with.

    asked ─▶ nobody speaks, nothing is to be heard, answered or done ─▶ the stream is closed
      └── move_within_s ─▶ the agent is cut, "one moment" is heard ──▶ the stream is closed

The stream is closed with `resume`: Twilio asks `after-stream`, any process answers with another
stream, and there a new core is told what the call has come to (`CallResumed`). Nothing else goes
from one to the other, so that a process which died is followed in the same way.

A call that is leaving anyway goes where it was going. One that is moved has no outcome yet: it is
the next stream that says how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.core.conversation import Conversation

RESUME: Final = "resume"
REASON: Final = "moved"


@dataclass(slots=True)
class Moving:
    """Whether a call is wanted elsewhere. due_at: when it no longer waits for a turn's end."""

    asked: bool = False
    due_at: float | None = None

    def ask(self, now: float, within_s: float) -> None:
        """The process is about to end. Asked again, it is no news."""
        if not self.asked:
            self.asked, self.due_at = True, now + within_s


def at_rest(talk: Conversation) -> bool:
    """Whether a turn has come to its end: all was said, heard, understood, answered and done."""
    return (
        talk.silent()
        and not talk.caller.utterances.wait_for_words()
        and not talk.responses.busy
        and talk.responses.wanted is None
        and not talk.tools.waiting()
        and not talk.tools.running()
    )
