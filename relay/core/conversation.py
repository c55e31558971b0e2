"""Two people talking: the caller's utterances, the agent's responses, and who yields to whom.

Every method takes an event's facts and `now`, changes the state and returns commands. It knows
nothing of phases: whether a cut or an answer is allowed at all is decided by `call.py`, which owns
the one instance of this.

A caller's utterance over our speech is a *suspicion* until `confirm_voiced_ms` of frames stand
above the adaptive floor (hearing.py). Confirmed: cut. Unconfirmed: play on, and look at its words
later; without any it was noise, and the model forgets it.
"""

from __future__ import annotations

from textwrap import shorten

from relay.core import commands as do
from relay.core import events as on
from relay.core.commands import Command
from relay.core.hearing import Ear
from relay.core.playout import Heard, Playout
from relay.core.policy import CallPolicy, Clip, Effect
from relay.core.remembering import Remembering
from relay.core.tool_calls import ToolCalls
from relay.core.transcript import INAUDIBLE, Transcript
from relay.core.turns import Responses, Utterance, Utterances
from relay.core.voicing import REST, Rest, Voicing

#: More answers than any call has; what comes behind them is not measured.
MAX_MEASURED = 1000
SUMMARY_CHARS = 160
NEVER_DB = float("inf")


class Conversation:
    """The talking part of one call."""

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy
        self.playout = Playout(
            lead_ms=policy.lead_ms,
            refill_ms=policy.refill_ms,
            chunk_ms=policy.chunk_ms,
            mark_patience_s=policy.mark_patience_s,
        )
        self.ear = Ear(
            margin_db=policy.voice_margin_db,
            echo_gain_db=policy.echo_gain_db,
            voice_range_db=policy.voice_range_db,
            window_ms=policy.confirm_window_ms,
            voiced_ms=policy.confirm_voiced_ms,
            vowel_ms=policy.confirm_vowel_ms,
        )
        self.responses = Responses()
        self.utterances = Utterances()
        self.tools = ToolCalls(policy)
        self.transcript = Transcript()
        self.voicing = Voicing(
            self.playout,
            self.transcript,
            on=policy.second_voice,
            patience_s=policy.voice_patience_s,
        )
        self.remembering = Remembering(self.playout, self.transcript, self.voicing, self.tools)
        self.rest = Rest()
        self.parting: on.FunctionCalled | None = None
        self._collecting = False  # numbers, names, addresses
        self.barge_ins = 0
        self.answers = 0
        self.answers_s: list[float] = []  # how long each was waited for
        self._spoken_at: float | None = None
        self._alone_at: float | None = None  # we yielded to whom the server had not heard
        self._went_on = False
        self._loudness: dict[str, float] = {}  # committed utterance without words yet -> dBFS
        self._clips = 0

    # ---- the caller -------------------------------------------------------------------------

    @property
    def alert_db(self) -> float:
        """From what level on a frame may be a caller to whom we must yield; inf: nobody speaks."""
        if self.playout.quiet() and not self.responses.busy:
            return NEVER_DB
        return self.ear.least_db

    def caller_frame(self, ms: int, level_db: float, rises: int, now: float) -> bool:
        """Measure one frame. True: with it, it is certain that the caller speaks."""
        own = self.playout.level_db(now, self._policy.echo_tail_ms)
        voiced = self.ear.frame(now, ms, level_db, own, rises)
        return voiced and (self.confirm(now) or self._certain_alone(now))

    def confirm(self, now: float) -> bool:
        """True once for an utterance: our own meter agrees with the server's VAD."""
        utterance = self.utterances.open
        if utterance is None or utterance.confirmed:
            return False
        utterance.confirmed = self.ear.proof(now)
        return utterance.confirmed

    def _certain_alone(self, now: float) -> bool:
        """The server has noticed nothing new, yet somebody has been talking over us for long."""
        utterance = self.utterances.open
        return (
            (utterance is None or utterance.confirmed)
            and self.ear.voiced_ms(now) >= self._policy.alone_voiced_ms
            and not self.playout.quiet()
        )

    def give_way(self, now: float) -> list[Command]:
        """Cut for a caller who speaks, even if only we have heard them yet."""
        if self.utterances.open is None and not self._went_on:
            self._alone_at = now
        return self.cut(now)

    @property
    def go_on_at(self) -> float | None:
        """When we go on, if nobody has spoken for whom we fell silent."""
        return None if self._alone_at is None else self._alone_at + self._policy.words_within_s

    def go_on(self, now: float) -> None:
        """Nothing came of a cut: go on, but only once until somebody is heard.

        Whoever still speaks, or is about to be understood, is waited for.
        """
        waits = self.caller_holds_the_floor() or self.utterances.open or self.utterances.wordless()
        if waits or self.ear.voiced_ms(now):
            self._alone_at = now
            return
        answered = self._alone_at is not None and self._alone_at <= self.responses.heard_until
        self._alone_at = None
        if not answered:
            self._went_on = True
            self.responses.want("go_on")

    def speech_started(self, event: on.SpeechStarted, now: float, *, greeting: bool) -> bool:
        """An utterance begins. True: it is confirmed already."""
        self._spoken_at = None
        over_agent = not self.playout.quiet() or self.responses.busy
        self.utterances.started(
            Utterance(event.item_id, now, event.buffer_ms, over_agent, greeting)
        )
        self.transcript.caller_spoke(event.item_id, now)
        self.ear.listen()
        return self.confirm(now)

    def speech_stopped(self, item_id: str, buffer_ms: int, now: float) -> None:
        """An utterance ends, and with it the caller's wait for an answer begins."""
        if self.utterances.stopped(item_id, buffer_ms, now) is not None:
            self._spoken_at = now

    def committed(self, event: on.InputCommitted, now: float) -> list[Command]:
        """The utterance is an item now: it wants an answer unless it was a mere noise or hello."""
        utterance = self.utterances.committed(event.item_id, now)
        if utterance is None:
            return [do.Note("commit_without_speech", event.item_id)]
        self._loudness[event.item_id] = self.ear.loudest_db
        self._went_on = False
        rows = self.transcript.caller_committed(event.item_id, event.previous_item_id)
        out: list[Command] = [do.Keep(row) for row in rows]
        if self._is_hello(utterance):
            utterance.answered = True
            return [*out, do.Note("hello_unanswered", event.item_id)]
        if utterance.confirmed:
            self._answer(utterance)  # what was no proven voice waits for its words
        return out

    def _answer(self, utterance: Utterance) -> None:
        """Wish for an answer, unless what was asked for since its commit is one."""
        utterance.answered = True
        if not self._is_answered(utterance):
            self.responses.want("turn")

    def _is_answered(self, utterance: Utterance) -> bool:
        """Whether what was asked for since its commit is an answer to it."""
        committed_at = utterance.committed_at
        return self._policy.server_turns or (
            committed_at is not None and committed_at < self.responses.heard_until
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
        """Whether the words of all that was said are known, or were lost so long ago that its sound
        is not kept any more."""
        return not self.utterances.unsettled(now - self._policy.hold_audio_ms / 1000)

    def spoken_ms(self, item_id: str) -> int:
        """How long an utterance was, for as long as its words have not come."""
        utterance = self.utterances.get(item_id)
        if utterance is None or utterance.stop_ms is None:
            return 0
        return max(0, utterance.stop_ms - utterance.start_ms)

    def caller_transcribed(self, event: on.CallerTranscribed, now: float) -> list[Command]:
        """The words of an utterance, any time after its commit."""
        utterance = self.utterances.settle(event.item_id)
        loudest_db = self._loudness.pop(event.item_id, None)
        doubtful = utterance is not None and not utterance.confirmed
        text = event.text.strip()
        if not text and not event.failed:
            self.transcript.forget(event.item_id)
            return [do.DeleteItem(event.item_id)] if doubtful else []
        out: list[Command] = []
        if utterance is not None and doubtful:  # quiet words are words all the same
            if not self._is_answered(utterance):
                out += self.tools.objected(now)
            if not utterance.answered:
                self._answer(utterance)
        if utterance is not None and loudest_db is not None and text:
            self.ear.learn(loudest_db, sure=utterance.confirmed)
        rows = self.transcript.caller_words(event.item_id, text or INAUDIBLE, now)
        return out + [do.Keep(row) for row in rows]

    def summary(self) -> str:
        """One line for a person: what was done, or else what the caller wanted; "" if not kept."""
        if not self.transcript.gate_open or self.transcript.refused:
            return ""
        text = "; ".join(self.tools.notices) or self.transcript.first_words()
        return shorten(text, SUMMARY_CHARS, placeholder=" …")

    def _is_hello(self, utterance: Utterance) -> bool:
        speech_ms = utterance.speech_ms(self._policy.prefix_padding_ms, self._policy.silence_ms)
        return utterance.over_greeting and speech_ms < self._policy.hello_ms

    def caller_holds_the_floor(self) -> bool:
        """Somebody speaks, or has only just finished: whatever we have to say waits."""
        utterance = self.utterances.open
        speaks = utterance is not None and utterance.confirmed
        return speaks or self.utterances.commit_by is not None

    # ---- the agent --------------------------------------------------------------------------

    def say(self, clip: Clip, now: float) -> str:
        """Queue a clip behind what is being said. Returns its item id."""
        self._clips += 1
        item_id = f"clip_{clip.name}_{self._clips}"
        self.playout.add(item_id, clip.mulaw, clip.level_db, local=True)
        self.playout.end(item_id, now)
        self.transcript.agent_spoke(item_id, now, clip.text)
        return item_id

    def response_started(self, event: on.ResponseStarted, now: float) -> list[Command]:
        self.rest.started(event.response_id, self.responses.asked or event.purpose)
        if self.responses.started(event.response_id, now):
            return []
        return [do.CancelResponse(event.response_id)]

    def agent_audio(self, event: on.AgentAudio, now: float) -> bool:
        """Take sound of the agent's. True: more of what is being said, and no other news."""
        voiced = self.voicing.has(event.item_id)
        if not voiced:
            self.responses.progress(now)
            if self.misses(event.response_id, event.item_id):
                self.transcript.missed(event.item_id, len(event.mulaw))
                return False  # a late delta of what was cut
        if not self.playout.add(event.item_id, event.mulaw, event.level_db):
            return False
        if voiced:
            if self.voicing.sounds(event.item_id, now):
                self._answered(now)
            return False
        self.rest.over(event.response_id)
        if not self.remembering.speaks(event.item_id, event.response_id):
            return True
        self._answered(now)
        self.transcript.agent_spoke(event.item_id, now)
        return False

    def misses(self, response_id: str, item_id: str) -> bool:
        """Whether speech comes too late: its response was cut."""
        if response_id not in self.responses.dead:
            return False
        if not self.remembering.has(item_id):
            self.responses.begins_late(item_id, response_id)
        return True

    def forget_unspoken(self, response_id: str) -> list[Command]:
        """A response is over: of what began only after its cut, the caller has heard nothing."""
        return [do.DeleteItem(item) for item in self.responses.unspoken(response_id)]

    def _answered(self, now: float) -> None:
        """The agent begins to speak: the caller's wait is over, if there was one."""
        if self._spoken_at is not None and len(self.answers_s) < MAX_MEASURED:
            self.answers_s.append(now - self._spoken_at)
        self._spoken_at = None

    def agent_transcribed(self, event: on.AgentTranscribed, now: float) -> list[Command]:
        self.responses.progress(now)
        self.misses(event.response_id, event.item_id)
        rows = self.transcript.agent_words(event.item_id, event.text)
        return [*self._collect(event.text), *(do.Keep(row) for row in rows)]

    def agent_wrote(self, event: on.AgentWrote, now: float) -> list[Command]:
        self.responses.progress(now)
        if self.voicing.told(event.item_id, event.text) is None:
            return []
        rows = self.transcript.agent_words(event.item_id, event.text)
        return [*self._collect(event.text), *(do.Keep(row) for row in rows)]

    def forget_rest(self) -> bool:
        """Nobody will say what a voice has left unsaid. True: there was something."""
        unsaid = bool(self.rest.text)
        self.rest.drop()
        return unsaid

    def silent(self) -> bool:
        """Nothing is being said, and nothing that was written waits for a voice."""
        return self.playout.quiet() and not self.rest.owed

    def _collect(self, said: str) -> list[Command]:
        """Wait longer for a caller who was asked for something with pauses in it."""
        words = {word.strip(".,;:!?").lower() for word in said.split()}
        asks = "?" in said and not words.isdisjoint(self._policy.collecting_words)
        if asks == self._collecting:
            return []
        self._collecting = asks
        policy = self._policy
        return [do.SetTurnSilence(policy.long_silence_ms if asks else policy.silence_ms)]

    def end_items(self, response_id: str | None, now: float) -> list[Heard]:
        """No more audio comes of this response (None: of any), said or unsaid."""
        items = self.remembering.items_of(response_id)
        return [heard for item_id in items for heard in self.playout.end(item_id, now)]

    def end_speech(self, now: float) -> tuple[list[Command], list[Heard]]:
        """No more is said of anything by a session that is gone. A voice finishes what it has."""
        voiced, heard = self.voicing.leave(now)
        return voiced, heard + self.end_items(None, now)

    def heard(self, items: list[Heard], now: float) -> list[Command]:
        """Items were heard to their end."""
        out: list[Command] = []
        if items:
            self._heard_something(now)
        for item in items:
            self.answers += not item.local
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
            out += self.remembering.tell_heard(item)
        return out

    def ask(self, now: float) -> list[Command]:
        """The response that is wished for, if the floor is free."""
        if self.caller_holds_the_floor():
            return []
        purpose = self.responses.ask(now, first=REST if self.rest.text else "")
        if purpose is None:
            return []
        if purpose == REST:
            return [self.rest.ask()]
        return [do.CreateText(purpose) if self.voicing.on else do.CreateResponse(purpose)]

    # ---- the cut ----------------------------------------------------------------------------

    def cut(self, now: float, *, for_caller: bool = True) -> list[Command]:
        """Stop all speech, and make the model forget what was not heard.

        for_caller: to yield to them, which counts as a barge-in
        """
        audible = self.playout.has_audio()
        out: list[Command] = []
        cancel = self.responses.cut()
        self.rest.drop()
        items = self.playout.cut(now)
        if items:
            self._heard_something(now)
        if audible:
            self.barge_ins += for_caller
            out += [do.ClearPhone(), do.ResetCodec()]
        if cancel is not None:
            out.append(do.CancelResponse(cancel))
        for item in items:
            out += self.voicing.drop(item.item_id)
            out += self.remembering.forget_unheard(item)
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
            out += self.remembering.tell_heard(item)
        return out + self.stop_waiting(now)

    def stop_waiting(self, now: float) -> list[Command]:
        """What has not begun, be it a write or the call's own end, will not."""
        out = self.tools.cut(now)
        if self.parting is not None:
            call, self.parting = self.parting, None
            out += self.tools.interrupted(call, now)
        return out

    def hung_up(self, now: float) -> list[Command]:
        """The caller is gone: what was heard is final, and nothing more is generated."""
        cancel = self.responses.cut()
        out: list[Command] = [do.CancelResponse(cancel)] if cancel is not None else []
        for item in self.playout.cut(now):
            out += self.voicing.drop(item.item_id)
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
        return out + self.stop_waiting(now)

    # ---- a new session under the same conversation ------------------------------------------

    def resume(self, past: on.CallResumed) -> None:
        """Go on behind what was said and done in the call's streams before this one."""
        self.answers = past.answers
        self.tools.resume(past.tools, past.outcomes, past.notices)
        if past.lines:
            self.transcript.resume(past.lines)
            self._clips = self.transcript.base  # no clip of this stream is taken for an old one

    def orphan(self, now: float) -> tuple[list[Command], bool, bool]:
        """The session is gone. Commands; whether the caller waits; whether an answer is owed.

        Speech whose words never came is heard again by the next session, and answered then.
        """
        unheard = not self.understood(now)
        wished = self.responses.wanted is not None or self.rest.owed
        owed = self.responses.busy or wished or self.tools.waiting()
        self.responses.abandon()
        self.utterances.forget()
        self.parting, self._collecting = None, False
        self.rest.drop()
        voiced, heard = self.end_speech(now)
        self.remembering.lose()
        out = voiced + self.heard(heard, now) + self.tools.orphan(now)
        return out, unheard or owed, owed and not unheard

    # ---- functions --------------------------------------------------------------------------

    def function_called(self, event: on.FunctionCalled, now: float) -> list[Command]:
        """Run a tool, or remember a call upon the call itself until its response is over."""
        self.responses.progress(now)
        if not self.tools.claim(event.call_id):
            return []
        if event.response_id in self.responses.dead:
            return self.tools.interrupted(event, now)
        effect = self._policy.effects.get(event.name)
        if effect is not Effect.CALL:
            return self.tools.called(event, effect, now)
        if self.parting is not None:
            return self.tools.interrupted(event, now)
        self.parting = event
        return []

    def take_parting(self, response_id: str) -> on.FunctionCalled | None:
        """The function by which a response that is over wants to part, once."""
        call = self.parting
        if call is None or call.response_id != response_id:
            return None
        self.parting = None
        return call

    def speech_heard(self, now: float) -> list[Command]:
        """Nothing is left to be heard: what is to last may begin, unless somebody objects to it."""
        if self.caller_holds_the_floor():
            return []
        since = now - self._policy.words_within_s
        doubt = any(not self._is_answered(u) for u in self.utterances.doubtful(since))
        return self.tools.speech_heard(now, doubt=doubt)

    def tool_finished(self, event: on.ToolFinished, now: float, *, ready: bool) -> list[Command]:
        out = self.tools.finished(event, now, ready=ready)
        if out and not self.tools.is_ours(event.call_id):
            self.want_after_tools(self.tools.response_of(event.call_id))
        return out

    def tools_overdue(self, now: float) -> list[Command]:
        out, responses = self.tools.overdue(now)
        for response_id in responses:
            self.want_after_tools(response_id)
        return out

    def want_after_tools(self, response_id: str) -> None:
        """One response for all answers of one response's calls, once that is over itself."""
        if response_id != self.responses.active and not self.tools.open_in(response_id):
            self.responses.want("tool")

    def _heard_something(self, now: float) -> None:
        self.tools.hush(now + self._policy.filler_quiet_ms / 1000)

    def filler_due(self, now: float) -> bool:
        """A function takes long, and the caller has heard nothing for a while."""
        if not self.playout.quiet():
            self.tools.hush(float("inf"))  # until that is heard, or cut
            return False
        return self.tools.filler_due(now)
