"""What the model's session brings: faults, the ends of responses, wishes about the call itself."""

from __future__ import annotations

from relay.core import commands as do
from relay.core import events as on
from relay.core import transfer
from relay.core.dead_air import bridge
from relay.core.farewell import END_CALL
from relay.core.first_words import greet_after_all, heard, open_gate
from relay.core.ladder import CLOSE_REFUSED, FATAL_CODES, RESPONSE_RETRIES, after_failure
from relay.core.model_link import Link
from relay.core.on_voice import text_over
from relay.core.phases import WITH_CALLER, Phase
from relay.core.sessions import go_harder, may_go_harder
from relay.core.state import State, note
from relay.core.way_out import fault, leave

#: The answers to functions that act upon the call itself.
_ENDING = '{"status":"ending"}'
_NOT_YET = (
    '{"status":"not_ended","message":"What you called besides comes first. Tell the caller what'
    ' came of it, and end the call then."}'
)
_ANSWER = (
    '{"status":"not_ended","message":"The caller has said something meanwhile, so the call was not'
    ' ended. Answer that. If they only said goodbye, or nobody speaks to you, end it again."}'
)
_WAITING = '{"status":"waiting"}'
_LARGEST = '{"status":"not_asked","message":"There is no larger model to ask. Go on yourself."}'
#: The purpose of a response that brings the call to its end.
WRAP_UP = "wrap_up"
#: The purpose of a response that goes on where one was broken off by its length.
CONTINUE = "continue"


def model_errored(call: State, event: on.ModelErrored, now: float) -> None:
    note(call, "model_error", f"{event.code}: {event.message}")
    if event.code == "conversation_already_has_active_response":
        call.talk.responses.refused(now)
    elif event.code == "session_expired":
        fault(call, "session_expired", now)
    elif event.code in FATAL_CODES or event.event_id.startswith(do.SETUP):
        fault(call, "model_refused", now)


def model_closed(call: State, event: on.ModelClosed, now: float) -> None:
    if call.link.state is Link.GONE:
        return
    note(call, "model_closed", f"{event.code} {event.reason}".strip())
    if event.code == CLOSE_REFUSED:
        fault(call, "model_refused", now)
    elif call.link.ready:
        fault(call, "model_lost", now)
    elif not call.link.dial_again(now):
        fault(call, "model_unreachable", now)


def response_ended(call: State, event: on.ResponseEnded, now: float) -> None:
    call.out += call.budget.response(event, now, hard=call.link.hard)
    if call.phase not in WITH_CALLER or call.handover.private(event.response_id):
        return
    responses = call.talk.responses
    active = responses.ended(event.response_id)
    call.talk.rest.over(event.response_id)
    text_over(call, event.response_id, now)
    call.out += call.talk.forget_unspoken(event.response_id)
    broken_off = call.greeting.broken_off(event)
    open_gate(call, now)
    heard(call, call.talk.end_items(event.response_id, now), now)
    if broken_off and call.phase in (Phase.GREETING, Phase.TALKING):
        call.out += call.talk.stop_waiting(now)  # what it called upon besides
        greet_after_all(call, now)
        return
    parting = call.talk.take_parting(event.response_id)
    if parting is not None:
        part(call, parting, now)
    elif event.response_id in responses.dead or event.status == "cancelled":
        return
    elif event.status != "completed" and not ran_out(event):
        response_failed(call, event, now)
    elif active and call.phase is Phase.TALKING and said_nothing(call, event):
        ask_again(call, event, now)
    else:
        responses.failures = 0
        if ran_out(event):
            responses.want(CONTINUE)
        elif call.talk.tools.called_in(event.response_id):
            call.talk.want_after_tools(event.response_id)


def ran_out(event: on.ResponseEnded) -> bool:
    """Whether a response was broken off by its length."""
    return event.status == "incomplete" and event.reason == "max_output_tokens"


def said_nothing(call: State, event: on.ResponseEnded) -> bool:
    """Whether a response that is over leaves the caller waiting: it neither spoke nor acted."""
    talk = call.talk
    if talk.remembering.spoke_in(event.response_id) or talk.tools.acted_in(event.response_id):
        return False
    # What was broken off by its length may have been whole.
    return talk.responses.purpose != CONTINUE or ran_out(event)


def ask_again(call: State, event: on.ResponseEnded, now: float) -> None:
    """Of a response nothing is heard: ask again at once, then take it for a stall."""
    note(call, "said_nothing", event.response_id)
    responses = call.talk.responses
    responses.failures += 1
    responses.want("tool" if call.talk.tools.called_in(event.response_id) else "retry")
    if responses.failures > RESPONSE_RETRIES:
        fault(call, "model_stalled", now)


def response_failed(call: State, event: on.ResponseEnded, now: float) -> None:
    """No `error` event says so. Bridge the wait with a clip and ask again, or give up."""
    note(call, "response_failed", f"{event.error_code}: {event.error_message}")
    responses = call.talk.responses
    responses.failures += 1
    verdict = after_failure(event, responses.failures, call.policy.max_retry_wait_s)
    if isinstance(verdict, str):
        fault(call, verdict, now)
        return
    if call.talk.playout.quiet():
        bridge(call, now)
    responses.want("retry", not_before=now + verdict)


def function_called(call: State, event: on.FunctionCalled, now: float) -> None:
    """Run it, or take it for a wish that its response leaves behind."""
    if event.name == transfer.TOOL:
        call.handover.called_off = False  # wanted after all
    ends = event.name == END_CALL
    if ends:
        call.exit.wished(event.response_id)
    out = call.talk.function_called(event, now, insists=ends and call.exit.stands)
    if ends and out and event.response_id in call.talk.responses.dead:
        call.exit.undone()
    call.out += out


def part(call: State, wish: on.FunctionCalled, now: float) -> None:
    """The response that wanted to part is over: answer its function, then leave."""
    if wish.name == END_CALL:
        end(call, wish, now)
        return
    if wish.name == "wait_for_caller":
        call.out.append(do.PostToolOutput(wish.call_id, _WAITING))
        call.idle.allowed_s = call.policy.wait_for_caller_s
        if call.talk.tools.called_in(wish.response_id):  # and what it has looked up is told
            call.talk.want_after_tools(wish.response_id)
        return
    if wish.name == "ask_larger_model":
        harder = may_go_harder(call)
        call.out.append(do.PostToolOutput(wish.call_id, _WAITING if harder else _LARGEST))
        if harder:
            go_harder(call, now)
        else:
            call.talk.responses.want("tool")
        return
    dropped, answer = call.handover.cancel(asked=call.talk.tools.running_now(transfer.TOOL))
    call.out += (*dropped, do.PostToolOutput(wish.call_id, answer))
    call.talk.responses.want("tool")


def end(call: State, wish: on.FunctionCalled, now: float) -> None:
    """The model wants to hang up: what the caller is still to hear comes first."""
    talk = call.talk
    if talk.tools.acted_in(wish.response_id) or talk.tools.owed():
        call.out.append(do.PostToolOutput(wish.call_id, _NOT_YET))
        if talk.tools.called_in(wish.response_id):
            talk.want_after_tools(wish.response_id)
        return
    unanswered = call.keys or talk.responses.wanted not in (None, WRAP_UP)
    if unanswered and not call.exit.stands:
        call.out.append(do.PostToolOutput(wish.call_id, _ANSWER))
        call.exit.undone()
        return
    call.out.append(do.PostToolOutput(wish.call_id, _ENDING))
    cut = wish.response_id in talk.responses.dead
    spoke = talk.remembering.spoke_in(wish.response_id) and not cut
    clip, revocable = "" if spoke else "goodbye", not call.exit.stands
    leave(call, "hang_up", "agent_ended", clip, now, revocable=revocable)
