"""What the simulated model thinks with: the seam, and the brain that follows a script.

The session (realtime.py) owns the protocol; a brain owns the words. It is asked twice: to `hear`
each of the caller's turns once it is committed, and to `reply` when a response was created. The
spoken brain (brain_spoken.py) really listens; the scripted one says what the test wrote down:

    Scripted(
        reply(say("Let me look."), call("lookup_hours", day="tuesday")),
        reply(say("From nine to five.", ms=1800), think_s=0.4),
        heard=["what are your hours on tuesday"],
    )
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from relay.sim.realtime_config import Fault
from relay.sim.realtime_items import Item

MS_PER_CHARACTER = 60  # how long a text takes to say, about


@dataclass(frozen=True, slots=True)
class Say:
    """Speech. pcm: int16 at 24 kHz, or None: a tone of ms, or of the text's own length."""

    text: str
    pcm: bytes | None = None
    ms: int | None = None
    hz: float = 440.0


@dataclass(frozen=True, slots=True)
class Call:
    """A function call. arguments: JSON text, good or bad. call_id "": one is made up."""

    name: str
    arguments: str = "{}"
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: what comes out, after how long, and how it ends.

    think_s: before the first output
    status: how it ends once the output is out
    reason: of an incomplete one (max_output_tokens | content_filter); fault: of a failed one
    stuck: never end by itself; only a cancel does
    """

    output: tuple[Say | Call, ...] = ()
    think_s: float = 0.0
    status: Literal["completed", "incomplete", "failed"] = "completed"
    reason: str = ""
    fault: Fault | None = None
    stuck: bool = False


SILENT = Reply()


def reply(*output: Say | Call, think_s: float = 0.0) -> Reply:
    """A response that comes to its end."""
    return Reply(output, think_s)


def say(text: str, *, ms: int | None = None, hz: float = 440.0) -> Say:
    """Say a text; in tests as a tone."""
    return Say(text, ms=ms, hz=hz)


def call(name: str, /, **arguments: object) -> Call:
    """Call a function with these arguments."""
    return Call(name, json.dumps(arguments))


def failed(code: str = "server_error", message: str = "The server had an error.") -> Reply:
    """A response that fails without a word, and without an `error` event."""
    return Reply(status="failed", fault=Fault(code, message, type=code))


def rate_limited(again_s: float) -> Reply:
    """A response that fails on the rate limit, in the API's own words."""
    message = (
        "Rate limit reached for this model on tokens per min (TPM): Limit 40000, Used 39000,"
        f" Requested 5000. Please try again in {again_s:g}s."
    )
    return Reply(status="failed", fault=Fault("rate_limit_exceeded", message, type="tokens"))


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller said. pcm: int16 at 8 kHz, with padding before and silence behind."""

    item_id: str
    pcm: bytes
    ms: int


@dataclass(frozen=True, slots=True)
class Request:
    """A response to be made.

    conversation: what the model believes was said, oldest first; items change as time goes by
    tools: names of the functions that may be called
    private: out of band; nothing of it enters the conversation
    """

    response_id: str
    conversation: tuple[Item, ...]
    instructions: str
    tools: frozenset[str]
    metadata: Mapping[str, str]
    private: bool


class Brain(Protocol):
    """What thinks. One brain serves one session."""

    async def hear(self, turn: Turn) -> str | None:
        """The turn's words, "" for a noise, None when transcription fails."""
        ...

    async def reply(self, request: Request) -> Reply:
        """What to answer. Called only after every turn so far was heard. May be cancelled."""
        ...


Line: TypeAlias = Reply | Callable[[Request], Reply]


class Scripted:
    """A brain that replies in the order written down. Past the end it says `otherwise`."""

    def __init__(
        self,
        *replies: Line,
        heard: Iterable[str | None] = (),
        privately: Iterable[Line] = (),
        otherwise: Line = SILENT,
    ) -> None:
        """heard: the transcripts of the caller's turns. privately: out-of-band replies."""
        self._replies = iter(replies)
        self._private = iter(privately)
        self._heard = iter(heard)
        self._otherwise = otherwise
        self.turns: list[Turn] = []
        self.requests: list[Request] = []

    async def hear(self, turn: Turn) -> str | None:
        self.turns.append(turn)
        return next(self._heard, "")

    async def reply(self, request: Request) -> Reply:
        self.requests.append(request)
        line = next(self._private if request.private else self._replies, self._otherwise)
        return line if isinstance(line, Reply) else line(request)
