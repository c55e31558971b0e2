"""How a call is left: in good order, by a rung of the ladder, or because the caller has gone."""

from __future__ import annotations

from relay.core import commands as do
from relay.core.first_words import heard
from relay.core.ladder import RUNGS, SESSION_FAULTS
from relay.core.model_link import Link
from relay.core.moving import REASON, RESUME, at_rest
from relay.core.phases import WITH_CALLER, Phase
from relay.core.records import CallEnded, failed_notice
from relay.core.sessions import succeed
from relay.core.state import State, go, note, say


def leave(
    call: State, disposition: str, reason: str, clip: str, now: float, *, revocable: bool = True
) -> None:
    """Say the last words, then close the stream with a disposition."""
    if not go(call, "leaving"):
        return
    if disposition != "join":
        call.out += call.handover.drop()
    if call.talk.forget_rest():
        clip = clip or "goodbye"
    if clip:
        say(call, clip, now)
    call.exit.choose(disposition, reason, now, revocable=revocable)


def fault(call: State, kind: str, now: float) -> None:
    """Something broke: take the ladder's next rung, unless the call is leaving anyway."""
    note(call, "fault", kind)
    if call.phase is Phase.IDLE:
        phone_gone(call, kind, now)
    if call.phase not in WITH_CALLER:
        return
    if (
        kind in SESSION_FAULTS
        and call.phase is not Phase.LEAVING
        and call.link.succeed(now, lost=True)
    ):
        succeed(call, now, kind)
        return
    rung = RUNGS[kind]
    call.out += call.talk.stop_waiting(now)
    call.out += call.talk.tools.orphan(now)
    call.talk.responses.abandon()
    voiced, items = call.talk.end_speech(now)
    call.out += voiced
    heard(call, items, now)
    call.talk.remembering.lose()
    if call.link.lose() is not Link.GONE:
        call.out.append(do.CloseModel(kind))
    if rung.clip and call.handover.ringing and call.phase is not Phase.LEAVING:
        say(call, "hold", now)  # a human may come any moment: what follows depends on that
    elif call.phase is not Phase.LEAVING:
        leave(call, rung.disposition, kind, rung.clip, now)
    if not rung.clip:
        act(call, now)


def act(call: State, now: float) -> None:
    """All is said: close the stream."""
    if call.exit.farewell is not None and go(call, "acted"):
        call.gone_at = now
        if call.exit.farewell.disposition != "join":
            call.out += call.handover.drop()  # somebody may have begun to ring since it was chosen
        call.out += call.keeping.resume()
        call.out += call.exit.act(call.exit.farewell, now)


def move_if_at_rest(call: State, now: float) -> None:
    """The call is wanted elsewhere: let go of it between two turns."""
    if not (call.handover.live or call.keys) and at_rest(call.talk):
        leave(call, RESUME, REASON, "", now, revocable=False)


def move_anyway(call: State, now: float) -> None:
    """No turn came to its end in time: this is where the call is let go of."""
    call.moving.due_at = None
    if call.phase is Phase.LEAVING:
        act(call, now)
    else:
        call.out += call.talk.cut(now, for_caller=False)
        leave(call, RESUME, REASON, "one_moment", now, revocable=False)


def finish(call: State, now: float) -> None:
    if not go(call, "settled"):
        return
    call.out += call.budget.lost(now, hard=call.link.hard)
    if call.exit.goes_on():
        call.out.append(do.EndCall())
        return
    outcome, reason = call.exit.outcome(call.talk.tools.outcomes, call.talk.answers)
    ended = CallEnded(
        now,
        outcome,
        reason,
        round((call.gone_at - call.started_at + call.before_s) * 1000),
        call.greeting_ms,
        call.talk.transcript.gate_open,
        call.talk.barge_ins,
        call.talk.summary(),
    )
    call.out.append(do.Keep(ended))
    if outcome == "failed":
        call.out.append(do.Keep(failed_notice(now, reason)))
    call.out.append(do.EndCall())


def phone_gone(call: State, reason: str, now: float) -> None:
    if call.phase is Phase.LAST_WORDS:
        return
    call.exit.reason = call.exit.reason or reason
    if call.phase is not Phase.HANDED_OVER:
        call.out += call.handover.drop()
    if not go(call, "gone"):
        return
    if call.phase is Phase.ENDED:
        call.out.append(do.EndCall())
        return
    call.gone_at = now
    call.out += call.talk.hung_up(now)
