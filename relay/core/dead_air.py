"""Dead air: a caller who waits for us and hears nothing, for whatever reason.

    owed ─▶ nothing sounds, nobody speaks, for `dead_air_s` ─▶ "one moment" ─▶ … the same again
     ▲                                                               │
     └── whatever else is wrong with a session ends in an answer, or on the ladder ◀┘

It is not asked why nothing comes: a model that thinks, one that is gone, one that is dialled, one
that has to wait for its rate limit are the same silence. What is done about each is said elsewhere,
each with a bound of its own, and none of those need be as short as a caller's patience.

Silence that nobody waits in is none of this: it is the caller's turn (limits.py).
"""

from __future__ import annotations

from relay.core.model_link import Link
from relay.core.phases import Phase
from relay.core.state import State, say

#: So long before a server tells of a turn's end may that have been. One that takes more time over
#: it (`semantic_vad`) has what is left of `dead_air_s` for its answer all the same.
TURN_S = 2.0


def owed(call: State, now: float) -> bool:
    """Whether the caller waits for something that we, or the model, are to say."""
    talk, link = call.talk, call.link
    if call.phase is not Phase.TALKING or link.state is Link.GONE:
        return False
    caller = talk.caller
    return (
        talk.responses.busy
        or talk.responses.wanted is not None
        or talk.rest.owed
        or talk.tools.open()
        or call.answer_due
        or call.unheard
        or caller.unanswered(now)
        or caller.go_on_at is not None
        or (link.state is Link.DIALLING and caller.unnoticed(now))
    )


def look(call: State, now: float) -> None:
    """Note since when the caller waits: from the end of their speech, if that is what for."""
    if not owed(call, now):
        call.owed_at = None
    elif call.owed_at is None:
        caller = call.talk.caller
        spoken_at = max(caller.silent_at, now - TURN_S)
        call.owed_at = spoken_at if caller.unanswered(now) else now


def due(call: State) -> float | None:
    """When the caller has heard nothing for too long."""
    caller, sounded_at = call.talk.caller, call.talk.playout.silent_at
    speaker = caller.utterances.open
    if call.owed_at is None or sounded_at is None or (speaker is not None and speaker.confirmed):
        return None
    return max(call.owed_at, sounded_at, caller.ear.proven_at) + call.policy.dead_air_s


def fill(call: State, now: float) -> None:
    say(call, "one_moment", now)
    call.filled_at = now


def bridge(call: State, now: float) -> None:
    """The caller will have to wait. They hear so at once, unless they have, or are speaking."""
    if now - call.filled_at >= call.policy.dead_air_s and not call.talk.caller.speaks(now):
        fill(call, now)
