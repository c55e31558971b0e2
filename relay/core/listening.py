"""The caller's side of a conversation: who speaks, whether to us, and whether that wants an answer.

A caller's utterance over our speech is a *suspicion* until `confirm_voiced_ms` of frames stand
above the adaptive floor (hearing.py). Confirmed: cut. Unconfirmed: play on, and look at its words
later; without any it was noise, and the model forgets it.

Somebody whom only we hear is yielded to as well, if they go on for long. Nothing may come of that:
the server took them for nobody. Then the agent goes on, once, for the caller would hear silence.

The server may never end an utterance: somebody speaks without a pause, a tape plays, or a noise
goes on behind a caller who has finished. Then the agent *cuts in*: what there is becomes an item
and is answered, and the rest neither cuts that answer nor holds the floor, until it pauses and
begins anew.
"""

from __future__ import annotations

from relay.core import commands as do
from relay.core import events as on
from relay.core.commands import Command
from relay.core.hearing import SPEAKING_DB, Ear
from relay.core.playout import Playout
from relay.core.policy import CallPolicy
from relay.core.tool_calls import ToolCalls
from relay.core.transcript import INAUDIBLE, Transcript
from relay.core.turns import Responses, Utterance, Utterances

#: More answers than any call has; what comes behind them is not measured.
MAX_MEASURED = 1000
NEVER_DB = float("inf")
#: What our ear takes for a voice, a living server has told of by then; one that is gone is known to
#: be, by its missing pong.
NOTICED_S = 4.0
#: Who was heard so recently may be between two words.
BETWEEN_WORDS_S = 1.0

_UNBROKEN = (
    "Somebody has been speaking without a pause, or a recording or music plays. Cut in, in one"
    " short sentence: say what you have understood, and ask what you need. If nobody speaks to you,"
    " say goodbye and end the call."
)


class Listening:
    """One call's. answers_s: how long each answer was waited for."""

    def __init__(
        self,
        policy: CallPolicy,
        playout: Playout,
        responses: Responses,
        tools: ToolCalls,
        transcript: Transcript,
    ) -> None:
        self._policy = policy
        self._playout = playout
        self._responses = responses
        self._tools = tools
        self._transcript = transcript
        self.ear = Ear(
            margin_db=policy.voice_margin_db,
            echo_gain_db=policy.echo_gain_db,
            voice_range_db=policy.voice_range_db,
            window_ms=policy.confirm_window_ms,
            voiced_ms=policy.confirm_voiced_ms,
            vowel_ms=policy.confirm_vowel_ms,
        )
        self.utterances = Utterances()
        self.answers_s: list[float] = []
        self._spoken_at: float | None = None
        self.silent_at = 0.0  # when the last utterance was over, before the server's patience was
        self._alone_at: float | None = None  # we yielded to whom the server had not heard
        self._went_on = False
        self._voiced_at = self._anew_at = 0.0  # a voice was last heard; and first, behind a pause
        self._spoke_at = 0.0  # we were last so loud that their voice may have gone under
        self._unnoticed_at = float("-inf")  # a voice of which no session has told since
        self._loudness: dict[str, float] = {}  # committed utterance without words yet -> dBFS

    @property
    def alert_db(self) -> float:
        """From what level on a frame may be a caller to whom we must yield; inf: nobody speaks."""
        if self._playout.quiet() and not self._responses.busy:
            return NEVER_DB
        return self.ear.least_db

    def frame(self, ms: int, level_db: float, rises: int, now: float) -> bool:
        """Measure one frame. True: with it, it is certain that the caller speaks."""
        own = self._playout.level_db(now, self._policy.echo_tail_ms)
        voiced = self.ear.frame(now, ms, level_db, own, rises)
        if own > SPEAKING_DB:
            self._spoke_at = now
        if not voiced:
            return False
        if now - self._voiced_at >= self._policy.anew_s:
            self._anew_at = now
        self._voiced_at = now
        if self.utterances.open is None and self.ear.proven_at == now:
            self._unnoticed_at = now
        return self.confirm(now) or self._certain_alone(now)

    def speaks(self, now: float) -> bool:
        """Whether the caller was heard just now, and nobody has told of their end."""
        goes_on = self.utterances.open is not None or self.unnoticed(now)
        return goes_on and self.ear.proven_at > now - BETWEEN_WORDS_S

    def unnoticed(self, now: float) -> bool:
        """Whether somebody has spoken of whom the server may not have told any more."""
        return self._unnoticed_at > now - NOTICED_S

    def confirm(self, now: float) -> bool:
        """True once for an utterance: our own meter agrees with the server's VAD."""
        utterance = self.utterances.open
        if utterance is None or utterance.confirmed:
            return False
        if utterance.rest and self._anew_at < utterance.began_at:
            return False
        utterance.confirmed = self.ear.proof(now)
        if utterance.rest and utterance.confirmed:
            utterance.rest, utterance.began_at = False, now
        return utterance.confirmed

    def _certain_alone(self, now: float) -> bool:
        """The server has noticed nothing new, yet somebody has been talking over us for long."""
        utterance = self.utterances.open
        return (
            (utterance is None or utterance.confirmed)
            and self.ear.voiced_ms(now) >= self._policy.alone_voiced_ms
            and not self._playout.quiet()
        )

    def forget(self) -> None:
        """The session is gone. Who spoke to it is for its successor to tell of."""
        if self.utterances.open is not None:
            self._unnoticed_at = self.ear.proven_at
        self.utterances.forget()

    def retold(self, now: float) -> None:
        """A session has been told what no other understood. It may take it for nobody, too."""
        if not self._went_on:
            self._alone_at = now

    def yielded(self, now: float) -> None:
        """We fall silent for a caller who speaks, even if only we have heard them yet."""
        if self.utterances.open is None and not self._went_on:
            self._alone_at = now

    @property
    def go_on_at(self) -> float | None:
        """When we go on, if nobody has spoken for whom we fell silent."""
        return None if self._alone_at is None else self._alone_at + self._policy.words_within_s

    def go_on(self, now: float) -> None:
        """Nothing came of a cut: go on, but only once until somebody is heard.

        Whoever still speaks, or is about to be understood, is waited for.
        """
        waits = self.holds_the_floor() or self.utterances.speaks() or self.utterances.wordless()
        if waits or self.ear.voiced_ms(now):
            self._alone_at = now
            return
        answered = self._alone_at is not None and self._alone_at <= self._responses.heard_until
        self._alone_at = None
        if not answered:
            self._went_on = True
            self._responses.want("go_on")

    def speech_started(self, event: on.SpeechStarted, now: float, *, greeting: bool) -> bool:
        """An utterance begins. True: it is confirmed already."""
        self._spoken_at = None
        self._unnoticed_at = float("-inf")
        if self._rename(event.item_id, starts=True):
            return False
        over_agent = not self._playout.quiet() or self._responses.busy
        self.utterances.started(
            Utterance(event.item_id, now, event.buffer_ms, over_agent, greeting)
        )
        self._transcript.caller_spoke(event.item_id, now)
        self.ear.listen()
        return self.confirm(now)

    def speech_stopped(self, item_id: str, buffer_ms: int, now: float) -> None:
        """An utterance ends, and with it the caller's wait for an answer begins."""
        utterance = self.utterances.stopped(item_id, buffer_ms, now)
        if utterance is not None:
            self._spoken_at = now
            heard = utterance.confirmed  # else it was too quiet for us
            self.silent_at = self.ear.proven_at if heard else now - self._policy.silence_ms / 1000

    @property
    def cut_in_at(self) -> float | None:
        """When the agent cuts in on an utterance, if the server does not end it."""
        utterance = self.utterances.open
        if utterance is None:
            return None
        unbroken = utterance.began_at + self._policy.unbroken_s
        if not utterance.confirmed:
            return unbroken
        return min(unbroken, max(self._voiced_at, self._spoke_at) + self._policy.voiceless_s)

    def cut_in(self, now: float) -> list[Command]:
        """Make an item of what there is of it: a proven voice is answered, a noise by its words."""
        cut = self.utterances.cut_off(now)
        if cut is None:
            return []
        self._transcript.caller_spoke(self.utterances.open_id, now)
        out: list[Command] = [do.CommitAudio()]
        if cut.confirmed:
            self._spoken_at = now
            self._responses.want("turn")
            if now - self._voiced_at < self._policy.anew_s:
                out.append(do.AddText("system", _UNBROKEN))
        return out

    def _rename(self, item_id: str, *, starts: bool) -> bool:
        """The server has a name for what we have cut. False: it has not."""
        before = self.utterances.named(item_id, starts=starts)
        if before is not None:
            self._transcript.renamed(before, item_id)
        return before is not None

    def committed(self, event: on.InputCommitted, now: float) -> list[Command]:
        """The utterance is an item now: it wants an answer unless it was a mere noise or hello."""
        self._rename(event.item_id, starts=False)
        utterance = self.utterances.committed(event.item_id, now)
        if utterance is None:
            return [do.Note("commit_without_speech", event.item_id)]
        self._loudness[event.item_id] = self.ear.loudest_db
        rows = self._transcript.caller_committed(event.item_id, event.previous_item_id)
        out: list[Command] = [do.Keep(row) for row in rows]
        if utterance.answered:
            return out
        if self._is_hello(utterance):
            utterance.answered = True
            return [*out, do.Note("hello_unanswered", event.item_id)]
        if utterance.confirmed:
            self._answer(utterance)  # what was no proven voice waits for its words
        return out

    def _answer(self, utterance: Utterance) -> None:
        """Wish for an answer, unless what was asked for since its commit is one."""
        utterance.answered = True
        if not self.is_answered(utterance):
            self._responses.want("turn")

    def is_answered(self, utterance: Utterance) -> bool:
        """Whether what was asked for since its commit is an answer to it."""
        committed_at = utterance.committed_at
        return self._policy.server_turns or (
            committed_at is not None and committed_at < self._responses.heard_until
        )

    @property
    def words_due(self) -> float | None:
        """When speech that waits for its words is answered without them."""
        if not self.utterances.wait_for_words():
            return None
        times = (u.committed_at for u in self.utterances.wordless())
        first = min((at for at in times if at is not None), default=None)
        return None if first is None else first + self._policy.words_within_s

    def words_overdue(self, now: float) -> None:
        """No words came: it may have been speech all the same, and silence is no answer."""
        for utterance in self.utterances.wordless():
            if (utterance.committed_at or now) + self._policy.words_within_s <= now:
                self._answer(utterance)

    def understood(self, now: float) -> bool:
        """Whether a session has heard all that was said, and its words are known."""
        return not self.unnoticed(now) and self.words_known(now)

    def words_known(self, now: float) -> bool:
        """Whether the words of all that a session has heard are known, or were lost so long ago
        that its sound is not kept any more."""
        return not self.utterances.unsettled(now - self._policy.hold_audio_ms / 1000)

    def unanswered(self, now: float) -> bool:
        """Whether the server has told of speech that is over, and no answer is wished for yet.

        Its item and its words are given the time in which a server that is gone is known to be.
        """
        return self.utterances.unanswered(now - NOTICED_S)

    def spoken_ms(self, item_id: str) -> int:
        """How long an utterance was, for as long as its words have not come."""
        utterance = self.utterances.get(item_id)
        if utterance is None or utterance.stop_ms is None:
            return 0
        return max(0, utterance.stop_ms - utterance.start_ms)

    def transcribed(self, event: on.CallerTranscribed, now: float) -> list[Command]:
        """The words of an utterance, any time after its commit."""
        utterance = self.utterances.settle(event.item_id)
        loudest_db = self._loudness.pop(event.item_id, None)
        doubtful = utterance is not None and not utterance.confirmed
        text = event.text.strip()
        if not text and not event.failed:
            self._transcript.forget(event.item_id)
            return [do.DeleteItem(event.item_id)] if doubtful else []
        self._went_on = False
        out: list[Command] = []
        if utterance is not None and doubtful:  # quiet words are words all the same
            if not self.is_answered(utterance):
                out += self._tools.objected(now)
            if not utterance.answered:
                self._answer(utterance)
        if utterance is not None and loudest_db is not None and text:
            self.ear.learn(loudest_db, sure=utterance.confirmed)
        rows = self._transcript.caller_words(event.item_id, text or INAUDIBLE, now)
        return out + [do.Keep(row) for row in rows]

    def objects(self, event: on.CallerTranscribed) -> bool:
        """Whether these words are of a voice so soft that nothing has come of it yet."""
        utterance = self.utterances.get(event.item_id)
        if utterance is None or not (event.text.strip() or event.failed):
            return False
        return not (utterance.confirmed or self.is_answered(utterance))

    def _is_hello(self, utterance: Utterance) -> bool:
        speech_ms = utterance.speech_ms(self._policy.prefix_padding_ms, self._policy.silence_ms)
        return utterance.over_greeting and speech_ms < self._policy.hello_ms

    def holds_the_floor(self) -> bool:
        """Somebody speaks, or has only just finished: whatever we have to say waits."""
        utterance = self.utterances.open
        speaks = utterance is not None and utterance.confirmed
        return speaks or self.utterances.commit_by is not None

    def doubt(self, now: float) -> bool:
        """Whether somebody may be objecting to what was said."""
        since = now - self._policy.words_within_s
        return any(not self.is_answered(u) for u in self.utterances.doubtful(since))

    def answered(self, now: float) -> None:
        """The agent begins to speak: the caller's wait is over, if there was one."""
        if self._spoken_at is not None and len(self.answers_s) < MAX_MEASURED:
            self.answers_s.append(now - self._spoken_at)
        self._spoken_at = None
