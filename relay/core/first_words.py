"""The greeting, by whomever, and what its being heard opens."""

from __future__ import annotations

from collections.abc import Mapping

from relay.core import commands as do
from relay.core.greeting import PURPOSE, Greeting
from relay.core.phases import Phase
from relay.core.playout import Heard
from relay.core.policy import LIVE_GREETING, LIVE_PLAIN_GREETING, PLAIN_GREETING
from relay.core.state import State, go, note


def choose_greeting(call: State, caller: Mapping[str, str]) -> None:
    """With the notice, unless this caller need not hear it, and there is one without."""
    plain = PLAIN_GREETING in call.clips
    notice = call.keeping.needs_notice(caller, can_do_without=plain)
    call.greeting_clip = call.clips["greeting" if notice else PLAIN_GREETING]
    live = call.clips.get(LIVE_GREETING if notice else LIVE_PLAIN_GREETING)
    if live is not None and not call.resumed:
        call.greeting = Greeting(live.text, call.policy.live_greeting_s)
    call.keeping.greets_with((live or call.greeting_clip).text)


def greet_by_clip(call: State, now: float) -> None:
    call.keeping.greets_with(call.greeting_clip.text)
    call.greeting.said_by_clip(call.talk.say(call.greeting_clip, now))
    call.out += call.talk.playout.release(now)
    if call.greeting_ms is None:
        call.greeting_ms = round((now - call.started_at) * 1000)


def greet_after_all(call: State, now: float) -> None:
    """The model was to greet, and does not: a clip does, and the model is told."""
    note(call, "greeted_by_clip")
    responses = call.talk.responses
    cancel = responses.cut() if responses.busy else None
    if cancel is not None:
        call.out.append(do.CancelResponse(cancel))
    greet_by_clip(call, now)
    if call.link.ready:
        call.out.append(do.AddText("assistant", call.greeting_clip.text))


def have_greeted(call: State, now: float) -> None:
    """Have the model greet the caller, as its first words."""
    call.talk.responses.want(PURPOSE)
    call.talk.responses.ask(now)
    create = do.CreateText if call.talk.voicing.on else do.CreateResponse
    call.out.append(create(PURPOSE, call.greeting.instructions))
    call.greeting.wait(now)


def heard(call: State, items: list[Heard], now: float) -> None:
    for item in items:
        if not (item.local or item.interrupted):
            call.exit.listened(call.talk.remembering.response_of(item.item_id))
        if item.item_id != call.greeting.item_id:
            continue
        call.greeting.heard = item.proven
        open_gate(call, now)
        call.talk.answers -= not item.local  # a greeting answers nothing
        if call.phase is Phase.GREETING:
            go(call, "greeted")
    call.out += call.talk.heard(items, now)


def open_gate(call: State, now: float) -> None:
    """The notice is in the greeting: once all of that was heard, the call is kept."""
    if call.greeting.whole and call.greeting.heard:
        call.out += call.keeping.heard(now, call.greeting_ms)
