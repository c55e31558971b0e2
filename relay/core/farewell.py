"""Leaving a call in good order: say the last words, hear them out, then act.

    chosen ─▶ (audio heard to its end) ─▶ second thoughts ─▶ acted
                                              └─ the caller speaks ─▶ taken back

"Say goodbye, then hang up" waits for that goodbye's mark. Speech soon after it ("oh, one more
thing") takes a hang-up back, and so do soft words, which are waited for; a hand-over to a human is
not taken back by talking, but it is when that human hangs up first.

A television speaks over every goodbye. So the agent's wishes to end that speech undid are counted,
from one that the caller let it say to the next: who wants one more thing listens to the answer.
After `max_taken_back` in a row the next one stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.core.commands import ClosePhone, Command, Keep
from relay.core.moving import RESUME
from relay.core.records import DispositionChosen

#: The function by which the model hangs up.
END_CALL: Final = "end_call"
# However lost the marks and however long the speech: nobody waits longer than this to leave.
LATEST_S = 30.0


@dataclass(slots=True)
class Farewell:
    """What will be done, why, and since when nothing is left to be heard (None: something is).

    doubted_at: since when somebody may be saying something, too softly for a proven voice
    """

    disposition: str
    reason: str
    chosen_at: float
    revocable: bool
    grace_s: float
    doubt_s: float
    quiet_since: float | None = None
    doubted_at: float | None = None

    def heard_out(self, now: float, *, quiet: bool, doubt: bool) -> None:
        """Note whether all audio has been heard, and whether anybody may be speaking."""
        if not (doubt and self.revocable):
            self.doubted_at = None
        elif self.doubted_at is None:
            self.doubted_at = now
        if not quiet:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now

    @property
    def act_at(self) -> float:
        latest = self.chosen_at + LATEST_S
        if self.quiet_since is None:
            return latest
        act_at = self.quiet_since + self.grace_s
        if self.doubted_at is not None:
            act_at = max(act_at, self.doubted_at + self.doubt_s)
        return min(latest, act_at)


class Leaving:
    """How one call is left: what was chosen, what was done, and what that makes of the call."""

    def __init__(
        self, *, second_thoughts_s: float, objection_s: float, max_taken_back: int
    ) -> None:
        self.farewell: Farewell | None = None
        self.reason = ""
        self.returns = 0  # of the call, before this stream
        self._second_thoughts_s = second_thoughts_s
        self._objection_s = objection_s
        self._max_taken_back = max_taken_back
        self._acted = ""
        self._undone = 0  # wishes to end, in a row
        self._listened: set[str] = set()  # to these responses, since the last wish to end
        self._goodbyes: set[str] = set()  # responses with such a wish

    def choose(self, disposition: str, reason: str, now: float, *, revocable: bool) -> None:
        """What will be done when all is said. Only a hang-up can be taken back."""
        revocable = revocable and disposition == "hang_up"
        grace_s = self._second_thoughts_s if revocable else 0.0
        self.farewell = Farewell(disposition, reason, now, revocable, grace_s, self._objection_s)

    def take_back(self) -> bool:
        """The caller went on speaking. False: this cannot be taken back."""
        if self.farewell is None or not self.farewell.revocable:
            return False
        self.farewell = None
        self.undone()
        return True

    # ---- how often it was wished for ---------------------------------------------------------

    def listened(self, response_id: str) -> None:
        """The caller has heard speech of a response to its end."""
        self._listened.add(response_id)

    def wished(self, response_id: str) -> None:
        """The agent wants to end the call."""
        self._goodbyes.add(response_id)
        if self._listened - self._goodbyes:
            self._undone = 0
        self._listened.clear()

    def undone(self) -> None:
        """Speech has undone such a wish, be it before it was acted on or after."""
        self._undone += 1

    @property
    def stands(self) -> bool:
        """Whether the next such wish is done whoever speaks."""
        return self._undone >= self._max_taken_back

    # ---- what becomes of it ------------------------------------------------------------------

    def human_is_gone(self) -> bool:
        """Who was to take the call has hung up. True: the caller stays after all."""
        if self.farewell is None or self.farewell.disposition != "join":
            return False
        self.farewell = None
        return True

    def gives_up(self) -> bool:
        """The caller is leaving because we cannot help: a human is as welcome as before."""
        return self.farewell is not None and self.farewell.disposition != "hang_up"

    def goes_on(self) -> bool:
        """The call goes on in another stream, which will say how it ended."""
        return self._acted == RESUME

    def act(self, farewell: Farewell, now: float) -> list[Command]:
        """Close the stream. What follows is up to `after-stream`."""
        self._acted, self.reason = farewell.disposition, farewell.reason
        return [
            Keep(DispositionChosen(now, farewell.disposition, farewell.reason, self.returns)),
            ClosePhone(farewell.disposition, farewell.reason),
        ]

    def outcome(self, tool_outcomes: list[str], answers: int) -> tuple[str, str]:
        """Outcome and reason. Only a human who waits for the caller is a success by now."""
        if self._acted == "join":
            return "transferred", self.reason
        if self._acted in ("fallback", "voicemail"):
            return "failed", f"{self._acted}: {self.reason}"
        if tool_outcomes:
            return tool_outcomes[-1], self.reason
        return ("resolved" if answers else "abandoned"), self.reason
