"""A conference: who is in it, when it begins and ends, and what is told of it.

It begins when two are present and one of them may start it; before that everybody hears hold music
or silence. URL and events of its callbacks are those of the first participant to enter. When a
participant whose leaving ends it goes, the others are put out, and only then the end is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TypeAlias

import trio

from relay.sim.twilio_call import PhoneCall
from relay.sim.twilio_courier import Courier
from relay.sim.twilio_mix import Seat
from relay.sim.twilio_verbs import Callback, Confer
from relay.sim.ulaw import tone

# What Twilio's jitter buffer adds to a voice, in ms: the middle of what is seen of each size.
JITTER_MS: Mapping[str, int] = {"off": 20, "small": 180, "medium": 280, "large": 640}
BEEP = tone(800, 300)

HUNG_UP = "participant_hung_up"
UPDATED = "participant_updated_via_api"
ENDED_IT = "participant-with-end-conference-on-exit-left"
PUT_OUT = "moderator_ended_conference"

Tell: TypeAlias = Callable[[Courier, Callback, dict[str, str]], None]

_EVENTS: Mapping[str, str] = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
}


@dataclass(eq=False, slots=True)
class Participant:
    """A call in a conference. tell: how callbacks get out of its call; out: set when it left."""

    call: PhoneCall
    wants: Confer
    seat: Seat
    tell: Tell
    out: trio.Event = field(default_factory=trio.Event)


@dataclass(eq=False, slots=True)
class Conference:
    """One conference, from the first participant on. happened: (time, event, CallSid or "")."""

    name: str
    account_sid: str
    status: Callback
    sid: str = field(default_factory=lambda: "CF" + secrets.token_hex(16))
    present: list[Participant] = field(default_factory=list)
    table: list[Seat] = field(default_factory=list)
    begun: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    happened: list[tuple[float, str, str]] = field(default_factory=list)
    _courier: Courier = field(default_factory=Courier)
    _sequence: int = 0

    def enter(self, call: PhoneCall, wants: Confer, tell: Tell) -> Participant:
        seat = Seat(call.line, JITTER_MS[wants.jitter_buffer], wants.muted)
        who = Participant(call, wants, seat, tell)
        self.present.append(who)
        self.table.append(seat)
        starts = any(each.wants.start_on_enter for each in self.present)
        if len(self.present) > 1 and starts and not self.begun.is_set():
            self.begun.set()
            self._tell("conference-start", who, {})
        self._tell("participant-join", who, self._about(who))
        self._beep(who, "onEnter")
        return who

    def leave(self, who: Participant, reason: str) -> None:
        """Take somebody out; the conference may be over by that. Once it is, nothing more."""
        if who not in self.present:
            return
        self._remove(who, reason)
        ends = who.wants.end_on_exit
        for other in list(self.present) if ends else []:
            self._remove(other, PUT_OUT)
        if not self.present:
            self.over.set()
            why = (
                "participant-with-end-conference-on-exit-left" if ends else "last-participant-left"
            )
            self._tell(
                "conference-end",
                who,
                {"CallSidEndingConference": who.call.sid, "ReasonConferenceEnded": why},
            )
        self._beep(who, "onExit")

    def _remove(self, who: Participant, reason: str) -> None:
        self.present.remove(who)
        self.table.remove(who.seat)
        who.out.set()
        left = {"ReasonParticipantLeft": reason, "ParticipantCallStatus": who.call.status}
        self._tell("participant-leave", who, self._about(who) | left)

    def _beep(self, who: Participant, when: str) -> None:
        if self.begun.is_set() and who.wants.beep in ("true", when):
            for seat in self.table:
                seat.aside += BEEP

    def _about(self, who: Participant) -> dict[str, str]:
        wants = who.wants
        label = {"ParticipantLabel": wants.label} if wants.label else {}
        return label | {
            "CallSid": who.call.sid,
            "Muted": _word(wants.muted),
            "Hold": "false",
            "Coaching": "false",
            "StartConferenceOnEnter": _word(wants.start_on_enter),
            "EndConferenceOnExit": _word(wants.end_on_exit),
        }

    def _tell(self, event: str, who: Participant, more: Mapping[str, str]) -> None:
        self._sequence += 1
        self.happened.append((trio.current_time(), event, more.get("CallSid", "")))
        who.call.log.add(event, self.name)
        if self.status.url and event in (_EVENTS.get(name) for name in self.status.events):
            form = {
                "AccountSid": self.account_sid,
                "ConferenceSid": self.sid,
                "FriendlyName": self.name,
                "StatusCallbackEvent": event,
                "SequenceNumber": str(self._sequence),
                "Timestamp": format_datetime(datetime.now(UTC)),
            }
            who.tell(self._courier, self.status, form | dict(more))


def _word(flag: bool) -> str:
    return "true" if flag else "false"
