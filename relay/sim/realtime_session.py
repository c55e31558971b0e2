"""One session of the simulated Realtime API: its state, and how events leave it.

`Session` is what a test holds: it records every event, keeps the conversation as the model
believes it, and can be made to misbehave while it runs (`close`, `freeze`, `inject`, `babble`).
Everything that sends does so without waiting, into a queue that one writer empties, so that the
events of one step leave together and in order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import trio

from relay.sim.realtime_config import SESSION_S, Fault, Json, default_session
from relay.sim.realtime_items import Item, wire
from relay.sim.vad import Judge

MODEL = "gpt-realtime-2.1-mini"

_numbers = itertools.count(1)


@runtime_checkable
class Droppable(Protocol):
    """A socket that can die without a goodbye, as a close with 1006 needs."""

    def drop(self, code: int = 1006) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves, and misbehaves.

    judge: how voiced frames are told (vad.py)
    created_s, update_s: before `session.created`, and over each `session.update`
    hang: accept and never say a word
    delta_ms: lengths of the audio deltas, in turn; pace: how many times faster than real time
    cancel_s: how long a cancelled response still goes on: its late deltas
    transcript_s: from commit to transcript, in turn (so they can overtake each other)
    decorated: send fields that the types lack but the service has (obfuscation, phase)
    noisy: send event types and fields that nobody has heard of
    swapped: swap the events whose order is promised by nobody
    close_on: asked for every event that is sent; a code closes the session right behind it
    behind: called with every event that is sent, and does something right behind it
    bills: whether responses and transcripts say what they cost
    refuse_update: answer `session.update` with this
    session_s: how long a session may last
    """

    judge: Judge = "webrtc"
    created_s: float = 0.0
    update_s: float = 0.0
    hang: bool = False
    delta_ms: tuple[int, ...] = (200, 85, 310, 50)
    pace: float = 8.0
    cancel_s: float = 0.02
    transcript_s: tuple[float, ...] = (0.3,)
    decorated: bool = True
    noisy: bool = False
    swapped: bool = False
    close_on: Callable[[Json], int | None] | None = None
    behind: Callable[[Session, Json], object] | None = None
    bills: bool = True
    refuse_update: Fault | None = None
    session_s: float = SESSION_S


@dataclass(frozen=True, slots=True)
class Closing:
    code: int
    reason: str


# What the writer takes: events, frames as they are, what it waits for, and the end.
Entry: TypeAlias = "Json | str | trio.Event | Closing"


@dataclass(frozen=True, slots=True)
class Logged:
    """An event, and when (trio's clock). by: "server" | "client"."""

    at: float
    by: str
    event: Json


@dataclass(slots=True, kw_only=True)
class Response:
    """A response that was created. `scope` ends it early; reason then says why.

    over: its `response.done` has left
    """

    id: str
    settings: Json
    private: bool
    output: list[Item] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    open_item: Item | None = None
    cancel_reason: str | None = None
    audio_ms: int = 0
    usage: Json | None = None
    over: bool = False

    @property
    def spoken(self) -> bool:
        return bool(self.settings["output_modalities"] == ["audio"])


class Session:
    """What happened in one session, and the handle to make it misbehave.

    violations: what the client did that a correct one never does, whatever the timing: an event
        that the types do not know, more truncated than there was, an output twice
    """

    def __init__(self, options: Options | None = None, *, model: str = MODEL) -> None:
        self.options = options or Options()
        self.number = next(_numbers)
        self.id = f"sess_{self.number:06d}"
        self.config = default_session(self.id, model, 0)
        self.log: list[Logged] = []
        self.items: dict[str, Item] = {}
        self.order: list[str] = []
        self.responses: list[Response] = []
        self.active: Response | None = None
        self.violations: list[str] = []
        self.appended_ms = 0.0
        self.spoke = False  # the voice is fixed
        self.cached = (0, 0)  # text and audio tokens that the next response finds in the cache
        self.closed: int | None = None
        self.thawed = trio.Event()
        self.thawed.set()
        self._ids = itertools.count(1)
        self._queue_in, self.queue = trio.open_memory_channel[Entry](math.inf)

    # ---- for tests --------------------------------------------------------------------------

    @property
    def sent(self) -> list[Json]:
        """Every event that this session sent, in order."""
        return [logged.event for logged in self.log if logged.by == "server"]

    @property
    def received(self) -> list[Json]:
        """Every event that the client sent, in order; the audio of appends left out."""
        return [logged.event for logged in self.log if logged.by == "client"]

    def sent_of(self, kind: str) -> list[Json]:
        return [event for event in self.sent if event["type"] == kind]

    @property
    def conversation(self) -> tuple[Item, ...]:
        """What the model believes was said, oldest first, without what was deleted."""
        return tuple(self.items[item_id] for item_id in self.order)

    def outputs(self) -> dict[str, str]:
        """The functions' outputs that were posted, by call_id."""
        posted = (item for item in self.items.values() if item.type == "function_call_output")
        return {item.call_id: item.output for item in posted}

    def close(self, code: int, reason: str = "") -> None:
        """Close behind what was sent so far; 1006 dies without a goodbye."""
        self._queue_in.send_nowait(Closing(code, reason))

    def freeze(self) -> None:
        """Read nothing, and send nothing behind what was sent so far; the socket stays open."""
        self.thawed = trio.Event()
        self._queue_in.send_nowait(self.thawed)

    def thaw(self) -> None:
        self.thawed.set()

    def babble(self, text: str) -> None:
        """Send a frame that need not be an event at all. It is not logged."""
        self._queue_in.send_nowait(text)

    def inject(self, event: Json) -> None:
        """Send an event of the test's own making; it gets an event_id if it has none."""
        self.emit(event["type"], **{key: event[key] for key in event if key != "type"})

    # ---- for the other modules of this simulator ----------------------------------------------

    def new_id(self, kind: str) -> str:
        """An id that no other session has: item_…, resp_…, call_…"""
        return f"{kind}_{self.number:04d}{next(self._ids):06d}"

    def emit(self, kind: str, **fields: object) -> None:
        """Send an event."""
        event: Json = {"type": kind, "event_id": self.new_id("event"), **fields}
        if self.options.noisy:
            event["something_new"] = {"never": ["heard", "of"]}
        self.log.append(Logged(trio.current_time(), "server", event))
        self._queue_in.send_nowait(event)
        code = self.options.close_on(event) if self.options.close_on else None
        if code is not None:
            self.close(code)
        if self.options.behind:
            self.options.behind(self, event)

    def refuse(self, fault: Fault, event_id: str | None) -> None:
        """Send an `error` event."""
        error = {"type": fault.type, "code": fault.code, "message": fault.message}
        self.emit("error", error=error | {"param": fault.param, "event_id": event_id})

    def hear_of(self, event: Json) -> None:
        """Log an event of the client's."""
        self.log.append(Logged(trio.current_time(), "client", event))

    def add(self, item: Item, *, after: str | None = None) -> str | None:
        """Put an item into the conversation, last or after another. The id before it."""
        place = len(self.order) if after is None else self.order.index(after) + 1
        return self._insert(item, place)

    def add_first(self, item: Item) -> None:
        self._insert(item, 0)

    def _insert(self, item: Item, place: int) -> str | None:
        self.items[item.id] = item
        self.order.insert(place, item.id)
        return self.before(item.id)

    def before(self, item_id: str) -> str | None:
        """The id of the item before this one."""
        place = self.order.index(item_id) if item_id in self.order else 0
        return self.order[place - 1] if place else None

    def announce(self, item: Item, *events: str) -> None:
        """Send `conversation.item.<event>` about an item."""
        for event in events:
            kind = f"conversation.item.{event}"
            self.emit(kind, previous_item_id=self.before(item.id), item=wire(item))

    def in_pairs(self, *steps: Callable[[], None]) -> None:
        """Take steps whose order nobody promises."""
        ordered: Iterator[Callable[[], None]] = iter(steps)
        for step in reversed(steps) if self.options.swapped else ordered:
            step()
