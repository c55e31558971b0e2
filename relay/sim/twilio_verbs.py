"""The verbs of TwiML that the simulated cloud performs, as values. URLs are as written; where an
`action` is None there was none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Callback:
    """Where events are told, and which of them. An empty URL: nowhere."""

    url: str = ""
    method: str = "POST"
    events: tuple[str, ...] = ()


NO_CALLBACK = Callback()


@dataclass(frozen=True, slots=True)
class Connect:
    """<Connect><Stream>."""

    stream_url: str
    action: str | None = None
    method: str = "POST"
    name: str = ""
    status_callback: str | None = None
    status_method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Callee:
    """<Number>, or the bare text of <Dial>. url: the whisper, done at the callee's ear first."""

    number: str
    url: str | None = None
    method: str = "POST"
    status: Callback = NO_CALLBACK


@dataclass(frozen=True, slots=True)
class Dial:
    """<Dial> of one or more numbers, all rung at once."""

    callees: tuple[Callee, ...]
    action: str | None = None
    method: str = "POST"
    timeout_s: int = 30
    caller_id: str = ""
    time_limit_s: int = 14_400


@dataclass(frozen=True, slots=True)
class Confer:
    """<Dial><Conference>. wait_url: None is Twilio's own music, "" is silence."""

    name: str
    action: str | None = None
    method: str = "POST"
    time_limit_s: int = 14_400
    beep: str = "true"
    muted: bool = False
    wait_url: str | None = None
    wait_method: str = "POST"
    start_on_enter: bool = True
    end_on_exit: bool = False
    jitter_buffer: str = "large"
    label: str = ""
    status: Callback = NO_CALLBACK


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    url: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: int = 1


Prompt: TypeAlias = Say | Play | Pause


@dataclass(frozen=True, slots=True)
class Gather:
    """<Gather input="dtmf">. num_digits 0: as many as come; finish_on_key "": none does."""

    prompts: tuple[Prompt, ...] = ()
    action: str | None = None
    method: str = "POST"
    timeout_s: int = 5
    num_digits: int = 0
    finish_on_key: str = "#"
    action_on_empty: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """<Record>: a voicemail. timeout_s: of silence, which ends it."""

    action: str | None = None
    method: str = "POST"
    timeout_s: int = 5
    max_length_s: int = 3600
    finish_on_key: str = "1234567890*#"
    beep: bool = True
    trim: bool = True
    status: Callback = NO_CALLBACK


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Reject:
    reason: str = "rejected"


Verb: TypeAlias = Connect | Dial | Confer | Gather | Record | Prompt | Redirect | Hangup | Reject


@dataclass(frozen=True, slots=True)
class Document:
    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()
