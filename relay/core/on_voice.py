"""What a second voice brings, and how a call goes on in the model's own when there is none."""

from __future__ import annotations

from relay.core import commands as do
from relay.core import events as on
from relay.core.first_words import greet_after_all, heard
from relay.core.phases import Phase
from relay.core.state import State, note, say
from relay.core.voicing import Written

#: Lost so, another connection may do better; the others say no, and would again.
_MAY_COME_BACK = frozenset({"closed", "broken"})


def agent_text(call: State, event: on.AgentText, now: float) -> None:
    """Sentences that are to be said, unless they were written for us alone."""
    if call.handover.private(event.response_id):
        return
    call.greeting.begins(event)
    talk = call.talk
    talk.responses.progress(now)
    if talk.misses(event.response_id, event.item_id):
        return
    if talk.remembering.said(event.item_id):
        return  # an item is spoken or written, never both: it would be forgotten twice
    said = talk.voicing.write(event, now)
    call.out += said
    for each in said:
        if isinstance(each, do.SayText):
            place = f"{each.item_id}_{talk.voicing.length(each.item_id)}"
            call.out += call.budget.voiced(place, len(each.text), now)


def agent_wrote(call: State, event: on.AgentWrote, now: float) -> None:
    """All of an item's text is there."""
    if call.handover.private(event.response_id):
        call.out += call.handover.wrote(event.response_id, event.text)
        return
    call.out += call.talk.agent_wrote(event, now)
    text_over(call, event.response_id, now, item_id=event.item_id)


def text_over(call: State, response_id: str, now: float, *, item_id: str = "") -> None:
    """No more text of a response comes, or of one of its items."""
    voicing = call.talk.voicing
    for written in voicing.of(response_id):
        if item_id in ("", written.item_id):
            call.out += voicing.end_text(written, now)
            if not voicing.on:
                go_on_without(call, written, now)


def open_voice(call: State, now: float) -> None:
    call.voice_opened_at = now
    call.out.append(do.OpenVoice())


def voice_lost(call: State, event: on.VoiceLost, now: float) -> None:
    """Call it back if nobody has noticed; else the model speaks for itself from here on."""
    voicing = call.talk.voicing
    if not voicing.on:
        return
    why = f"{event.why}: {event.detail}".rstrip(": ")
    lasted_s = now - call.voice_opened_at
    may_come_back = event.why in _MAY_COME_BACK and lasted_s >= call.policy.voice_relapse_s
    if may_come_back and not voicing.open:
        note(call, "voice_called_back", why)
        open_voice(call, now)
        return
    note(call, "voice_lost", why)
    call.out.append(do.CloseVoice())
    voicing.on = False
    for written in voicing.open:
        if written.whole:
            go_on_without(call, written, now)


def voice_due(call: State, now: float) -> None:
    """It keeps the caller waiting: for words, or only for the news that it has said them all."""
    first = next(each for each in call.talk.voicing.open if each.awaited)
    if first.unsaid:
        voice_lost(call, on.VoiceLost("slow"), now)
    else:
        audio_over(call, first.item_id, now)


def audio_over(call: State, item_id: str, now: float) -> None:
    """No more sound of an item comes, whoever said it."""
    call.talk.voicing.finish(item_id, now)
    heard(call, call.talk.playout.end(item_id, now), now)


def go_on_without(call: State, written: Written, now: float) -> None:
    """Have the model itself say what the voice has not said."""
    rest = written.unsaid
    if written.item_id == call.greeting.item_id:
        call.greeting.unsaid()  # a notice that was half said was not given
    commands, items = call.talk.voicing.shorten(written, now)
    call.out += commands
    heard(call, items, now)
    if call.phase is Phase.GREETING:
        greet_after_all(call, now)
    elif not rest:
        return
    elif call.phase is Phase.LEAVING:
        say(call, "goodbye" if not call.exit.gives_up() else "apology", now)
    else:
        call.talk.rest.owe(rest)
