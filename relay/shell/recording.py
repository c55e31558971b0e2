"""What stands in a flight recording: gzip of JSON lines, one file a call.

    {"flight":1, "call_sid":…, "policy":…, "clips":…}     Head: all that a replay needs
    [now, event, commands, deadline]                      one step of the core, in order
    …
    ["over", why]                                         ended | full | unwritable

An event or a command is an array: its class's name, then its fields in the class's order, so that
fields can be added behind. commands is null when the core raised in that step; deadline is there
when it is another than before. `now` is the core's clock, monotonic seconds.

Audio is its length: bytes of mu-law, characters of base64. The core looks at nothing else of it,
so that a replay with filler of equal length decides the same. The content stands in the events,
as base64, when the head's `audio` says so.

Words that must not be kept are veiled: an x for each character that is no blank.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from relay.core.commands import Command
from relay.core.events import Event
from relay.core.policy import CallPolicy, Clip
from relay.core.records import Record
from relay.errors import RecordingError

FORMAT: Final = 1
#: Fields that hold sound: what is in them is not looked at by the core.
AUDIO: Final = frozenset({"audio", "mulaw"})

Packed: TypeAlias = list[Any]

_EVENTS: Final = {cls.__name__: cls for cls in get_args(Event)}
_NAMES: Final = {
    cls: tuple((field.name, field.name in AUDIO) for field in fields(cls))
    for cls in (*get_args(Event), *get_args(Command), *get_args(Record))
}


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A clip without its sound. mulaw_bytes: its length."""

    name: str
    text: str
    mulaw_bytes: int
    level_db: float


@dataclass(frozen=True, slots=True)
class Head:
    """All that a replay needs beside the steps.

    relay: the version that recorded
    started_at, opened_at: the same moment in UTC and on the core's clock
    audio: whether the events hold the sound itself
    """

    flight: Literal[1]
    relay: str
    call_sid: str
    started_at: datetime
    opened_at: float
    audio: bool
    policy: CallPolicy
    clips: tuple[ClipFacts, ...]

    def clips_of_silence(self) -> Mapping[str, Clip]:
        """The clips, each as long and as loud as it was, with other bytes."""
        return {c.name: Clip(c.name, c.text, bytes(c.mulaw_bytes), c.level_db) for c in self.clips}


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the core. commands: packed; None when the core raised."""

    now: float
    event: Event
    commands: list[Packed] | None
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole file. over: why it ends, "" when its end is missing."""

    head: Head
    steps: tuple[Step, ...]
    over: str


# ---- writing --------------------------------------------------------------------------------


def clip_facts(clips: Mapping[str, Clip]) -> tuple[ClipFacts, ...]:
    return tuple(
        ClipFacts(name, clip.text, len(clip.mulaw), clip.level_db) for name, clip in clips.items()
    )


def pack(thing: object, *, audio: bool = False) -> Any:
    """An event, command or record as an array of plain values; audio: with its sound."""
    names = _NAMES.get(type(thing))
    if names is None:
        return thing
    packed: Packed = [type(thing).__name__]
    for name, is_audio in names:
        value = getattr(thing, name)
        if is_audio:
            packed.append(value if audio else len(value))
        else:
            packed.append(pack(value))
    return packed


def veil(text: str) -> str:
    """Words of the same lengths that tell nothing."""
    return re.sub(r"\S", "x", text)


def to_line(value: object) -> bytes:
    """One line of the file. Raises UnicodeEncodeError for half a surrogate pair."""
    return _ENCODER.encode(value) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value).__name__)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)


# ---- reading --------------------------------------------------------------------------------


def read(path: Path) -> Recording:
    """Read a file. Raises RecordingError when it is no recording, or not one for this version."""
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise RecordingError(f"{path} cannot be read: {fault.strerror}") from None
    return parse(data, name=str(path))


def parse(data: bytes, *, name: str = "the recording") -> Recording:
    """Read a file's bytes. name: what it is called in a RecordingError."""
    try:
        first, *others = gzip.decompress(data).splitlines() or [b""]
        head = msgspec.json.decode(first, type=Head)
        lines = [msgspec.json.decode(text, type=Packed) for text in others]
        over = str(lines.pop()[1]) if lines and lines[-1][:1] == ["over"] else ""
        return Recording(head, tuple(_steps(lines)), over)
    except (OSError, EOFError, zlib.error) as fault:
        raise RecordingError(f"{name} is no whole gzip file: {fault}") from None
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError) as fault:
        raise RecordingError(f"{name} is no recording of this version: {fault}") from None


def _steps(lines: Iterable[Packed]) -> Iterator[Step]:
    deadline: float | None = None
    for now, event, commands, *rest in lines:
        deadline = rest[0] if rest else deadline
        yield Step(now, unpack_event(event), commands, deadline)


def unpack_event(packed: Packed) -> Event:
    """The event again, with filler for sound that was left out.

    Raises ValueError or msgspec.ValidationError when it is not one of this version's.
    """
    name, *values = packed
    cls = _EVENTS.get(name)
    if cls is None:
        raise ValueError(f"it holds an event {name}, which this version does not know")
    facts = dict(zip((f.name for f in fields(cls)), values, strict=False))
    for field in AUDIO & facts.keys():
        if isinstance(facts[field], int):
            filler = bytes(facts[field])
            facts[field] = filler if field == "mulaw" else "A" * len(filler)
    event: Event = msgspec.convert(facts, cls)
    return event
