"""The human behind the agent: a telephone that is rung once for each call that wants one.

Whoever answers hears what it is about, presses 1, and says hello when the room opens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

from relay.demo.caller import ANSWER_S, TURN_MS, Spoken, Tell
from relay.sim.person import Person
from relay.sim.twilio_account import Account
from relay.sim.twilio_call import PhoneCall
from relay.sim.twilio_conference import Conference
from relay.sim.twilio_dial import Act, HumanPhone

ANSWERS_S = 2.0
NOBODY_S = 10.0  # then the telephone's own network gives up
KEY_S = 0.4  # from the end of what they are told to the key
LOOK_S = 0.02
PRESS = "press 1"  # words after which they do

Room = Callable[[Person], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Desk:
    """Who may be rung. phones: by number, as the telephone network looks them up."""

    number: str
    voices: Mapping[str, Spoken]
    tell: Tell
    phones: dict[str, HumanPhone] = field(default_factory=dict)

    def nobody(self) -> HumanPhone:
        """Let it ring until the network gives up."""
        return self._put(HumanPhone(outcome="no-answer", rings_s=NOBODY_S))

    def answers(self, opened: Room, *replies: str) -> HumanPhone:
        """Have it answered by somebody who presses 1. opened: waits until the caller is there.

        replies: what they say after hello, one thing to each that the caller says
        """
        key = Act(press="1", prompt=PRESS, after_s=KEY_S)

        async def talk(human: Person) -> None:
            await opened(human)
            await self._say(human, "hello")
            try:
                for reply in replies:
                    begin = await human.hear_voice(timeout_s=ANSWER_S)
                    await human.hear_silence(TURN_MS, begin)
                    await self._say(human, reply)
            except trio.TooSlowError:
                self.tell("problem", "the human waits in vain, and hangs up")
                human.hang_up()

        return self._put(HumanPhone(ANSWERS_S, acts=(key,), script=talk))

    async def _say(self, human: Person, name: str) -> None:
        self.tell("human", self.voices[name].text)
        await human.say(self.voices[name].mulaw)

    def _put(self, phone: HumanPhone) -> HumanPhone:
        self.phones[self.number] = phone
        return phone


def room_of(account: Account, call: PhoneCall) -> Conference | None:
    """The conference that a call was or is in."""
    return next((r for r in account.conferences if call.sid in joined(r)), None)


def joined(room: Conference) -> list[str]:
    """The calls that came into a conference, in order."""
    return [sid for _, event, sid in room.happened if event == "participant-join"]


async def until_opened(account: Account, human: Person) -> None:
    """Wait until whoever was rung is no longer alone in a room."""
    while not any(  # noqa: ASYNC110 - a room that opens rings no bell
        seat.line is human.line and room.begun.is_set()
        for room in account.conferences
        for seat in room.table
    ):
        await trio.sleep(LOOK_S)
