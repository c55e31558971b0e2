"""What every call of a process is given: made once by wiring, shared, never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import trio

from relay.core.policy import CallPolicy, Clip
from relay.ports import BusinessApi, PhoneControl, Socket, Voice
from relay.shell.humans import Humans
from relay.shell.intents import Intents
from relay.shell.journal import Journal
from relay.shell.meter import UNCOUNTED, Meter
from relay.shell.model_watch import ModelWatch
from relay.shell.purse import Purse
from relay.shell.recorder import Recorder
from relay.shell.recordings import Recordings
from relay.tools.tool import Tool
from relay.wire.realtime import SessionSettings


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Who calls whom. Numbers are personal; "" when withheld.

    hard: the call has gone to the model for hard calls
    human: the caller is somebody who would be rung, so that nobody is
    """

    call_sid: str
    caller: str = ""
    called: str = ""
    hard: bool = False
    human: bool = False


@dataclass(frozen=True, slots=True)
class CallKit:
    """The parts that a call is run with.

    dial: opens a session's socket for the length of its block; raises DialError
    settings: what the model is told at the start of a call; from memory, no I/O
    audio_format: what the model speaks, "pcm" or "pcmu"; the same as in the settings
    wall_clock: UTC with a time zone
    phone_control: calls that we place, end and record; None: there is no network to ask
    humans: who can be rung for a caller
    recordings: what Twilio records of calls
    recorder: makes a flight recording of every call; None: of none
    meter: counts for /metrics
    model_watch: hears how calls fare with the model, for those that come after them
    moving: set when the calls shall go on in another process
    voice: says what the model writes, if the policy has a second voice
    purse: holds the day's cap on money, which the policy then says; None: there is none
    """

    policy: CallPolicy
    clips: Mapping[str, Clip]
    dial: Callable[[CallFacts], AbstractAsyncContextManager[Socket]]
    settings: Callable[[CallFacts], SessionSettings]
    tools: Mapping[str, Tool]
    business: BusinessApi
    journal: Journal
    intents: Intents
    humans: Humans
    recordings: Recordings
    audio_format: str = "pcm"
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    phone_control: PhoneControl | None = None
    recorder: Recorder | None = None
    meter: Meter = UNCOUNTED
    model_watch: ModelWatch = field(default_factory=ModelWatch)
    purse: Purse | None = None
    moving: trio.Event = field(default_factory=trio.Event)
    voice: Voice | None = None
