"""The model's sessions: the first, and those that take a living call over."""

from __future__ import annotations

from relay.core import commands as do
from relay.core.dead_air import bridge
from relay.core.first_words import greet_by_clip, have_greeted
from relay.core.phases import Phase
from relay.core.state import State, engaged

_SUCCESSOR = "You take this call over in its middle. Above is what was said. Do not greet; go on."


def dial(call: State, now: float) -> None:
    call.link.dialled(now)
    call.out.append(do.DialModel(hard=call.link.hard))


def model_is_ready(call: State, now: float) -> None:
    """Tell the model what the caller has heard and said, then let it hear the rest."""
    if not call.link.open(now):
        return
    if call.link.successions or call.resumed:
        call.out += call.talk.remembering.retell()
        call.out.append(do.AddText("system", _SUCCESSOR))
    elif call.greeting.live:
        have_greeted(call, now)
    else:
        call.out.append(do.AddText("assistant", call.greeting_clip.text))
    call.out += call.untold
    call.untold.clear()
    flush(call, now)
    if call.answer_due:
        call.answer_due = False
        call.talk.responses.want("turn")


def flush(call: State, now: float) -> None:
    """Tell a new session a portion of what it has missed."""
    for audio in call.link.flush(now):
        call.out.append(do.AppendAudio(audio) if isinstance(audio, str) else do.RetellAudio(audio))
    if call.unheard and call.link.up_to_date:
        call.unheard = False
        call.talk.caller.retold(now)


def succeed(call: State, now: float, why: str) -> None:
    """Replace the session under the living call."""
    call.out.append(do.CloseModel(why))
    call.out += call.budget.lost(now, hard=call.link.hard)
    if call.phase is Phase.GREETING and call.greeting.live:
        call.talk.responses.abandon()
        greet_by_clip(call, now)
    out, waiting, owed = call.talk.orphan(now)
    call.out += out
    call.answer_due = call.answer_due or owed
    call.unheard = call.unheard or (waiting and not owed)
    if waiting:
        bridge(call, now)


def rotate(call: State, now: float) -> None:
    """The session is old: replace it when nobody would notice."""
    if engaged(call):
        call.rotate_at = now + 1.0
    elif call.link.succeed(now, lost=False):
        succeed(call, now, "session is old")


def may_go_harder(call: State) -> bool:
    """Whether there is a larger model to go to, and a conversation that goes on."""
    engaged_in = call.phase in (Phase.GREETING, Phase.TALKING)
    return engaged_in and call.policy.hard_model and call.link.ready and not call.link.hard


def go_harder(call: State, now: float) -> None:
    """This call is too hard for the model that it began with: a larger one takes over."""
    if may_go_harder(call) and call.link.succeed(now, lost=False):
        succeed(call, now, "harder call")
        call.link.hard = True
        call.answer_due = True
