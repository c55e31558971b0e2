"""Two people talking: the caller's utterances, the agent's responses, and who yields to whom.

Every method takes an event's facts and `now`, changes the state and returns commands. It knows
nothing of phases: whether a cut or an answer is allowed at all is decided by `call.py`, which owns
the one instance of this.

The caller's side of it is in listening.py; here are the agent's speech, the cut, and functions.
"""

from __future__ import annotations

from textwrap import shorten

from relay.core import commands as do
from relay.core import events as on
from relay.core.commands import Command
from relay.core.listening import Listening
from relay.core.playout import Heard, Playout
from relay.core.policy import CallPolicy, Clip, Effect
from relay.core.remembering import Remembering
from relay.core.tool_calls import ToolCalls
from relay.core.transcript import Transcript
from relay.core.turns import Responses
from relay.core.voicing import REST, Rest, Voicing

SUMMARY_CHARS = 160


class Conversation:
    """The talking part of one call."""

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy
        self.playout = Playout(
            lead_ms=policy.lead_ms,
            refill_ms=policy.refill_ms,
            chunk_ms=policy.chunk_ms,
            mark_patience_s=policy.mark_patience_s,
        )
        self.responses = Responses()
        self.tools = ToolCalls(policy)
        self.transcript = Transcript()
        self.voicing = Voicing(
            self.playout,
            self.transcript,
            on=policy.second_voice,
            patience_s=policy.voice_patience_s,
        )
        self.remembering = Remembering(self.playout, self.transcript, self.voicing, self.tools)
        self.rest = Rest()
        self.caller = Listening(policy, self.playout, self.responses, self.tools, self.transcript)
        self.parting: on.FunctionCalled | None = None
        self._insists = False  # on parting, whoever speaks
        self._collecting = False  # numbers, names, addresses
        self.barge_ins = 0
        self.answers = 0
        self._clips = 0

    def summary(self) -> str:
        """One line for a person: what was done, or else what the caller wanted; "" if not kept."""
        if not self.transcript.gate_open or self.transcript.refused:
            return ""
        text = "; ".join(self.tools.notices) or self.transcript.first_words()
        return shorten(text, SUMMARY_CHARS, placeholder=" …")

    # ---- the agent --------------------------------------------------------------------------

    def say(self, clip: Clip, now: float) -> str:
        """Queue a clip behind what is being said. Returns its item id."""
        self._clips += 1
        item_id = f"clip_{clip.name}_{self._clips}"
        self.playout.add(item_id, clip.mulaw, clip.level_db, local=True)
        self.playout.end(item_id, now)
        self.transcript.agent_spoke(item_id, now, clip.text)
        return item_id

    def response_started(self, event: on.ResponseStarted, now: float) -> list[Command]:
        self.rest.started(event.response_id, self.responses.asked or event.purpose)
        if self.responses.started(event.response_id, now):
            return []
        return [do.CancelResponse(event.response_id)]

    def agent_audio(self, event: on.AgentAudio, now: float) -> bool:
        """Take sound of the agent's. True: more of what is being said, and no other news."""
        voiced = self.voicing.has(event.item_id)
        if not voiced:
            self.responses.progress(now)
            if self.misses(event.response_id, event.item_id):
                self.transcript.missed(event.item_id, len(event.mulaw))
                return False  # a late delta of what was cut
        if not self.playout.add(event.item_id, event.mulaw, event.level_db):
            return False
        if voiced:
            if self.voicing.sounds(event.item_id, now):
                self.caller.answered(now)
            return False
        self.rest.over(event.response_id)
        if not self.remembering.speaks(event.item_id, event.response_id):
            return True
        self.caller.answered(now)
        self.transcript.agent_spoke(event.item_id, now)
        return False

    def misses(self, response_id: str, item_id: str) -> bool:
        """Whether speech comes too late: its response was cut."""
        if response_id not in self.responses.dead:
            return False
        if not self.remembering.has(item_id):
            self.responses.begins_late(item_id, response_id)
        return True

    def forget_unspoken(self, response_id: str) -> list[Command]:
        """A response is over: of what began only after its cut, the caller has heard nothing."""
        return [do.DeleteItem(item) for item in self.responses.unspoken(response_id)]

    def agent_transcribed(self, event: on.AgentTranscribed, now: float) -> list[Command]:
        self.responses.progress(now)
        self.misses(event.response_id, event.item_id)
        rows = self.transcript.agent_words(event.item_id, event.text)
        return [*self._collect(event.text), *(do.Keep(row) for row in rows)]

    def agent_wrote(self, event: on.AgentWrote, now: float) -> list[Command]:
        self.responses.progress(now)
        if self.voicing.told(event.item_id, event.text) is None:
            return []
        rows = self.transcript.agent_words(event.item_id, event.text)
        return [*self._collect(event.text), *(do.Keep(row) for row in rows)]

    def forget_rest(self) -> bool:
        """Nobody will say what a voice has left unsaid. True: there was something."""
        unsaid = bool(self.rest.text)
        self.rest.drop()
        return unsaid

    def silent(self) -> bool:
        """Nothing is being said, and nothing that was written waits for a voice."""
        return self.playout.quiet() and not self.rest.owed

    def _collect(self, said: str) -> list[Command]:
        """Wait longer for a caller who was asked for something with pauses in it."""
        words = {word.strip(".,;:!?").lower() for word in said.split()}
        asks = "?" in said and not words.isdisjoint(self._policy.collecting_words)
        if asks == self._collecting:
            return []
        self._collecting = asks
        policy = self._policy
        return [do.SetTurnSilence(policy.long_silence_ms if asks else policy.silence_ms)]

    def end_items(self, response_id: str | None, now: float) -> list[Heard]:
        """No more audio comes of this response (None: of any), said or unsaid."""
        items = self.remembering.items_of(response_id)
        return [heard for item_id in items for heard in self.playout.end(item_id, now)]

    def end_speech(self, now: float) -> tuple[list[Command], list[Heard]]:
        """No more is said of anything by a session that is gone. A voice finishes what it has."""
        voiced, heard = self.voicing.leave(now)
        return voiced, heard + self.end_items(None, now)

    def heard(self, items: list[Heard], now: float) -> list[Command]:
        """Items were heard to their end."""
        out: list[Command] = []
        if items:
            self._heard_something(now)
        for item in items:
            self.answers += not item.local
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
            out += self.remembering.tell_heard(item)
        return out

    def ask(self, now: float) -> list[Command]:
        """The response that is wished for, if the floor is free."""
        if self.caller.holds_the_floor():
            return []
        purpose = self.responses.ask(now, first=REST if self.rest.text else "")
        if purpose is None:
            return []
        if purpose == REST:
            return [self.rest.ask()]
        return [do.CreateText(purpose) if self.voicing.on else do.CreateResponse(purpose)]

    # ---- the cut ----------------------------------------------------------------------------

    def give_way(self, now: float) -> list[Command]:
        """Cut for a caller who speaks."""
        self.caller.yielded(now)
        if not self._insists:
            return self.cut(now)
        parting, self.parting = self.parting, None
        out = self.cut(now)
        self.parting = parting
        return out

    def cut(self, now: float, *, for_caller: bool = True) -> list[Command]:
        """Stop all speech, and make the model forget what was not heard.

        for_caller: to yield to them, which counts as a barge-in
        """
        audible = self.playout.has_audio()
        out: list[Command] = []
        cancel = self.responses.cut()
        self.rest.drop()
        items = self.playout.cut(now)
        if items:
            self._heard_something(now)
        if audible:
            self.barge_ins += for_caller
            out += [do.ClearPhone(), do.ResetCodec()]
        if cancel is not None:
            out.append(do.CancelResponse(cancel))
        for item in items:
            out += self.voicing.drop(item.item_id)
            out += self.remembering.forget_unheard(item)
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
            out += self.remembering.tell_heard(item)
        return out + self.stop_waiting(now)

    def stop_waiting(self, now: float) -> list[Command]:
        """What has not begun, be it a write or the call's own end, will not."""
        out = self.tools.cut(now)
        if self.parting is not None:
            call, self.parting = self.parting, None
            out += self.tools.interrupted(call, now)
        return out

    def hung_up(self, now: float) -> list[Command]:
        """The caller is gone: what was heard is final, and nothing more is generated."""
        cancel = self.responses.cut()
        out: list[Command] = [do.CancelResponse(cancel)] if cancel is not None else []
        for item in self.playout.cut(now):
            out += self.voicing.drop(item.item_id)
            out += [do.Keep(row) for row in self.transcript.agent_heard(item)]
        return out + self.stop_waiting(now)

    # ---- a new session under the same conversation ------------------------------------------

    def resume(self, past: on.CallResumed) -> None:
        """Go on behind what was said and done in the call's streams before this one."""
        self.answers = past.answers
        self.tools.resume(past.tools, past.outcomes, past.notices)
        if past.lines:
            self.transcript.resume(past.lines)
            self._clips = self.transcript.base  # no clip of this stream is taken for an old one

    def orphan(self, now: float) -> tuple[list[Command], bool, bool]:
        """The session is gone. Commands; whether the caller waits; whether an answer is owed.

        Speech whose words never came is heard again by the next session, and answered then.
        """
        unheard = not self.caller.understood(now)
        wished = self.responses.wanted is not None or self.rest.owed
        owed = self.responses.busy or wished or self.tools.waiting()
        self.responses.abandon()
        self.caller.forget()
        self.parting, self._collecting = None, False
        self.rest.drop()
        voiced, heard = self.end_speech(now)
        self.remembering.lose()
        out = voiced + self.heard(heard, now) + self.tools.orphan(now)
        return out, unheard or owed, owed and not unheard

    # ---- functions --------------------------------------------------------------------------

    def function_called(
        self, event: on.FunctionCalled, now: float, *, insists: bool = False
    ) -> list[Command]:
        """Run a tool, or remember a call upon the call itself until its response is over.

        insists: it holds though its response was cut, or will be
        """
        self.responses.progress(now)
        if not self.tools.claim(event.call_id):
            return []
        if event.response_id in self.responses.dead and not insists:
            return self.tools.interrupted(event, now)
        effect = self._policy.effects.get(event.name)
        if effect is not Effect.CALL:
            return self.tools.called(event, effect, now)
        if self.parting is not None:
            return self.tools.interrupted(event, now)
        self.parting, self._insists = event, insists
        return []

    def take_parting(self, response_id: str) -> on.FunctionCalled | None:
        """The function by which a response that is over wants to part, once."""
        call = self.parting
        if call is None or call.response_id != response_id:
            return None
        self.parting = None
        return call

    def speech_heard(self, now: float) -> list[Command]:
        """Nothing is left to be heard: what is to last may begin, unless somebody objects to it."""
        if self.caller.holds_the_floor():
            return []
        return self.tools.speech_heard(now, doubt=self.caller.doubt(now))

    def tool_finished(self, event: on.ToolFinished, now: float, *, ready: bool) -> list[Command]:
        out = self.tools.finished(event, now, ready=ready)
        if out and not self.tools.is_ours(event.call_id):
            self.want_after_tools(self.tools.response_of(event.call_id))
        return out

    def tools_overdue(self, now: float) -> list[Command]:
        out, responses = self.tools.overdue(now)
        for response_id in responses:
            self.want_after_tools(response_id)
        return out

    def want_after_tools(self, response_id: str) -> None:
        """One response for all answers of one response's calls, once that is over itself."""
        if response_id != self.responses.active and not self.tools.open_in(response_id):
            self.responses.want("tool")

    def _heard_something(self, now: float) -> None:
        self.tools.hush(now + self._policy.filler_quiet_ms / 1000)

    def filler_due(self, now: float) -> bool:
        """A function takes long, and the caller has heard nothing for a while."""
        if not self.playout.quiet():
            self.tools.hush(float("inf"))  # until that is heard, or cut
            return False
        return self.tools.filler_due(now)
