"""Time: all that can fall due in a call, in one list, and what may happen after any event.

`advance` looks through all of it. Most events are none of its business: sound that comes in, goes
out or is heard, ten times a second a call. These can make nothing fall due sooner but the ledger's
own timers, and `look_round` finds nothing new unless an item begins or ends. So `sounded` looks at
those timers alone, and takes of the others what `advance` last found, which may be early by then
and is never late. The tests hold it to `advance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from relay.core import commands as do
from relay.core import dead_air
from relay.core.budget import LAST_CHANCE, Level
from relay.core.first_words import greet_after_all, heard
from relay.core.keeping import GOES_ON
from relay.core.on_model import WRAP_UP
from relay.core.on_phone import keys_settled
from relay.core.on_voice import voice_due
from relay.core.phases import WITH_CALLER, Phase
from relay.core.sessions import dial, flush, rotate
from relay.core.state import State, engaged, note, say, tell
from relay.core.way_out import (
    act,
    fault,
    finish,
    leave,
    move_anyway,
    move_if_at_rest,
    phone_gone,
)

#: When something is due (None: not now), and what is done then.
Timer: TypeAlias = tuple[float | None, Callable[[State, float], None]]

_WRAP_UP = "This call must end in half a minute. Say so and wrap up in one sentence, now."
#: Each round of due timers changes a state, so that a handful settles; the bound is for bugs alone.
MAX_ROUNDS = 50
NEVER = float("inf")


def timers(call: State) -> Iterator[Timer]:
    """All that can fall due in this phase: when, and what is done then."""
    policy, talk = call.policy, call.talk
    if call.phase is Phase.IDLE:
        yield call.opened_at + policy.start_within_s, never_started
        return
    if call.phase is Phase.ENDED:
        return
    if call.phase is Phase.LAST_WORDS:
        if call.link.ready:
            yield call.link.flush_at, flush
            yield last_words_until(call), model_done
        yield over_at(call), finish
        return
    if call.phase is Phase.HANDED_OVER:
        yield call.gone_at + policy.last_words_s, phone_lingers
        return
    yield call.moving.due_at, move_anyway
    yield talk.playout.next_release, release
    yield talk.playout.settle_at, settle
    yield talk.voicing.due, voice_due
    yield dead_air.due(call), dead_air.fill
    yield call.keys_due, keys_settled
    yield call.budget.minute_at, next_minute
    yield call.keeping.resume_at, pause_over
    yield talk.caller.words_due, words_overdue
    yield talk.caller.go_on_at, go_on
    yield talk.caller.utterances.commit_by, commit_overdue
    yield talk.tools.deadline, tools_due
    yield call.link.redial_at, dial
    yield call.link.ready_by, model_not_ready
    yield call.link.flush_at, flush
    if call.phase is Phase.GREETING:
        yield call.greeting.due_at, greet_after_all
    if call.phase is Phase.TALKING and call.link.ready:
        yield talk.caller.cut_in_at, cut_in
    if call.link.ready:
        yield max(call.rotate_at, call.link.ready_at + policy.session_s), rotate
    if talk.responses.busy:
        since = talk.responses.last_sign_at
        if not call.stall_seen:
            yield since + policy.dead_air_s, stalled
        yield since + policy.stall_lost_s, stalled_for_good
    elif (talk.responses.wanted is not None or talk.rest.text) and talk.responses.not_before:
        yield talk.responses.not_before, nothing
    if call.exit.farewell is not None:
        yield call.exit.farewell.act_at, act
    else:
        ends_at = call.started_at - call.before_s + policy.max_call_s
        yield ends_at + (policy.overtime_s if unsettled(call) else 0.0), too_long
        if not call.wrapping_up and policy.max_call_s > 2 * policy.wrap_up_s:
            yield ends_at - policy.wrap_up_s, wrap_up
        yield call.idle.due_at, too_quiet


def unsettled(call: State) -> bool:
    """Whether a human is rung for the caller, or it is still to be told what came of a function."""
    talk = call.talk
    responses = talk.responses
    telling = "tool" in (responses.wanted, responses.asked, responses.active and responses.purpose)
    return call.handover.live or telling or talk.tools.running() or talk.tools.waiting()


def advance(call: State, now: float) -> None:
    """Do all that is due, then look how long nothing will be."""
    for _ in range(MAX_ROUNDS):
        look_round(call, now)
        pending = [(at, do_it) for at, do_it in timers(call) if at is not None]
        due = [do_it for at, do_it in pending if at <= now]
        if not due:
            call.deadline = min([at for at, _ in pending], default=None)
            others = [at for at, do_it in pending if do_it not in _OF_SOUND]
            call.others_due = min(others, default=NEVER)
            return
        for do_it in due:
            do_it(call, now)
    note(call, "timers_do_not_settle", call.phase.name)
    # a bug, but not one that takes the process with it
    call.deadline = call.others_due = now + 1.0


def sounded(call: State, now: float) -> None:
    """What `advance` comes to where nothing has happened since the last one but sound and time."""
    talk, at = call.talk, call.others_due
    if at > now:
        playout = talk.playout
        release_at = playout.next_release
        if release_at is not None and release_at <= now:
            call.out += playout.release(now)
            release_at = playout.next_release
        for each in (release_at, playout.settle_at, talk.voicing.due):
            if each is not None and each < at:
                at = each
        if at > now:
            call.deadline = None if at == NEVER else at
            return
    advance(call, now)


def look_round(call: State, now: float) -> None:
    """What may happen by itself after any event: writes, answers, farewells, idleness."""
    talk = call.talk
    if call.phase not in WITH_CALLER:
        return
    if call.budget.level is not Level.FREE:
        mind_the_money(call, now)
    quiet = talk.silent()
    if quiet and call.keeping.resume_asked and not talk.responses.busy:
        call.out += call.keeping.resume()
    if quiet and talk.tools.waiting():
        call.out += talk.speech_heard(now)
    if call.moving.asked and call.phase is Phase.TALKING:
        move_if_at_rest(call, now)
    if call.phase is Phase.TALKING and call.link.ready and call.budget.level < Level.HELD:
        call.out += talk.ask(now)
    if call.exit.farewell is not None:
        call.exit.farewell.heard_out(now, quiet=quiet, doubt=talk.caller.doubt(now))
    call.idle.hold_s = call.policy.hold_line_s if call.handover.ringing else None
    call.idle.look(now, engaged=engaged(call))
    dead_air.look(call, now)


def nothing(call: State, _now: float) -> None:
    """A wish may be asked again: `look_round` does it."""
    call.talk.responses.not_before = 0.0


def release(call: State, now: float) -> None:
    call.out += call.talk.playout.release(now)


def words_overdue(call: State, now: float) -> None:
    call.talk.caller.words_overdue(now)


def go_on(call: State, now: float) -> None:
    call.talk.caller.go_on(now)


def commit_overdue(call: State, _now: float) -> None:
    call.talk.caller.utterances.not_committed()


def cut_in(call: State, now: float) -> None:
    call.out += call.talk.caller.cut_in(now)


def pause_over(call: State, _now: float) -> None:
    call.out += call.keeping.resume()
    tell(call, GOES_ON)


def settle(call: State, now: float) -> None:
    note(call, "mark_lost")
    heard(call, call.talk.playout.settle(now), now)


def tools_due(call: State, now: float) -> None:
    call.out += call.talk.tools_overdue(now)
    if call.talk.filler_due(now):
        dead_air.fill(call, now)


def never_started(call: State, now: float) -> None:
    phone_gone(call, "never_started", now)


def model_not_ready(call: State, now: float) -> None:
    fault(call, "model_unreachable", now)


def stalled(call: State, now: float) -> None:
    """Nothing comes any more. In mid-sentence that is the end, for no clip is heard behind it."""
    call.stall_seen = True
    playout = call.talk.playout
    dry = playout.dry_at is not None and playout.dry_at <= now
    if call.phase is Phase.TALKING and dry and playout.silent_at is None:
        stalled_for_good(call, now)


def stalled_for_good(call: State, now: float) -> None:
    fault(call, "model_stalled", now)


def phone_lingers(call: State, now: float) -> None:
    phone_gone(call, "lingered", now)


def last_words_until(call: State) -> float:
    """How long the model is still listened to: for the words and bills that may come."""
    words = not call.talk.caller.words_known(call.gone_at)
    if words or call.budget.owing or call.talk.responses.asked:
        return call.gone_at + call.policy.last_words_s
    return call.gone_at


def over_at(call: State) -> float:
    """When the call is over: no words and no begun tool are still to come in."""
    if call.talk.tools.running():
        return call.gone_at + call.policy.finish_tools_s
    return last_words_until(call) if call.link.ready else call.gone_at


def model_done(call: State, _now: float) -> None:
    call.link.lose()
    call.out.append(do.CloseModel("call over"))


def wrap_up(call: State, _now: float, words: str = _WRAP_UP) -> None:
    """The agent ends the call in its own words, if it can; else `too_long` does."""
    call.wrapping_up = True
    if call.link.ready:
        call.out.append(do.AddText("system", words))
        call.talk.responses.want(WRAP_UP)


def next_minute(call: State, now: float) -> None:
    call.out += call.budget.minutes(now)


def mind_the_money(call: State, now: float) -> None:
    """A cap is near: have the agent wrap up. Reached: a human goes on, when it has finished."""
    level = call.budget.level
    if call.phase is not Phase.TALKING or call.handover.live:
        return  # who is being rung will take over, or what follows is looked at then
    if level is Level.WRAP_UP and not call.wrapping_up:
        wrap_up(call, now, LAST_CHANCE)
    elif level is Level.OVER and not call.talk.responses.busy:
        leave(call, "fallback", call.budget.reason, "apology", now, revocable=False)


def too_long(call: State, now: float) -> None:
    if (cancel := call.talk.responses.cut()) is not None:
        call.out.append(do.CancelResponse(cancel))
    leave(call, "hang_up", "max_call", "wrap_up", now, revocable=False)


def too_quiet(call: State, now: float) -> None:
    """Nobody speaks: ask once, then say goodbye. While a human is rung it is we who owe."""
    if call.handover.ringing:
        say(call, "hold", now)
    elif call.idle.prompted:
        leave(call, "hang_up", "idle", "goodbye", now)
    else:
        call.idle.prompted, call.idle.allowed_s = True, 0.0
        say(call, "still_there", now)


#: What falls due by what the ledger holds.
_OF_SOUND = (release, settle, voice_due)
