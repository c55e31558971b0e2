"""Step a recorded call through this version's core, and see whether it does the same again.

    for played in replay(read(path)):
        played.step         what was recorded
        played.commands     what this core says now
        played.difference   "" or how the two differ, which ends the replay

Equal are the commands of every step, in order and field by field, sound by its length and veiled
words by theirs; and when the core wanted to be woken. A step in which the recorded core raised ends
the replay too: if this core raises again, so does `replay`, with the traceback one wants to see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec

from relay.core.call import Call
from relay.core.commands import Command
from relay.shell.recording import Packed, Recording, Step, pack, to_line, veil


@dataclass(frozen=True, slots=True)
class Played:
    """One step, again. number: from 1; before, after: the call's phases around it."""

    number: int
    step: Step
    commands: list[Command]
    before: str
    after: str
    difference: str


def replay(recording: Recording) -> Iterator[Played]:
    """Play a recording, up to the first difference. Raises whatever the core raises."""
    head = recording.head
    call = Call(head.policy, head.clips_of_silence(), now=head.opened_at)
    for number, step in enumerate(recording.steps, 1):
        before = call.phase.name
        commands = call.handle(step.event, step.now)
        difference = _difference(step, commands, call.deadline)
        yield Played(number, step, commands, before, call.phase.name, difference)
        if difference:
            return


def first_difference(recording: Recording) -> str:
    """Where and how this core does otherwise than recorded; "" when it does the same."""
    for played in replay(recording):
        if played.difference:
            at = played.step.now - recording.head.opened_at
            event = type(played.step.event).__name__
            return f"step {played.number}, {at:.3f} s, {event}: {played.difference}"
    return ""


def _difference(step: Step, commands: list[Command], deadline: float | None) -> str:
    if step.commands is None:
        return "the recorded core raised here, and this one does not"
    said = _as_read([pack(command) for command in commands])
    for index, (old, new) in enumerate(zip_longest(step.commands, said), 1):
        if not _same(old, new):
            return f"command {index} was {_shown(old)} and is {_shown(new)}"
    if _as_read(deadline) != step.deadline:
        return f"the alarm was set to {step.deadline} and is to {deadline}"
    return ""


def _same(old: Any, new: Any) -> bool:
    """Whether a recorded value is what the core says now; words may have been veiled."""
    match old, new:
        case [*olds], [*news]:
            return len(olds) == len(news) and all(map(_same, olds, news))
        case str(), str():
            return old in (new, veil(new))
    return bool(old == new)


def _as_read(value: Any) -> Any:
    """Numbers and lists as they come back from a file."""
    return msgspec.json.decode(to_line(value))


def _shown(packed: Packed | None) -> str:
    if packed is None:
        return "nothing"
    name, *values = packed
    return f"{name}({', '.join(map(repr, values))})"
