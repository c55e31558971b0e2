"""What one call knows, and what everybody does with it.

The modules beside this one are functions over a `State`, each for one side of the call: on_phone,
on_model, on_human; sessions, first_words, way_out, due. call.py holds one State and is the face.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.core import commands as do
from relay.core.budget import Budget
from relay.core.commands import Command
from relay.core.conversation import Conversation
from relay.core.farewell import Leaving
from relay.core.greeting import Greeting
from relay.core.keeping import Keeping
from relay.core.limits import Idleness, Sanity
from relay.core.model_link import ModelLink
from relay.core.moving import Moving
from relay.core.phases import TRANSITIONS, Phase
from relay.core.policy import CallPolicy, Clip
from relay.core.transfer import Handover


class State:
    """One call's. out: the commands of the step under way; deadline: when to be woken.

    others_due: when something other than the ledger's sound falls due, or earlier (due.py)
    """

    def __init__(self, policy: CallPolicy, clips: Mapping[str, Clip], *, now: float) -> None:
        self.phase = Phase.IDLE
        self.policy = policy
        self.clips = clips
        self.talk = Conversation(policy)
        self.budget = Budget(policy.prices, policy.max_call_micro_usd, day_cap=policy.day_cap)
        self.exit = Leaving(
            second_thoughts_s=policy.second_thoughts_s,
            objection_s=policy.objection_s,
            max_taken_back=policy.max_taken_back,
        )
        self.handover = Handover()
        self.untold: list[do.AddText] = []  # news for a model that is not ready
        self.resumed = False
        self.before_s = 0.0  # how long the call has lasted in other streams
        self.moving = Moving()
        self.warned = False
        self.out: list[Command] = []
        self.opened_at = now
        self.started_at = now
        self.greeting_ms: int | None = None
        self.greeting = Greeting("", policy.live_greeting_s)
        self.greeting_clip = clips["greeting"]
        self.keeping = Keeping(policy, self.talk.transcript)
        self.link = ModelLink(policy)
        self.answer_due = False  # by the session that is being dialled
        self.sanity = Sanity(policy.flood_ms, policy.misbehaviour_per_s)
        self.idle = Idleness(policy.idle_prompt_s, policy.idle_goodbye_s)
        self.keys = ""
        self.keys_due: float | None = None
        self.stall_seen = False
        self.unheard = False  # something that the session being dialled is to hear, and to answer
        self.owed_at: float | None = None  # since when the caller waits for us (dead_air.py)
        self.filled_at = float("-inf")  # when they were last told so
        self.rotate_at = 0.0
        self.voice_opened_at = now
        self.wrapping_up = False
        self.gone_at = now
        self.deadline: float | None = now + policy.start_within_s
        self.others_due = now + policy.start_within_s


def go(call: State, trigger: str) -> bool:
    """Take a transition. False, with a note, when the table has none."""
    to = TRANSITIONS.get((call.phase, trigger))
    if to is None:
        note(call, "no_transition", f"{trigger} in {call.phase.name}")
        return False
    call.phase = to
    return True


def note(call: State, kind: str, detail: str = "") -> None:
    call.out.append(do.Note(kind, detail))


def say(call: State, clip: str, now: float) -> str:
    return call.talk.say(call.clips[clip], now)


def tell(call: State, news: str, role: str = "system") -> None:
    """Tell the model something, as soon as there is one."""
    text = do.AddText(role, news)
    if call.link.ready:
        call.out.append(text)
    else:
        call.untold.append(text)


def wish(call: State, purpose: str) -> None:
    """Have the model say something, as soon as there is one."""
    if call.link.ready:
        call.talk.responses.want(purpose)
    else:
        call.answer_due = True


def engaged(call: State) -> bool:
    """Somebody speaks, or something is being done that the caller waits for."""
    talk = call.talk
    return (
        call.phase is not Phase.TALKING
        or not (call.link.ready or call.handover.ringing)
        or not talk.playout.quiet()
        or talk.tools.running()
        or talk.responses.busy
        or talk.caller.utterances.speaks()
    )
