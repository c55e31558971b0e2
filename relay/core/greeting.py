"""Who says the greeting, and when it counts as heard.

    clip   start ─▶ clip ─▶ its mark: greeted
    live   start ─▶ ready ─▶ response "greeting" ─▶ its item's mark: greeted
             └────────┴── late, silent, broken off ──▶ clip

The notice is in the greeting, so more hangs on it than courtesy: its mark opens the transcript.
A greeting that the model broke off does not count, however much of it was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.events import AgentAudio, AgentText, ResponseEnded

PURPOSE = "greeting"
_SAY = (
    "A caller has just come on the line. Say exactly these words, once, and nothing else:\n\n{text}"
)


@dataclass(slots=True)
class Greeting:
    """One call's greeting.

    text: what the model is to say; "" when a clip greets
    item_id: whose mark is waited for
    due_at: when a clip takes over from a model that is late
    whole: all of the greeting was said; heard: and its mark came back
    """

    text: str
    patience_s: float
    item_id: str = ""
    due_at: float | None = None
    whole: bool = False
    heard: bool = False
    _response_id: str = ""

    @property
    def live(self) -> bool:
        """The model is still to greet, or about it."""
        return bool(self.text) and not self.whole

    @property
    def instructions(self) -> str:
        return _SAY.format(text=self.text)

    def wait(self, now: float) -> None:
        """Give the model its time, from now on."""
        self.due_at = now + self.patience_s

    def said_by_clip(self, item_id: str) -> None:
        """A clip greets, or takes over."""
        self.item_id, self.whole = item_id, True
        self._response_id, self.due_at = "", None

    def started(self, response_id: str, purpose: str) -> None:
        if self.live and purpose == PURPOSE:
            self._response_id = response_id

    def begins(self, speech: AgentAudio | AgentText) -> bool:
        """True for the first sound of the model's greeting, or the first words for its voice."""
        if self.item_id or not self._response_id or speech.response_id != self._response_id:
            return False
        self.item_id, self.due_at = speech.item_id, None
        return True

    def unsaid(self) -> None:
        """The voice that was to say it is gone: who has it said now begins anew."""
        self.item_id, self.whole, self.heard = "", False, False

    def give_up(self) -> None:
        """Something else had to be said: nobody greets any more, and nothing was greeted with."""
        self.text = self.item_id = self._response_id = ""
        self.whole = self.heard = False
        self.due_at = None

    def broken_off(self, event: ResponseEnded) -> bool:
        """A response ended. True: it was the greeting, and not a whole one."""
        if not self.live or event.response_id != self._response_id:
            return False
        self.whole = event.status == "completed" and bool(self.item_id)
        return not self.whole
