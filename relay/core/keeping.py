"""What may be kept of one call: its recording, its words, and the proof that it may.

    begins ─▶ (greeting) ─ its mark ─▶ kept ◀─ resumes, or MAX ─┐
                  │                     └──── card number ─▶ paused
                  └──────────── "don't record me", at any time ──────▶ refused: nothing, for good

Two laws. A recording is asked for behind the greeting's own mark, at most once a call. After a
refusal it is stopped and deleted, nothing that is said is written down, and what was is removed;
nothing undoes that, not even another stream of the same call.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from relay.core import commands as do
from relay.core.commands import Command
from relay.core.consent import notice_needed
from relay.core.policy import CallPolicy
from relay.core.records import Answer, ConsentNoted
from relay.core.transcript import Transcript

GOES_ON = "(The recording of this call goes on again: the pause is over.)"
REFUSED = (
    "The caller does not want to be recorded. The recording, if there was one, has been stopped and"
    " is being deleted, and nothing of this call is kept in writing. Say so in one sentence, and go"
    " on as before."
)


class Keeping:
    """One call's. Every method returns what is to be done."""

    def __init__(self, policy: CallPolicy, transcript: Transcript) -> None:
        self.refused = False
        self.resume_asked = False
        self.resume_at: float | None = None  # when a pause ends by itself
        self._policy = policy
        self._transcript = transcript
        self._caller: Mapping[str, str] = {}
        self._needed = True
        self._answer: Answer = "hung_up_before"
        self._heard_at: float | None = None
        self._greeting_ms: int | None = None
        self._goes_on = False
        self._owed = False  # a recording may be asked for, once
        self._recording = False  # was asked for, and not refused
        self._words = ""

    @property
    def paused(self) -> bool:
        return self.resume_at is not None

    def resume_call(self, answer: str, *, kept: bool, recording: str) -> None:
        """This stream goes on with a call: what was answered in it holds.

        answer: a consent's, or unknown, when nobody could be asked: then it may have been a refusal
        kept: some of what was said was kept
        """
        if answer in ("declined", "unknown"):
            self.refused = self._goes_on = True
            self._transcript.refuse()
        elif kept:
            self._goes_on, self._recording = True, bool(recording)

    def needs_notice(self, caller: Mapping[str, str], *, can_do_without: bool) -> bool:
        """Whether the greeting must hold the notice. can_do_without: there is one that does not."""
        self._caller = caller
        policy, state = self._policy.consent_policy, self._policy.business_state
        self._needed = not can_do_without or notice_needed(policy, state, caller)
        return self._needed

    def greets_with(self, words: str) -> None:
        """What the caller is told, in these words."""
        self._words = words

    def begins(self, now: float) -> list[Command]:
        """The call has begun; what the row says now is true until more is known."""
        self._answer = "hung_up_before" if self._needed else "none_needed"
        return [] if self._goes_on else [self._row(now)]

    def heard(self, now: float, greeting_ms: int | None) -> list[Command]:
        """All of the greeting was heard, as its own mark says: from here on the call is kept.

        greeting_ms: how long it was waited for
        """
        if self._heard_at is not None or self._goes_on:
            return []
        self._heard_at, self._greeting_ms = now, greeting_ms
        self._transcript.open_gate()
        if self.refused:
            return [self._row(now)]
        if self._needed:
            self._answer = "stayed"
        out: list[Command] = [self._row(now)]
        self._owed = self._policy.record_calls
        return out if self.paused else out + self._start()

    def _start(self) -> list[Command]:
        if not self._owed:
            return []
        self._owed, self._recording = False, True
        return [do.StartRecording()]

    def refuse(self, now: float) -> list[Command]:
        """The caller said no, at any time: stop, delete, forget."""
        if self.refused:
            return []
        self.refused, self._answer = True, "declined"
        self._owed = self._recording = False
        self.resume_at, self.resume_asked = None, False
        self._transcript.refuse()
        return [do.DropRecording(), self._row(now)]

    def pause(self, now: float) -> list[Command]:
        """Something is to be said that must not be kept. Asked again, the time begins anew."""
        was_paused, self.resume_asked = self.paused, False
        self.resume_at = now + self._policy.pause_s
        self._transcript.pause()
        return [do.PauseRecording()] if self._recording and not was_paused else []

    def resume(self) -> list[Command]:
        """It was said: the call is kept again."""
        if not self.paused:
            return []
        self.resume_at, self.resume_asked = None, False
        self._transcript.go_on()
        return [do.ResumeRecording()] if self._recording else self._start()

    def _row(self, now: float) -> do.Keep:
        return do.Keep(
            ConsentNoted(
                now,
                self._policy.consent_policy,
                self._caller.get("country", ""),
                self._caller.get("state", ""),
                self._policy.business_state,
                self._needed,
                sha256(self._words.encode()).hexdigest() if self._words else "",
                self._heard_at,
                self._answer,
                self._greeting_ms,
            )
        )
