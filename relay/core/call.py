"""One call, as a state machine without I/O: `handle(event, now)` in, commands out.

Theory of operation
-------------------
A call is in one phase at a time. phases.py holds the whole table and `_go` is the only way
through it. conversation.py does the talking; this file decides when it may, what happens to the
call itself (greeting, leaving, faults, silence), and what falls due when.

Two rules:

1. The machine is total. An event that makes no sense in a phase yields a Note, never an
   exception, and a repeated or late one changes nothing.
2. It is pure. `now` is passed in, `deadline` says when to be woken (with DeadlinePassed); both
   come from one list of timers, `_timers`, so what can fall due is known in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from relay.core import commands as do
from relay.core import events as on
from relay.core import transfer
from relay.core.budget import LAST_CHANCE, Budget, Level
from relay.core.commands import Command
from relay.core.conversation import Conversation
from relay.core.farewell import Leaving
from relay.core.greeting import PURPOSE, Greeting
from relay.core.ladder import (
    CLOSE_REFUSED,
    FATAL_CODES,
    RUNGS,
    SESSION_FAULTS,
    after_failure,
)
from relay.core.limits import Idleness, Sanity
from relay.core.model_link import Link, ModelLink
from relay.core.phases import TRANSITIONS, WITH_CALLER, Fit, Phase, fit
from relay.core.playout import Heard
from relay.core.policy import LIVE_GREETING, CallPolicy, Clip
from relay.core.records import CallEnded, CallOpened, OwnerNotice, failed_notice
from relay.core.transfer import Handover

#: The answers to functions that act upon the call itself.
_ENDING = '{"status":"ending"}'
_WAITING = '{"status":"waiting"}'
_WRAP_UP = "This call must end in half a minute. Say so and wrap up in one sentence, now."
#: Each round of due timers changes a state, so that a handful settles; the bound is for bugs alone.
MAX_ROUNDS = 50

_SUCCESSOR = "You take this call over in its middle. Above is what was said. Do not greet; go on."
_WARNED = (
    "The caller has just been told to hang up and dial 9 1 1 if this is an emergency. Do not repeat"
    " it unless they ask."
)
_STAYED = "The caller went on speaking, so the call was not ended. Go on with the conversation."


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot for logs, metrics and tests.

    answers_s: from each end of the caller's speech, as the model's VAD reported it, to the first
        sound of the answer
    """

    phase: str
    epoch: int
    barge_ins: int
    answers: int
    held_audio_ms: int
    dropped_audio_ms: int
    notice_heard: bool
    answers_s: tuple[float, ...] = ()


class Call:
    """One call. Not thread-safe; `now` is monotonic seconds and never goes back."""

    def __init__(self, policy: CallPolicy, clips: Mapping[str, Clip], *, now: float) -> None:
        self.phase = Phase.IDLE
        self._policy = policy
        self._clips = clips
        self._talk = Conversation(policy)
        self._budget = Budget(policy.prices, policy.max_call_micro_usd, day_cap=policy.day_cap)
        self._exit = Leaving(second_thoughts_s=policy.second_thoughts_s)
        self._handover = Handover()
        self._untold: list[str] = []  # news for a model that is not ready
        self._resumed = False
        self._warned = False
        self._out: list[Command] = []
        self._opened_at = now
        self._started_at = now
        self._greeting_ms: int | None = None
        live = clips.get(LIVE_GREETING)
        self._greeting = Greeting(live.text if live else "", policy.live_greeting_s)
        self._link = ModelLink(policy)
        self._answer_due = False  # by the session that is being dialled
        self._sanity = Sanity(policy.flood_ms, policy.misbehaviour_per_s)
        self._idle = Idleness(policy.idle_prompt_s, policy.idle_goodbye_s)
        self._keys = ""
        self._keys_due: float | None = None
        self._stall_filled = False
        self._rotate_at = 0.0
        self._wrapping_up = False
        self._gone_at = now
        self.deadline: float | None = now + policy.start_within_s

    # ---- the face ---------------------------------------------------------------------------

    def handle(self, event: on.Event, now: float) -> list[Command]:
        """Take one event at now. Returns what is to be done, in order."""
        out: list[Command] = []
        self._out = out
        suits = fit(self.phase, event)
        if suits is Fit.NONSENSE:
            self._note("out_of_phase", f"{type(event).__name__} in {self.phase.name}")
        elif suits is Fit.TAKEN:
            quick = self._dispatch(event, now)
            # A frame of the caller that changed nothing needs no look at the timers: 50 a second.
            if quick and (self.deadline is None or now < self.deadline):
                return out
        self._advance(now)
        return out

    @property
    def spent(self) -> int:
        """What the call has cost so far, in micro-USD."""
        return self._budget.spent

    def statistics(self) -> Statistics:
        return Statistics(
            phase=self.phase.name.lower(),
            epoch=self._talk.playout.epoch,
            barge_ins=self._talk.barge_ins,
            answers=self._talk.answers,
            held_audio_ms=self._link.held_ms,
            dropped_audio_ms=self._link.dropped_ms,
            notice_heard=self._talk.transcript.gate_open,
            answers_s=tuple(self._talk.answers_s),
        )

    def _go(self, trigger: str) -> bool:
        """Take a transition. False, with a note, when the table has none."""
        to = TRANSITIONS.get((self.phase, trigger))
        if to is None:
            self._note("no_transition", f"{trigger} in {self.phase.name}")
            return False
        self.phase = to
        return True

    def _note(self, kind: str, detail: str = "") -> None:
        self._out.append(do.Note(kind, detail))

    def _dispatch(self, event: on.Event, now: float) -> bool:  # noqa: PLR0915 - a total match
        """Let the event take effect. True: the timers cannot have changed by it."""
        talk = self._talk
        match event:
            case on.CallerAudio():
                return self._caller_audio(event, now)
            case on.AgentAudio():
                self._budget.made(event)
                talk.agent_audio(event, now)
                if self._greeting.begins(event):
                    self._greeting_ms = round((now - self._started_at) * 1000)
            case on.MarkEchoed(name):
                heard = talk.playout.echoed(name, now)
                if heard is None:
                    self._note("stale_mark", name)
                else:
                    self._heard(heard, now)
            case on.CallResumed(lines, spent):
                self._budget.before = spent
                if lines:
                    self._resumed = True
                    talk.transcript.resume(lines)
            case on.PhoneStarted():
                self._phone_started(event, now)
            case on.PhoneStopped():
                self._phone_gone("stopped", now)
            case on.PhoneClosed(code, reason):
                self._phone_gone(f"closed {code} {reason}".strip(), now)
            case on.KeyPressed(digit):
                self._keys += digit
                self._keys_due = now + self._policy.key_pause_s
            case on.ModelOpened():
                self._out.append(do.ConfigureModel())
            case on.ModelReady():
                self._model_is_ready(now)
            case on.ModelErrored():
                self._model_errored(event, now)
            case on.ModelClosed():
                self._model_closed(event, now)
            case on.SpeechStarted():
                greeting = self.phase is Phase.GREETING
                if talk.speech_started(event, now, greeting=greeting):
                    self._caller_confirmed(now)
            case on.SpeechStopped(item_id, buffer_ms):
                talk.speech_stopped(item_id, buffer_ms, now)
            case on.InputCommitted():
                self._out += talk.committed(event, now)
            case on.CallerTranscribed(item_id, usage=usage):
                self._out += self._budget.words(item_id, usage, talk.spoken_ms(item_id), now)
                self._out += talk.caller_transcribed(event, now)
                if event.alarming:
                    self._warn(event.text, now)
            case on.ResponseStarted(response_id, purpose):
                self._budget.began(response_id)
                if self._handover.started(response_id, purpose):
                    return True
                self._greeting.started(response_id, talk.responses.asked or purpose)
                self._out += talk.response_started(event, now)
                self._stall_filled = False
            case on.AgentAudioEnded(_, item_id):
                self._heard(talk.playout.end(item_id, now), now)
            case on.AgentTranscribed():
                self._out += talk.agent_transcribed(event, now)
            case on.FunctionCalled():
                self._out += talk.function_called(event, now)
            case on.AgentWrote(response_id, text):
                self._out += self._handover.wrote(response_id, text)
            case on.ResponseEnded():
                self._response_ended(event, now)
            case on.HumanRinging(attempt):
                self._out += self._handover.rings(attempt, model_ready=self._link.ready)
            case on.HumanAccepted(attempt):
                self._human_accepted(attempt, now)
            case on.HumanLost(attempt, reason):
                self._human_lost(attempt, reason, now)
            case on.DayBudget(level):
                self._budget.tell(Level(level))
            case on.ToolFinished():
                self._out += talk.tool_finished(event, now)
                if talk.tools.is_ours(event.call_id) and not self._handover.live:
                    self._nobody("closed", now)
                if talk.tools.failures >= self._policy.hard_after_failures:
                    self._go_harder(now)
            case on.DeadlinePassed():
                pass  # what is due is looked up after every event
            case on.OutboxFull(side):
                self._fault(f"{side}_slow", now)
            case on.PeerMisbehaved():
                self._peer_misbehaved(event, now)
            case _:
                assert_never(event)
        return False

    # ---- the phone --------------------------------------------------------------------------

    def _phone_started(self, event: on.PhoneStarted, now: float) -> None:
        """Greet at once: the clip needs no model. Only then look for one."""
        self._go("started")
        self._started_at = now
        self._out += self._budget.answered(event.stream_sid, now)
        if self._resumed:
            self._greeting = Greeting("", self._policy.live_greeting_s)
            self._greeting.said_by_clip(self._say("back", now))
            self._out += self._talk.playout.release(now)
        elif self._greeting.live:
            self._greeting.wait(now)
        else:
            self._greet_by_clip(now)
        caller, called = (event.parameters.get(name, "") for name in ("caller", "called"))
        if self._resumed:
            self._untold.append(transfer.resumed(event.parameters.get("why", "")))
            self._answer_due = True
        self._dial(now)
        self._out.append(do.Keep(CallOpened(now, event.stream_sid, caller, called)))

    def _greet_by_clip(self, now: float) -> None:
        self._greeting.said_by_clip(self._say("greeting", now))
        self._out += self._talk.playout.release(now)
        if self._greeting_ms is None:
            self._greeting_ms = round((now - self._started_at) * 1000)

    def _greet_after_all(self, now: float) -> None:
        """The model was to greet, and does not: a clip does, and the model is told."""
        self._note("greeted_by_clip")
        responses = self._talk.responses
        cancel = responses.cut() if responses.busy else None
        if cancel is not None:
            self._out.append(do.CancelResponse(cancel))
        self._greet_by_clip(now)
        if self._link.ready:
            self._out.append(do.AddText("assistant", self._clips["greeting"].text))

    def _caller_audio(self, frame: on.CallerAudio, now: float) -> bool:
        if self._sanity.floods(frame.ms, now - self._started_at):
            self._fault("phone_flood", now)
            return False
        if self._link.hear(frame, understood=not self._talk.utterances.unsettled()):
            self._out.append(do.AppendAudio(frame.audio))
        if self._talk.caller_frame(frame, now):
            self._caller_confirmed(now)
            return False
        return True

    def _caller_confirmed(self, now: float) -> None:
        """Somebody really speaks: yield, unless the greeting or a hand-over is under way."""
        self._idle.caller_spoke()
        if self.phase is Phase.LEAVING:
            if not self._exit.take_back():
                return
            self._go("taken_back")
            self._out.append(do.AddText("system", _STAYED))
        if self.phase is Phase.TALKING:
            self._out += self._talk.cut(now)

    def _heard(self, items: list[Heard], now: float) -> None:
        for item in items:
            if item.item_id != self._greeting.item_id:
                continue
            self._greeting.heard = item.proven
            self._open_gate()
            self._talk.answers -= not item.local  # a greeting answers nothing
            if self.phase is Phase.GREETING:
                self._go("greeted")
        self._out += self._talk.heard(items, now)

    def _open_gate(self) -> None:
        """The notice is in the greeting: once all of that was heard, the transcript begins."""
        if self._greeting.whole and self._greeting.heard:
            self._talk.transcript.open_gate()

    def _phone_gone(self, reason: str, now: float) -> None:
        if self.phase is Phase.LAST_WORDS:
            return
        self._exit.reason = self._exit.reason or reason
        if self.phase is not Phase.HANDED_OVER:
            self._out += self._handover.drop()
        if not self._go("gone"):
            return
        if self.phase is Phase.ENDED:
            self._out.append(do.EndCall())
            return
        self._gone_at = now
        self._out += self._talk.hung_up(now)

    def _keys_settled(self, now: float) -> None:
        """The caller stopped pressing: a lone 0 is a cry for a human, the rest is for the model."""
        keys, self._keys, self._keys_due = self._keys, "", None
        if keys == "0":
            if self.phase in (Phase.GREETING, Phase.TALKING):
                self._ring_by_key(now)
        elif self._link.ready:
            self._out.append(do.AddText("user", f"(The caller pressed the keys: {keys})"))
            self._talk.responses.want("keys")

    def _peer_misbehaved(self, event: on.PeerMisbehaved, now: float) -> None:
        self._note(f"{event.side}_misbehaved", event.kind)
        if event.side == "phone" and self._sanity.too_broken(now):
            self._fault("phone_broken", now)

    # ---- the model --------------------------------------------------------------------------

    def _dial(self, now: float) -> None:
        self._link.dialled(now)
        self._out.append(do.DialModel(hard=self._link.hard))

    def _model_is_ready(self, now: float) -> None:
        """Tell the model what the caller has heard and said, then let it hear the rest."""
        if not self._link.open(now):
            return
        if self._link.successions or self._resumed:
            self._out += self._talk.retell()
            self._out.append(do.AddText("system", _SUCCESSOR))
        elif self._greeting.live:
            self._have_greeted(now)
        else:
            self._out.append(do.AddText("assistant", self._clips["greeting"].text))
        self._out += [do.AddText("system", news) for news in self._untold]
        self._untold.clear()
        self._flush(now)
        if self._answer_due:
            self._answer_due = False
            self._talk.responses.want("turn")

    def _have_greeted(self, now: float) -> None:
        """Have the model greet the caller, as its first words."""
        self._talk.responses.want(PURPOSE)
        self._talk.responses.ask(now)
        self._out.append(do.CreateResponse(PURPOSE, self._greeting.instructions))
        self._greeting.wait(now)

    def _flush(self, now: float) -> None:
        """Tell a new session a portion of what it has missed."""
        self._out += [do.AppendAudio(frame.audio) for frame in self._link.flush(now)]

    def _model_errored(self, event: on.ModelErrored, now: float) -> None:
        self._note("model_error", f"{event.code}: {event.message}")
        if event.code == "conversation_already_has_active_response":
            self._talk.responses.refused()
        elif event.code == "session_expired":
            self._fault("session_expired", now)
        elif event.code in FATAL_CODES or not self._link.ready:
            self._fault("model_refused", now)

    def _model_closed(self, event: on.ModelClosed, now: float) -> None:
        if self._link.state is Link.GONE:
            return
        self._note("model_closed", f"{event.code} {event.reason}".strip())
        if event.code == CLOSE_REFUSED:
            self._fault("model_refused", now)
        elif self._link.ready:
            self._fault("model_lost", now)
        elif not self._link.dial_again(now):
            self._fault("model_unreachable", now)

    def _succeed(self, now: float, why: str) -> None:
        """Replace the session under the living call."""
        self._out.append(do.CloseModel(why))
        self._out += self._budget.lost(now, hard=self._link.hard)
        if self.phase is Phase.GREETING and self._greeting.live:
            self._talk.responses.abandon()
            self._greet_by_clip(now)
        out, waiting, owed = self._talk.orphan(now)
        self._out += out
        self._answer_due = self._answer_due or owed
        if waiting:
            self._say("one_moment", now)

    def _rotate(self, now: float) -> None:
        """The session is old: replace it when nobody would notice."""
        if self._engaged():
            self._rotate_at = now + 1.0
        elif self._link.succeed(now, lost=False):
            self._succeed(now, "session is old")

    def _go_harder(self, now: float) -> None:
        """This call is too hard for the model that it began with: a larger one takes over."""
        if self._policy.hard_model and not self._link.hard and self._link.succeed(now, lost=False):
            self._succeed(now, "harder call")
            self._link.hard = True
            self._answer_due = True

    def _response_ended(self, event: on.ResponseEnded, now: float) -> None:
        self._out += self._budget.response(event, now, hard=self._link.hard)
        if self.phase not in WITH_CALLER or self._handover.private(event.response_id):
            return
        responses = self._talk.responses
        responses.ended(event.response_id)
        broken_off = self._greeting.broken_off(event)
        self._open_gate()
        self._heard(self._talk.end_items(event.response_id, now), now)
        if broken_off and self.phase in (Phase.GREETING, Phase.TALKING):
            self._greet_after_all(now)
            return
        parting = self._talk.take_parting(event.response_id)
        if parting is not None:
            self._part(parting, now)
        elif event.response_id in responses.dead or event.status == "cancelled":
            return
        elif event.status == "completed":
            responses.failures = 0
            if self._talk.tools.called_in(event.response_id):
                self._talk.want_after_tools(event.response_id)
        elif event.status == "incomplete" and event.reason == "max_output_tokens":
            responses.want("continue")
        else:
            self._response_failed(event, now)

    def _response_failed(self, event: on.ResponseEnded, now: float) -> None:
        """No `error` event says so. Bridge the wait with a clip and ask again, or give up."""
        self._note("response_failed", f"{event.error_code}: {event.error_message}")
        responses = self._talk.responses
        responses.failures += 1
        verdict = after_failure(event, responses.failures, self._policy.max_retry_wait_s)
        if isinstance(verdict, str):
            self._fault(verdict, now)
            return
        if self._talk.playout.quiet():
            self._say("one_moment", now)
        responses.want("retry", not_before=now + verdict)

    # ---- leaving ----------------------------------------------------------------------------

    def _part(self, call: on.FunctionCalled, now: float) -> None:
        """The response that wanted to part is over: answer its function, then leave."""
        clip_unless_spoken = "" if self._talk.spoke_in(call.response_id) else "goodbye"
        if call.name == "end_call":
            self._out.append(do.PostToolOutput(call.call_id, _ENDING))
            self._leave("hang_up", "agent_ended", clip_unless_spoken, now)
            return
        if call.name == "wait_for_caller":
            self._out.append(do.PostToolOutput(call.call_id, _WAITING))
            self._idle.allowed_s = self._policy.wait_for_caller_s
            return
        if call.name == "ask_larger_model":
            self._out.append(do.PostToolOutput(call.call_id, _WAITING))
            self._go_harder(now)
            return
        answer = transfer.CANCELLED if self._handover.live else transfer.NOT_RINGING
        self._out += (*self._handover.drop(), do.PostToolOutput(call.call_id, answer))
        self._talk.responses.want("tool")

    # ---- a human ----------------------------------------------------------------------------

    def _ring_by_key(self, now: float) -> None:
        """The caller's own way to a human, which needs no model."""
        self._out += self._talk.cut(now)
        self._say("hold", now)
        if self._handover.live:
            return
        self._out += self._talk.tools.run_ours(transfer.TOOL, transfer.BY_KEY, now)
        if self._link.ready:
            self._out.append(do.AddText("system", transfer.RUNG_BY_KEY))

    def _human_accepted(self, attempt: str, now: float) -> None:
        """The human waits: tell the caller, to the end, then let go of the stream."""
        if self.phase is Phase.LEAVING and not self._exit.gives_up():
            self._out += self._handover.drop()
        elif not self._handover.accepts(attempt):
            self._note("stale_attempt", attempt)
        elif self.phase is Phase.LEAVING:
            self._say("connecting", now)
            self._exit.choose("join", "human_accepted", now, revocable=False)
        else:
            self._out += self._talk.cut(now)
            self._leave("join", "human_accepted", "connecting", now, revocable=False)

    def _human_lost(self, attempt: str, reason: str, now: float) -> None:
        if not self._handover.loses(attempt):
            self._note("stale_attempt", attempt)
            return
        if self._exit.human_is_gone():
            self._go("taken_back")
        self._nobody(reason, now)

    def _nobody(self, reason: str, now: float) -> None:
        """No human is to be had now: the agent goes on, or what there is without one."""
        if self.phase not in (Phase.GREETING, Phase.TALKING):
            return
        if self._link.state is Link.GONE:
            self._leave("voicemail", reason, "nobody", now)
        elif self._link.ready:
            self._out.append(do.AddText("system", transfer.told(reason)))
            self._talk.responses.want("transfer")
        else:
            self._untold.append(transfer.told(reason))
            self._answer_due = True

    def _warn(self, words: str, now: float) -> None:
        """The caller's words may be an emergency: say the line, once, and flag the call."""
        if self._warned or self.phase not in (Phase.GREETING, Phase.TALKING):
            return
        self._warned = True
        self._out += self._talk.cut(now)
        self._say("emergency", now)
        if self._link.ready:
            self._out.append(do.AddText("system", _WARNED))
        heard = self._talk.transcript.gate_open  # nothing that was said before the notice is kept
        text = f'The caller said: "{words.strip()}"' if heard else "The caller's first words"
        self._out.append(do.Keep(OwnerNotice(now, "emergency", "flagged", text)))

    def _say(self, clip: str, now: float) -> str:
        return self._talk.say(self._clips[clip], now)

    def _leave(
        self, disposition: str, reason: str, clip: str, now: float, *, revocable: bool = True
    ) -> None:
        """Say the last words, then close the stream with a disposition."""
        if not self._go("leaving"):
            return
        if disposition != "join":
            self._out += self._handover.drop()
        if clip:
            self._say(clip, now)
        self._exit.choose(disposition, reason, now, revocable=revocable)

    def _fault(self, kind: str, now: float) -> None:
        """Something broke: take the ladder's next rung, unless the call is leaving anyway."""
        self._note("fault", kind)
        if self.phase is Phase.IDLE:
            self._phone_gone(kind, now)
        if self.phase not in WITH_CALLER:
            return
        if (
            kind in SESSION_FAULTS
            and self.phase is not Phase.LEAVING
            and self._link.succeed(now, lost=True)
        ):
            self._succeed(now, kind)
            return
        rung = RUNGS[kind]
        self._out += self._talk.stop_waiting(now)
        self._talk.responses.abandon()
        self._heard(self._talk.end_items(None, now), now)
        if self._link.lose() is not Link.GONE:
            self._out.append(do.CloseModel(kind))
        if rung.clip and self._handover.ringing and self.phase is not Phase.LEAVING:
            self._say("hold", now)  # a human may come any moment: what follows depends on that
        elif self.phase is not Phase.LEAVING:
            self._leave(rung.disposition, kind, rung.clip, now)
        if not rung.clip:
            self._act(now)

    def _act(self, now: float) -> None:
        """All is said: close the stream."""
        if self._exit.farewell is not None and self._go("acted"):
            self._gone_at = now
            self._out += self._exit.act(self._exit.farewell, now)

    def _finish(self, now: float) -> None:
        if not self._go("settled"):
            return
        self._out += self._budget.lost(now, hard=self._link.hard)
        outcome, reason = self._exit.outcome(self._talk.tools.outcomes, self._talk.answers)
        ended = CallEnded(
            now,
            outcome,
            reason,
            round((self._gone_at - self._started_at) * 1000),
            self._greeting_ms,
            self._talk.transcript.gate_open,
            self._talk.barge_ins,
            self._talk.summary(),
        )
        self._out.append(do.Keep(ended))
        if outcome == "failed":
            self._out.append(do.Keep(failed_notice(now, reason)))
        self._out.append(do.EndCall())

    # ---- time -------------------------------------------------------------------------------

    def _timers(self) -> Iterator[tuple[float | None, Callable[[float], None]]]:
        """All that can fall due in this phase: when, and what is done then."""
        policy, talk = self._policy, self._talk
        if self.phase is Phase.IDLE:
            yield self._opened_at + policy.start_within_s, self._never_started
            return
        if self.phase is Phase.ENDED:
            return
        if self.phase is Phase.LAST_WORDS:
            if self._link.ready:
                yield self._link.flush_at, self._flush
                yield self._last_words_until(), self._model_done
            yield self._over_at(), self._finish
            return
        if self.phase is Phase.HANDED_OVER:
            yield self._gone_at + policy.last_words_s, self._phone_lingers
            return
        yield talk.playout.next_release, self._release
        yield talk.playout.settle_at, self._settle
        yield self._keys_due, self._keys_settled
        yield talk.words_due, talk.words_overdue
        yield talk.tools.deadline, self._tools_due
        yield self._link.redial_at, self._dial
        yield self._link.ready_by, self._model_not_ready
        yield self._link.flush_at, self._flush
        if self.phase is Phase.GREETING:
            yield self._greeting.due_at, self._greet_after_all
        if self._link.ready:
            yield max(self._rotate_at, self._link.ready_at + policy.session_s), self._rotate
        if talk.responses.busy:
            since = talk.responses.last_sign_at
            if not self._stall_filled:
                yield since + policy.stall_filler_s, self._stalled
            yield since + policy.stall_lost_s, self._stalled_for_good
        elif talk.responses.wanted is not None and talk.responses.not_before:
            yield talk.responses.not_before, self._nothing
        if self._exit.farewell is not None:
            yield self._exit.farewell.act_at, self._act
        else:
            ends_at = self._started_at + policy.max_call_s
            yield ends_at, self._too_long
            if not self._wrapping_up and policy.max_call_s > 2 * policy.wrap_up_s:
                yield ends_at - policy.wrap_up_s, self._wrap_up
            yield self._budget.minute_at, self._next_minute
            yield self._idle.due_at, self._too_quiet

    def _advance(self, now: float) -> None:
        """Do all that is due, then look how long nothing will be."""
        for _ in range(MAX_ROUNDS):
            self._look_round(now)
            due = [act for at, act in self._timers() if at is not None and at <= now]
            if not due:
                self.deadline = min(
                    (at for at, _ in self._timers() if at is not None), default=None
                )
                return
            for act in due:
                act(now)
        self._note("timers_do_not_settle", self.phase.name)
        self.deadline = now + 1.0  # a bug, but not one that takes the process with it

    def _look_round(self, now: float) -> None:
        """What may happen by itself after any event: writes, answers, farewells, idleness."""
        talk = self._talk
        if self.phase not in WITH_CALLER:
            return
        if self._budget.level is not Level.FREE:
            self._mind_the_money(now)
        quiet = talk.playout.quiet()
        if quiet and talk.tools.waiting() and not talk.caller_holds_the_floor():
            self._out += talk.tools.speech_heard(now)
        if self.phase is Phase.TALKING and self._link.ready and self._budget.level < Level.HELD:
            self._out += talk.ask(now)
        if self._exit.farewell is not None:
            self._exit.farewell.heard_out(now, quiet=quiet)
        self._idle.hold_s = self._policy.hold_line_s if self._handover.ringing else None
        self._idle.look(now, engaged=self._engaged())

    def _engaged(self) -> bool:
        """Somebody speaks, or something is being done that the caller waits for."""
        talk = self._talk
        return (
            self.phase is not Phase.TALKING
            or not (self._link.ready or self._handover.ringing)
            or not talk.playout.quiet()
            or talk.tools.running()
            or talk.responses.busy
            or talk.utterances.open is not None
        )

    def _nothing(self, _now: float) -> None:
        """A wish may be asked again: `_look_round` does it."""
        self._talk.responses.not_before = 0.0

    def _release(self, now: float) -> None:
        self._out += self._talk.playout.release(now)

    def _settle(self, now: float) -> None:
        self._note("mark_lost")
        self._heard(self._talk.playout.settle(now), now)

    def _tools_due(self, now: float) -> None:
        self._out += self._talk.tools_overdue(now)
        if self._talk.filler_due(now):
            self._say("one_moment", now)

    def _never_started(self, now: float) -> None:
        self._phone_gone("never_started", now)

    def _model_not_ready(self, now: float) -> None:
        self._fault("model_unreachable", now)

    def _stalled(self, now: float) -> None:
        self._stall_filled = True
        if self._talk.playout.quiet() and self.phase is Phase.TALKING:
            self._say("one_moment", now)

    def _stalled_for_good(self, now: float) -> None:
        self._fault("model_stalled", now)

    def _phone_lingers(self, now: float) -> None:
        self._phone_gone("lingered", now)

    def _last_words_until(self) -> float:
        """How long the model is still listened to: for the words and bills that may come."""
        if self._talk.utterances.unsettled() or self._budget.owing:
            return self._gone_at + self._policy.last_words_s
        return self._gone_at

    def _over_at(self) -> float:
        """When the call is over: no words and no begun tool are still to come in."""
        if self._talk.tools.running():
            return self._gone_at + self._policy.finish_tools_s
        return self._last_words_until() if self._link.ready else self._gone_at

    def _model_done(self, _now: float) -> None:
        self._link.lose()
        self._out.append(do.CloseModel("call over"))

    def _wrap_up(self, _now: float, words: str = _WRAP_UP) -> None:
        """The agent ends the call in its own words, if it can; else `_too_long` does."""
        self._wrapping_up = True
        if self._link.ready:
            self._out.append(do.AddText("system", words))
            self._talk.responses.want("wrap_up")

    def _next_minute(self, now: float) -> None:
        self._out += self._budget.minutes(now)

    def _mind_the_money(self, now: float) -> None:
        """A cap is near: have the agent wrap up. Reached: a human goes on, when it has finished."""
        level = self._budget.level
        if self.phase is not Phase.TALKING or self._handover.live:
            return  # who is being rung will take over, or what follows is looked at then
        if level is Level.WRAP_UP and not self._wrapping_up:
            self._wrap_up(now, LAST_CHANCE)
        elif level is Level.OVER and not self._talk.responses.busy:
            self._leave("fallback", self._budget.reason, "apology", now, revocable=False)

    def _too_long(self, now: float) -> None:
        self._talk.responses.cut()
        self._leave("hang_up", "max_call", "wrap_up", now, revocable=False)

    def _too_quiet(self, now: float) -> None:
        """Nobody speaks: ask once, then say goodbye. While a human is rung it is we who owe."""
        if self._handover.ringing:
            self._say("hold", now)
        elif self._idle.prompted:
            self._leave("hang_up", "idle", "goodbye", now)
        else:
            self._idle.prompted = True
            self._say("still_there", now)
