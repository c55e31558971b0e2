"""What the caller's line brings: a stream, a voice, keys, nonsense."""

from __future__ import annotations

from relay.core import commands as do
from relay.core import events as on
from relay.core import transfer
from relay.core.farewell import END_CALL
from relay.core.first_words import choose_greeting, greet_by_clip
from relay.core.model_link import Link
from relay.core.on_human import ring_by_key
from relay.core.on_voice import open_voice
from relay.core.phases import Phase
from relay.core.records import CallOpened
from relay.core.sessions import dial
from relay.core.state import State, go, note, say, tell, wish
from relay.core.way_out import fault, leave

_STAYED = (
    "The caller went on speaking, so the call was not ended. Go on if they want something. If they"
    " only said goodbye, or nobody speaks to you, end it again."
)


def phone_started(call: State, event: on.PhoneStarted, now: float) -> None:
    """Greet at once: the clip needs no model. Only then look for one."""
    go(call, "started")
    call.started_at = now
    call.out += call.budget.answered(event.stream_sid, now)
    choose_greeting(call, event.parameters)
    if call.resumed:
        call.greeting.said_by_clip(say(call, "back", now))
        call.out += call.talk.playout.release(now)
    elif call.greeting.live:
        call.greeting.wait(now)
    else:
        greet_by_clip(call, now)
    caller, called = (event.parameters.get(name, "") for name in ("caller", "called"))
    if call.resumed:
        tell(call, transfer.resumed(event.parameters.get("why", "")))
        wish(call, "turn")
    dial(call, now)
    if call.talk.voicing.on:
        open_voice(call, now)
    call.out.append(do.Keep(CallOpened(now, event.stream_sid, caller, called)))
    call.out += call.keeping.begins(now)


def caller_audio(call: State, frame: on.CallerAudio, now: float) -> bool:
    if call.sanity.floods(frame.ms, now - call.started_at):
        fault(call, "phone_flood", now)
        return False
    caller = call.talk.caller
    if call.link.hear(frame.audio, frame.ms, understood=caller.understood(now)):
        call.out.append(do.AppendAudio(frame.audio))
    if caller.frame(frame.ms, frame.level_db, frame.rises, now):
        caller_confirmed(call, now)
        return False
    return True


def caller_passed(call: State, passed: on.CallerPassed, now: float) -> bool:
    """The same for frames that have gone on: kept and measured, each at its time."""
    ms = sum([frame[0] for frame in passed.frames])
    if call.sanity.floods(ms, now - call.started_at):
        fault(call, "phone_flood", now)
        return False
    caller = call.talk.caller
    call.link.hear(passed.mulaw, ms, understood=caller.understood(now))
    certain = False
    for frame_ms, level_db, rises in passed.frames:
        ms -= frame_ms
        certain |= caller.frame(frame_ms, level_db, rises, now - ms / 1000)
    if certain:
        caller_confirmed(call, now)
    return not certain


def caller_confirmed(call: State, now: float) -> None:
    """Somebody really speaks: yield, unless the greeting or a hand-over is under way."""
    call.idle.caller_spoke()
    stayed = call.phase is Phase.LEAVING and _take_back(call)
    if call.phase is Phase.TALKING:
        parting = call.talk.parting
        call.out += call.talk.give_way(now)
        if parting and parting.name == END_CALL and not call.talk.parting:
            call.exit.undone()
    if stayed:
        _go_on(call, now)


def objected(call: State, now: float) -> None:
    """There are words of somebody whom we had not taken for the caller."""
    if call.phase is Phase.LEAVING and _take_back(call):
        _go_on(call, now)


def _take_back(call: State) -> bool:
    """Somebody is still there: do not hang up. False: that cannot be taken back."""
    return call.exit.take_back() and go(call, "taken_back")


def _go_on(call: State, now: float) -> None:
    """The conversation goes on behind a goodbye, with whoever is left to lead it."""
    if call.link.state is Link.GONE:
        leave(call, "fallback", "model_lost", "apology", now)
    else:
        tell(call, _STAYED)


def key_pressed(call: State, digit: str, now: float) -> None:
    """A key, of which more may come. Who presses one is still there."""
    call.keys = (call.keys + digit)[: call.policy.max_keys]
    call.keys_due = now + call.policy.key_pause_s
    call.idle.caller_spoke()
    if call.phase is Phase.LEAVING and _take_back(call):
        _go_on(call, now)


def keys_settled(call: State, now: float) -> None:
    """The caller stopped pressing: a lone 0 is a cry for a human, the rest is for the model."""
    keys, call.keys, call.keys_due = call.keys, "", None
    if keys == "0":
        if call.phase in (Phase.GREETING, Phase.TALKING):
            ring_by_key(call, now)
    else:
        tell(call, f"(The caller pressed the keys: {keys})", role="user")
        wish(call, "keys")


def peer_misbehaved(call: State, event: on.PeerMisbehaved, now: float) -> None:
    note(call, f"{event.side}_misbehaved", event.kind)
    if event.side == "phone" and call.sanity.too_broken(now):
        fault(call, "phone_broken", now)
