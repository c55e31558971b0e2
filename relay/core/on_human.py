"""What becomes of a human who is rung for the caller, and of one who is needed at once."""

from __future__ import annotations

from relay.core import commands as do
from relay.core import events as on
from relay.core import transfer
from relay.core.keeping import REFUSED
from relay.core.model_link import Link
from relay.core.phases import WITH_CALLER, Phase
from relay.core.policy import SPANISH_EMERGENCY
from relay.core.records import OwnerNotice
from relay.core.state import State, go, note, say, tell, wish
from relay.core.way_out import leave

_WARNED = (
    "The caller has just been told to hang up and dial 9 1 1 if this is an emergency. Do not repeat"
    " it unless they ask."
)


def ring_by_key(call: State, now: float) -> None:
    """The caller's own way to a human, which needs no model. The greeting is not cut by it."""
    if call.phase is Phase.TALKING:
        call.out += call.talk.cut(now)
    say(call, "hold", now)
    call.handover.called_off = False
    if call.handover.live or call.talk.tools.running_now(transfer.TOOL):
        return
    call.out += call.talk.tools.run_ours(transfer.TOOL, transfer.BY_KEY, now)
    if call.link.ready:
        call.out.append(do.AddText("system", transfer.RUNG_BY_KEY))


def human_accepted(call: State, attempt: str, now: float) -> None:
    """The human waits: tell the caller, to the end, then let go of the stream."""
    if call.phase is Phase.LEAVING and not call.exit.gives_up():
        call.out += call.handover.drop()
    elif not call.handover.accepts(attempt):
        note(call, "stale_attempt", attempt)
    elif call.phase is Phase.LEAVING:
        say(call, "connecting", now)
        call.exit.choose("join", "human_accepted", now, revocable=False)
    else:
        call.out += call.talk.cut(now)
        leave(call, "join", "human_accepted", "connecting", now, revocable=False)


def human_lost(call: State, attempt: str, reason: str, now: float) -> None:
    if not call.handover.loses(attempt):
        note(call, "stale_attempt", attempt)
        return
    if call.exit.human_is_gone():
        go(call, "taken_back")
    nobody(call, reason, now)


def nobody(call: State, reason: str, now: float) -> None:
    """No human is to be had now: the agent goes on, or what there is without one."""
    if call.phase not in (Phase.GREETING, Phase.TALKING):
        return
    if call.link.state is Link.GONE:
        leave(call, "voicemail", reason, "nobody", now)
    else:
        tell(call, transfer.told(reason))
        wish(call, "transfer")


def refused(call: State, now: float) -> None:
    """The caller's words were a refusal to be recorded, whatever the model makes of them."""
    if not call.keeping.refused:
        call.out += call.keeping.refuse(now)
        tell(call, REFUSED)


def warn(call: State, event: on.CallerTranscribed, now: float) -> None:
    """The caller's words may be an emergency: say the line, once, and flag the call.

    A caller who has gone meanwhile cannot be told any more; the owner can.
    """
    if call.warned:
        return
    call.warned = True
    if call.phase in WITH_CALLER:
        _say_the_line(call, event.language, now)
    # Nothing is kept that was said before the notice, in a pause, or after a refusal.
    told = f'The caller said: "{event.text.strip()}"'
    text = (
        told
        if call.talk.transcript.quotes(event.item_id)
        else "The caller's words, which are not kept"
    )
    call.out.append(do.Keep(OwnerNotice(now, "emergency", "flagged", text)))


def _say_the_line(call: State, language: str, now: float) -> None:
    """Before all else, the greeting included: then its notice was not heard, and nothing is kept.

    Only last words are not cut, since what follows them is for the caller's good, too.
    """
    if call.phase is not Phase.LEAVING:
        call.out += call.talk.cut(now)
    spanish = language == "es" and SPANISH_EMERGENCY in call.clips
    say(call, SPANISH_EMERGENCY if spanish else "emergency", now)
    if call.phase is Phase.GREETING:
        call.greeting.give_up()
        go(call, "greeted")
    if call.link.ready:
        call.out.append(do.AddText("system", _WARNED))
        call.talk.responses.want("emergency")  # what was being said in answer is cut
