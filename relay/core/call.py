"""One call, as a state machine without I/O: `handle(event, now)` in, commands out.

Theory of operation
-------------------
A call is in one phase at a time. phases.py holds the whole table and `state.go` is the only way
through it. conversation.py does the talking; the modules named here decide when it may, and what
happens to the call itself. All they know of it is one `State`.

    on_phone  on_model  on_voice  on_human    what an event does, by where it comes from
    first_words  sessions  way_out  what several of them do: greet, find a model, leave
    due                             what falls due, in one list of timers

Two rules:

1. The machine is total. An event that makes no sense in a phase yields a Note, never an
   exception, and a repeated or late one changes nothing.
2. It is pure. `now` is passed in, `deadline` says when to be woken (with DeadlinePassed); both
   come from one list of timers, `due.timers`, so what can fall due is known in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from relay.core import commands as do
from relay.core import events as on
from relay.core import (
    first_words,
    on_human,
    on_model,
    on_phone,
    on_voice,
    sessions,
    transfer,
    way_out,
)
from relay.core.budget import Level
from relay.core.commands import Command
from relay.core.due import advance, sounded
from relay.core.phases import WITH_CALLER, Fit, Phase, fit
from relay.core.policy import CallPolicy, Clip
from relay.core.state import State, note


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
        self._state = State(policy, clips, now=now)

    @property
    def phase(self) -> Phase:
        return self._state.phase

    @property
    def deadline(self) -> float | None:
        """When to be woken, with DeadlinePassed."""
        return self._state.deadline

    @property
    def spent(self) -> int:
        """What the call has cost so far, in micro-USD."""
        return self._state.budget.spent

    @property
    def hears_at_once(self) -> bool:
        """Whether frames of the caller may go to the model before `handle` is told of them.

        It is told of them by CallerPassed: when some have gathered or before any other event, and
        at once of one that is louder than `alert_db`.
        """
        return self._state.link.up_to_date and self._state.phase in WITH_CALLER

    @property
    def alert_db(self) -> float:
        """From what level on a frame may be a voice that something must yield to; inf: none."""
        return self._state.talk.caller.alert_db

    @property
    def awaited(self) -> str:
        """The mark of which to be told at once; "": of none. Others may be told of later, and only
        of the last of them."""
        return self._state.talk.playout.awaited

    def expects_model(self, now: float) -> bool:
        """Whether a session that is there is soon heard of: somebody speaks to it, or waits."""
        call = self._state
        caller = call.talk.caller
        return (
            call.owed_at is not None or caller.utterances.open is not None or caller.unnoticed(now)
        )

    def handle(self, event: on.Event, now: float) -> list[Command]:
        """Take one event at now. Returns what is to be done, in order."""
        call = self._state
        out: list[Command] = []
        call.out = out
        quick = False
        if type(event) is on.CallerPassed and call.phase in WITH_CALLER:
            quick = on_phone.caller_passed(call, event, now)
        elif type(event) is on.AgentAudio and call.phase in WITH_CALLER:
            quick = _agent_audio(call, event, now)
        elif type(event) is on.CallerAudio and call.phase in WITH_CALLER:
            heard = on_phone.caller_audio(call, event, now)
            # While a session is dialled, a voice of which it is to hear may wait for an answer.
            quick = heard and (call.phase is not Phase.TALKING or call.link.ready)
        elif (suits := fit(call.phase, event)) is Fit.TAKEN:
            quick = _dispatch(call, event, now)
        elif suits is Fit.NONSENSE:
            note(call, "out_of_phase", f"{type(event).__name__} in {call.phase.name}")
        # Sound that changed nothing else makes nothing due. Yet what has passed is told of before
        # the deadline that rings, so that it is often this step in which the ledger's is met.
        if not quick:
            advance(call, now)
        elif call.deadline is not None and now >= call.deadline:
            (sounded if call.phase in WITH_CALLER else advance)(call, now)
        return out

    @property
    def keeps_words(self) -> bool:
        """Whether what is said now may be written down."""
        return self._state.talk.transcript.keeps

    @property
    def paused(self) -> bool:
        """Whether something is being said that must not be kept."""
        return self._state.keeping.paused

    @property
    def refused(self) -> bool:
        """Whether nothing of the call may be kept."""
        return self._state.keeping.refused

    def statistics(self) -> Statistics:
        return Statistics(
            phase=self._state.phase.name.lower(),
            epoch=self._state.talk.playout.epoch,
            barge_ins=self._state.talk.barge_ins,
            answers=self._state.talk.answers,
            held_audio_ms=self._state.link.held_ms,
            dropped_audio_ms=self._state.link.dropped_ms,
            notice_heard=self._state.talk.transcript.gate_open,
            answers_s=tuple(self._state.talk.caller.answers_s),
        )


def _agent_audio(call: State, event: on.AgentAudio, now: float) -> bool:
    """The agent says something. True: it was more of the same, and the timers were seen to."""
    talk = call.talk
    if not talk.voicing.has(event.item_id):
        call.budget.made(event)
    if talk.agent_audio(event, now):
        sounded(call, now)
        return True
    first = call.greeting.begins(event) or event.item_id == call.greeting.item_id
    if first and call.greeting_ms is None:
        call.greeting_ms = round((now - call.started_at) * 1000)
    return False


def _dispatch(call: State, event: on.Event, now: float) -> bool:  # noqa: PLR0915 - a total match
    """Let the event take effect. True: the timers were seen to, or fall due no sooner by it."""
    talk = call.talk
    match event:
        case on.CallerAudio() | on.CallerPassed() | on.AgentAudio():
            pass  # it only fits where `handle` has taken it already
        case on.MarkEchoed(name, ago_s):
            heard = talk.playout.echoed(name, now, ago_s)
            if heard is None:
                note(call, "stale_mark", name)
            elif heard:
                first_words.heard(call, heard, now)
            else:
                return True  # nothing is over by it
        case on.DeadlinePassed():
            if call.phase in WITH_CALLER:
                sounded(call, now)
                return True
        case on.CallResumed(lines):
            call.keeping.resume_call(event.consent, kept=bool(lines), recording=event.recording)
            call.resumed = bool(lines) or event.consent == "declined"
            call.before_s = event.elapsed_s
            call.exit.returns = event.returns
            call.greeting_ms = event.greeting_ms
            call.budget.before = event.spent
            call.link.hard = event.hard and call.policy.hard_model
            talk.resume(event)
        case on.RecordingRefused():
            call.out += call.keeping.refuse(now)
        case on.PauseAsked():
            call.out += call.keeping.pause(now)
        case on.ResumeAsked():
            call.keeping.resume_asked = call.keeping.paused
        case on.MoveAsked():
            call.moving.ask(now, call.policy.move_within_s)
        case on.PhoneStarted():
            on_phone.phone_started(call, event, now)
        case on.PhoneStopped():
            way_out.phone_gone(call, "stopped", now)
        case on.PhoneClosed(code, reason):
            way_out.phone_gone(call, f"closed {code} {reason}".strip(), now)
        case on.KeyPressed(digit):
            on_phone.key_pressed(call, digit, now)
        case on.ModelOpened():
            call.out.append(do.ConfigureModel())
        case on.ModelReady():
            sessions.model_is_ready(call, now)
        case on.ModelErrored():
            on_model.model_errored(call, event, now)
        case on.ModelClosed():
            on_model.model_closed(call, event, now)
        case on.SpeechStarted():
            greeting = call.phase is Phase.GREETING
            if talk.caller.speech_started(event, now, greeting=greeting):
                on_phone.caller_confirmed(call, now)
        case on.SpeechStopped(item_id, buffer_ms):
            talk.caller.speech_stopped(item_id, buffer_ms, now)
        case on.InputCommitted():
            call.out += talk.caller.committed(event, now)
        case on.CallerTranscribed(item_id, usage=usage):
            if event.refusing:
                on_human.refused(call, now)
            call.out += call.budget.words(item_id, usage, talk.caller.spoken_ms(item_id), now)
            if talk.caller.objects(event):
                on_phone.objected(call, now)
            call.out += talk.caller.transcribed(event, now)
            if event.text.strip():
                call.idle.prompted = False  # however quietly they said it: they are still there
            if event.alarming:
                on_human.warn(call, event, now)
        case on.ResponseStarted(response_id, purpose):
            call.budget.began(response_id)
            if call.handover.started(response_id, purpose):
                return True
            call.greeting.started(response_id, talk.responses.asked or purpose)
            call.out += talk.response_started(event, now)
            call.stall_seen = False
        case on.AgentAudioEnded(_, item_id):
            on_voice.audio_over(call, item_id, now)
        case on.AgentTranscribed():
            call.out += talk.agent_transcribed(event, now)
        case on.FunctionCalled():
            on_model.function_called(call, event, now)
        case on.AgentText():
            on_voice.agent_text(call, event, now)
        case on.AgentWrote():
            on_voice.agent_wrote(call, event, now)
        case on.WordsTimed():
            talk.voicing.timed(event)
        case on.VoiceLost():
            on_voice.voice_lost(call, event, now)
        case on.ResponseEnded():
            on_model.response_ended(call, event, now)
        case on.HumanRinging(attempt):
            call.out += call.handover.rings(attempt, model_ready=call.link.ready)
        case on.HumanAccepted(attempt):
            on_human.human_accepted(call, attempt, now)
        case on.HumanLost(attempt, reason):
            on_human.human_lost(call, attempt, reason, now)
        case on.DayBudget(level):
            call.budget.tell(Level(level))
        case on.ToolFinished():
            call.out += talk.tool_finished(event, now, ready=call.link.ready)
            called_off = call.handover.called_off or event.refused == "cancelled"
            if not talk.tools.running_now(transfer.TOOL):
                call.handover.called_off = False
            if talk.tools.is_ours(event.call_id) and not (call.handover.live or called_off):
                on_human.nobody(call, event.refused or "not_rung", now)
            if talk.tools.failures >= call.policy.hard_after_failures:
                sessions.go_harder(call, now)
        case on.OutboxFull(side):
            way_out.fault(call, f"{side}_slow", now)
        case on.PeerMisbehaved():
            on_phone.peer_misbehaved(call, event, now)
        case _:
            assert_never(event)
    return False
