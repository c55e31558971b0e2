"""What belongs to one account of the simulated Twilio: its settings, and the books it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_conference import Conference
from relay.sim.twilio_courier import Deliveries, once
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_messages import Fate, Message, delivered
from relay.sim.twilio_net import Network
from relay.sim.twilio_recordings import Recording
from relay.sim.ulaw import SILENCE, tone


def tone_speech(text: str) -> bytes:
    """A stand-in for a voice: a tone as long as the text would take, 70 ms a character."""
    return tone(330, 70 * len(text))


def silent_second(url: str) -> bytes:  # noqa: ARG001 - whatever is to be played
    """A stand-in for what a <Play> would fetch."""
    return SILENCE * 8000


@dataclass(eq=False, slots=True)
class CallQueue:
    """Calls placed by REST wait for each other. interval_s: between the starts of two, 0: none."""

    interval_s: float = 0.0
    _next: float = 0.0

    def wait(self) -> float:
        """Take the next place. Returns how long it is until then."""
        now = trio.current_time()
        start = max(now, self._next)
        self._next = start + self.interval_s
        return start - now


@dataclass(frozen=True, slots=True)
class Account:
    """Settings first, books behind them.

    phones: the people who can be dialled, by number
    speak: text to mu-law for <Say>; called inline, so it must be quick or cached
    sound: a URL to mu-law for <Play>; raises NetworkError if there is no such sound
    deliveries: which callbacks get lost, doubled or late
    text_fate: what becomes of a message to a number
    queue: how fast calls may be placed (Twilio's accounts begin with one a second)
    calls: every call by its SID; numbers: the account's own, by the SID of each
    """

    account_sid: str
    auth_token: str
    network: Network
    phones: Mapping[str, HumanPhone] = field(default_factory=dict)
    speak: Callable[[str], bytes] = tone_speech
    sound: Callable[[str], bytes] = silent_second
    deliveries: Deliveries = once
    text_fate: Callable[[str], Fate] = delivered
    action_after_crash: bool = True
    action_after_refusal: bool = False
    action_after_hang_up: bool = False
    ringback: bool = True
    queue: CallQueue = field(default_factory=CallQueue)
    calls: dict[str, PhoneCall] = field(default_factory=dict)
    numbers: dict[str, Number] = field(default_factory=dict)
    conferences: list[Conference] = field(default_factory=list)
    recordings: dict[str, Recording] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
