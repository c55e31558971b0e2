"""Leaving a call in good order: say the last words, hear them out, then act.

    chosen ─▶ (audio heard to its end) ─▶ second thoughts ─▶ acted
                                              └─ the caller speaks ─▶ taken back

"Say goodbye, then hang up" waits for that goodbye's mark. Speech soon after it ("oh, one more
thing") takes a hang-up back; a hand-over to a human is not taken back by talking.
"""

from __future__ import annotations

from dataclasses import dataclass

# However lost the marks and however long the speech: nobody waits longer than this to leave.
LATEST_S = 30.0


@dataclass(slots=True)
class Farewell:
    """What will be done, why, and since when nothing is left to be heard (None: something is)."""

    disposition: str
    reason: str
    chosen_at: float
    revocable: bool
    grace_s: float
    quiet_since: float | None = None

    def heard_out(self, now: float, *, quiet: bool) -> None:
        """Note whether all audio has been heard."""
        if not quiet:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now

    @property
    def act_at(self) -> float:
        latest = self.chosen_at + LATEST_S
        if self.quiet_since is None:
            return latest
        return min(latest, self.quiet_since + self.grace_s)
