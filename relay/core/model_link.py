"""The model's end of a call: dialled, ready, lost, replaced under the living call.

    DIALLING ── session.updated ──▶ READY ── lost ──▶ DIALLING (a successor)
        │                             │
        └── given up ──▶ GONE ◀───────┴── lost again too soon, refused for good

A *succession* is one mechanism for every way to lose a session (its socket, its 60 minutes, its
tongue): the next one is dialled, told the conversation as text, and given what the caller has said
that nobody has understood yet. For that the newest caller audio is kept, bounded: all of an
utterance whose words have not come, else 600 ms, so that the next one's onset is not lost.

What was kept is told to a new session at `FLUSH_PACE` times the speed of speech: in order, and what
the caller says meanwhile queues behind it. A burst of ten seconds at once would have the server cut
out all turns in the same instant, and would fill our outbox.

The first dial is not tried again: a caller who waits for a first answer is better off with a human.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TypeAlias

from relay.core.policy import CallPolicy

#: Sound of the caller and its ms: base64 as in CallerAudio, or mu-law as in CallerPassed.
Sound: TypeAlias = tuple[str | bytes, int]

#: Waits before the second, third and fourth dial of a successor.
BACKOFF_S = (0.25, 0.5, 1.0)
#: Audio kept while nobody speaks: the server's VAD reports speech some 100 ms late, the report is
#: under way for some 100 more, and a successor's VAD wants 300 before it.
ONSET_MS = 600
#: How much faster than speech a new session is told what it has missed, and in what portions.
FLUSH_PACE = 4
FLUSH_MS = 100


class Link(Enum):
    DIALLING = auto()
    READY = auto()
    GONE = auto()


class ModelLink:
    """Whether there is a model to talk to, and what it has not heard yet."""

    def __init__(self, policy: CallPolicy) -> None:
        self.state = Link.DIALLING
        self.successions = 0
        self.ready_by: float | None = None
        self.redial_at: float | None = None
        self.dropped_ms = 0
        self.held_ms = 0
        self._policy = policy
        self.flush_at: float | None = None
        self._kept: deque[Sound] = deque()
        self._untold: deque[Sound] = deque()  # what a new session has missed
        self._tries = 0
        self._lost_at: float | None = None
        self.ready_at = 0.0
        self.hard = False  # the larger model

    @property
    def ready(self) -> bool:
        return self.state is Link.READY

    @property
    def up_to_date(self) -> bool:
        """It has heard all that there was: what comes now follows at once."""
        return self.state is Link.READY and not self._untold

    def dialled(self, now: float) -> None:
        """A dial begins. The first one says how long a session may take to be ready."""
        self.redial_at = None
        if self.ready_by is None:
            self.ready_by = now + self._policy.ready_within_s

    # ---- the caller's audio -----------------------------------------------------------------

    def hear(self, audio: str | bytes, ms: int, *, understood: bool) -> bool:
        """Keep sound for a successor. True: the model can have it now.

        understood: the words of all that was said before are known
        """
        state, untold = self.state, self._untold
        if state is Link.GONE:
            return False
        kept, held_ms = self._kept, self.held_ms + ms
        kept.append((audio, ms))
        ready = state is Link.READY
        brief = ready and understood and not untold
        limit = ONSET_MS if brief else self._policy.hold_audio_ms
        while held_ms - kept[0][1] >= limit:
            oldest_ms = kept.popleft()[1]
            held_ms -= oldest_ms
            self.dropped_ms += 0 if ready else oldest_ms
        self.held_ms = held_ms
        if untold:
            untold.append((audio, ms))
            return False
        return ready

    def flush(self, now: float) -> list[str | bytes]:
        """The next portion of what a new session has missed."""
        portion: list[str | bytes] = []
        ms = 0
        while self._untold and ms < FLUSH_MS:
            audio, audio_ms = self._untold.popleft()
            portion.append(audio)
            ms += audio_ms
        self.flush_at = now + ms / 1000 / FLUSH_PACE if self._untold else None
        return portion

    # ---- a session's life -------------------------------------------------------------------

    def open(self, now: float) -> bool:
        """The session is configured, and is to be flushed now. False: that is no news."""
        if self.state is not Link.DIALLING:
            return False
        self.state, self.ready_at = Link.READY, now
        self.ready_by = self.redial_at = None
        self._untold = deque(self._kept)
        self.flush_at = now
        return True

    def succeed(self, now: float, *, lost: bool) -> bool:
        """Look for a successor. False: the last one did not last, so there will be none.

        lost: the session broke; it is not we who replace it
        """
        recent = self._lost_at is not None and now - self._lost_at < self._policy.relapse_s
        if self.state is not Link.READY or (lost and recent):
            return False
        self.state, self._tries = Link.DIALLING, 0
        self._stop_flush()
        self._lost_at = now if lost else self._lost_at
        self.successions += 1
        self.redial_at, self.ready_by = now, now + self._policy.ready_within_s
        return True

    def dial_again(self, now: float) -> bool:
        """A successor could not be had: try once more. False: enough was tried."""
        if not self.successions or self.state is not Link.DIALLING:
            return False
        if self._tries == len(BACKOFF_S):
            return False
        self.redial_at = now + BACKOFF_S[self._tries]
        self._tries += 1
        return True

    def lose(self) -> Link:
        """There is no model any more. Returns the state before."""
        before, self.state = self.state, Link.GONE
        self.ready_by = self.redial_at = None
        self._stop_flush()
        self._kept.clear()
        self.held_ms = 0
        return before

    def _stop_flush(self) -> None:
        """Who is told is gone; what was not told is still kept."""
        self._untold.clear()
        self.flush_at = None
