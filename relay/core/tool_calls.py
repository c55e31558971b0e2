"""The model's function calls: each is answered exactly once, whatever happens.

    called ──┬─ read ──────────────────────────▶ running ──┬─ finished ─▶ answered
             └─ write ─▶ waiting ─ speech heard ─▶ running ─┘
                            │                        └─ deadline ─▶ answered "pending", late
                            └─ cut ─▶ answered "interrupted"          └─ finished ─▶ told as text

A *write* waits until the speech before it was heard, because the model generates faster than it
is listened to: "I'll book Tuesday…" must be heard before Tuesday is booked. A confirmed cut
before that cancels it. What has begun is finished and its result is told, cut or not.

Somebody may be saying "no, wait" so quietly that it is no proven voice. A write is *held* until
that is known, for `objection_s` at most: words cancel it, a noise does not. The model has heard the
words then; if it makes the very same call again, no murmur holds or cancels that.

Outputs are JSON text written here or by a tool; the core needs no JSON library for either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from relay.core.commands import AddText, Command, Keep, PostToolOutput, RunTool
from relay.core.events import FunctionCalled, ToolFinished
from relay.core.policy import CallPolicy, Effect
from relay.core.records import OwnerNotice, ToolCalled

INTERRUPTED = (
    '{"error":"interrupted","message":"The caller spoke before this was done, so it was not done.'
    ' Call it again only if the caller still wants it."}'
)
PENDING = (
    '{"status":"pending","message":"Still working on it. Do not call it again; go on talking,'
    ' the result will follow."}'
)
UNKNOWN = '{"error":"unknown_function","message":"There is no such function."}'
NOT_TOLD = (
    '{"status":"unknown","message":"It was begun, and the line broke. Call it again with the very'
    ' same arguments to learn what came of it: nothing is done twice."}'
)
TOO_MANY = (
    '{"error":"too_many","message":"No function can be used any more in this call. Apologise, and'
    ' tell the caller that pressing 0 rings a person."}'
)


_UNTOLD = ("running", "late")


class _State(Enum):
    WAITING = auto()
    RUNNING = auto()
    LATE = auto()
    DONE = auto()


@dataclass(slots=True)
class _Pending:
    call_id: str
    response_id: str
    name: str
    arguments: str
    called_at: float
    state: _State
    began_at: float = 0.0
    filled: bool = False
    result: str = ""
    ours: bool = False  # not the model's call: it gets no answer
    refused: bool = False  # never done: unknown, one too many, or interrupted
    held: bool = False  # once, for who may be objecting
    held_until: float | None = None

    def row(self, at: float, status: str, output: str = "") -> Keep:
        took = round((at - self.began_at) * 1000) if self.began_at else None
        return Keep(ToolCalled(at, self.call_id, self.name, self.arguments, status, output, took))


class ToolCalls:
    """All function calls of one call.

    outcomes: what their results mean for the call's own; notices: what its owner shall hear of it
    """

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy
        self._calls: dict[str, _Pending] = {}
        self._claimed: set[str] = set()
        self.failures = 0  # in a row
        self._hush_until = 0.0
        self._objected: set[tuple[str, str]] = set()  # to these names and arguments
        self.outcomes: list[str] = []
        self.notices: list[str] = []

    def resume(
        self,
        calls: tuple[tuple[str, str, str, str], ...],
        outcomes: tuple[str, ...],
        notices: tuple[str, ...],
    ) -> None:
        """Know what was called in the call's streams before this one, and what came of it."""
        for name, arguments, status, output in calls:
            result = output if status == "ok" else NOT_TOLD if status in _UNTOLD else ""
            call_id = f"before_{len(self._calls) + 1}"
            self._calls[call_id] = _Pending(
                call_id, "", name, arguments, 0.0, _State.DONE, result=result
            )
        self.outcomes += outcomes
        self.notices += notices

    def claim(self, call_id: str) -> bool:
        """True the first time that this call is seen; a repeat comes from the wire."""
        first = call_id not in self._claimed
        self._claimed.add(call_id)
        return first

    def called(self, event: FunctionCalled, effect: Effect | None, now: float) -> list[Command]:
        """Take a call of a tool; effect None: there is no such function."""
        call = _Pending(
            event.call_id, event.response_id, event.name, event.arguments, now, _State.WAITING
        )
        self._calls[event.call_id] = call
        if effect is None:
            return self._refuse(call, now, UNKNOWN)
        if len(self._calls) > self._policy.max_tools_per_call:
            return self._refuse(call, now, TOO_MANY)
        return [] if effect is Effect.WRITE else self._run(call, now)

    def run_ours(self, name: str, arguments: str, now: float) -> list[Command]:
        """Run a function of our own accord: the model did not call it and is not answered."""
        call_id = f"ours_{len(self._calls) + 1}"
        call = _Pending(call_id, "", name, arguments, now, _State.WAITING, ours=True)
        self._calls[call_id] = call
        return self._run(call, now)

    def interrupted(self, event: FunctionCalled, now: float) -> list[Command]:
        """Answer a call that came to nothing because its response was cut."""
        call = _Pending(
            event.call_id, event.response_id, event.name, event.arguments, now, _State.WAITING
        )
        self._calls[event.call_id] = call
        return self._refuse(call, now, INTERRUPTED, "cancelled")

    def speech_heard(self, now: float, *, doubt: bool) -> list[Command]:
        """Nothing is left to be heard: what waited for that may run.

        doubt: somebody may be objecting
        """
        return [
            command
            for call in self._calls.values()
            if call.state is _State.WAITING and not (doubt and self._hold(call, now))
            for command in self._run(call, now)
        ]

    def _hold(self, call: _Pending, now: float) -> bool:
        """Whether a write still waits for a doubt."""
        if not (call.held or self._insists(call)):
            call.held, call.held_until = True, now + self._policy.objection_s
        return call.held_until is not None

    def objected(self, now: float) -> list[Command]:
        """There were words after all: what waits will not be done, unless the model insists."""
        out: list[Command] = []
        for call in self._calls.values():
            if call.state is _State.WAITING and not self._insists(call):
                self._objected.add((call.name, call.arguments))
                out += self._refuse(call, now, INTERRUPTED, "cancelled")
        return out

    def _insists(self, call: _Pending) -> bool:
        return (call.name, call.arguments) in self._objected

    def finished(self, event: ToolFinished, now: float, *, ready: bool) -> list[Command]:
        """A tool ended: tell the model, as an output or, when that was given, as text.

        ready: there is a model; if not, the next one is told with all the rest
        """
        call = self._calls.get(event.call_id)
        if call is None or call.state not in (_State.RUNNING, _State.LATE):
            return []
        late = call.state is _State.LATE
        call.state = _State.DONE
        call.result = event.output if event.ok or not ready else ""
        self.failures = 0 if event.ok else self.failures + 1
        if event.outcome:
            self.outcomes.append(event.outcome)
        out: list[Command] = [call.row(now, "ok" if event.ok else "error", event.output)]
        if ready and late:
            out.insert(0, AddText("system", f"The result of {call.name} has come: {event.output}"))
        elif ready and not call.ours:
            out.insert(0, PostToolOutput(call.call_id, event.output))
        if event.notice:
            self.notices.append(event.notice)
            ref = event.told_as or call.call_id
            out.append(Keep(OwnerNotice(now, ref, event.outcome, event.notice)))
        return out

    def cut(self, now: float) -> list[Command]:
        """The caller interrupted: what has not begun will not."""
        return [
            command
            for call in self._calls.values()
            if call.state is _State.WAITING
            for command in self._refuse(call, now, INTERRUPTED, "cancelled")
        ]

    def orphan(self, now: float) -> list[Command]:
        """The session that called is gone: what runs is told as text, what waits is dropped."""
        out: list[Command] = []
        for call in self._calls.values():
            if call.state is _State.RUNNING:
                call.state = _State.LATE
            elif call.state is _State.WAITING:
                call.state = _State.DONE
                out.append(call.row(now, "cancelled"))
        return out

    def retell(self) -> list[str]:
        """Results that a new session must know."""
        return [
            f"{call.name}({call.arguments}) has returned: {call.result}"
            for call in self._calls.values()
            if call.result
        ]

    def overdue(self, now: float) -> tuple[list[Command], set[str]]:
        """Answer "pending" for every tool past its deadline. Commands, and their responses.

        A write that was held for long enough is held no more.
        """
        out: list[Command] = []
        responses: set[str] = set()
        for call in self._calls.values():
            if call.held_until is not None and now >= call.held_until:
                call.held_until = None
            if call.state is _State.RUNNING and now >= self._deadline(call):
                call.state = _State.LATE
                out.append(call.row(now, "late"))
                if not call.ours:
                    out.insert(-1, PostToolOutput(call.call_id, PENDING))
                    responses.add(call.response_id)
        return out, responses

    def hush(self, until: float) -> None:
        """The caller hears something, or has just: no filler before that."""
        self._hush_until = until

    def filler_due(self, now: float) -> bool:
        """True once for each call that has run so long that the caller wants to hear something."""
        due = [c for c in self._live() if not c.filled and now >= self._filler(c)]
        for call in due:
            call.filled = True
        return bool(due)

    def open_in(self, response_id: str) -> bool:
        """Whether calls of this response are still to be answered."""
        return any(
            c.response_id == response_id and c.state in (_State.WAITING, _State.RUNNING)
            for c in self._calls.values()
        )

    def acted_in(self, response_id: str) -> bool:
        """Whether a response called a function that was not refused at once."""
        return any(c.response_id == response_id and not c.refused for c in self._calls.values())

    def called_in(self, response_id: str) -> bool:
        """Whether a response called any function."""
        return any(c.response_id == response_id for c in self._calls.values())

    def running_now(self, name: str) -> bool:
        """Whether a function of this name is at work."""
        return any(
            c.name == name and c.state in (_State.RUNNING, _State.LATE)
            for c in self._calls.values()
        )

    def is_ours(self, call_id: str) -> bool:
        return call_id in self._calls and self._calls[call_id].ours

    def response_of(self, call_id: str) -> str:
        return self._calls[call_id].response_id if call_id in self._calls else ""

    def waiting(self) -> bool:
        return any(c.state is _State.WAITING for c in self._calls.values())

    def open(self) -> bool:
        """Whether calls are still to be answered, of which the caller has been told nothing."""
        return any(True for _ in self._live())

    def running(self) -> bool:
        """Whether the caller is waiting for something that we do."""
        return any(c.state in (_State.RUNNING, _State.LATE) for c in self._calls.values())

    def owed(self) -> bool:
        """Whether the model is still to be told what came of a call of its."""
        over = _State.DONE
        return any(c.state is not over and not c.ours for c in self._calls.values())

    @property
    def deadline(self) -> float | None:
        if not self._calls:
            return None  # asked after every event, and mostly this is so
        times = [self._deadline(c) for c in self._calls.values() if c.state is _State.RUNNING]
        times += [self._filler(c) for c in self._live() if not c.filled]
        times += [c.held_until for c in self._live() if c.held_until is not None]
        return min(times, default=None)

    def _live(self) -> list[_Pending]:
        return [c for c in self._calls.values() if c.state in (_State.WAITING, _State.RUNNING)]

    def _deadline(self, call: _Pending) -> float:
        return call.began_at + self._policy.tool_deadline_s

    def _filler(self, call: _Pending) -> float:
        return max(call.called_at + self._policy.filler_after_ms / 1000, self._hush_until)

    def _run(self, call: _Pending, now: float) -> list[Command]:
        call.state, call.began_at, call.held_until = _State.RUNNING, now, None
        return [call.row(now, "running"), RunTool(call.call_id, call.name, call.arguments)]

    def _refuse(
        self, call: _Pending, now: float, output: str, status: str = "error"
    ) -> list[Command]:
        call.state, call.refused = _State.DONE, True
        return [PostToolOutput(call.call_id, output), call.row(now, status, output)]
