"""Calls that the relay places by REST: they ring, are answered or not, and then are like any call.

Status callbacks are told in order as they happen: initiated, ringing, answered, completed. The last
comes for every end; `CallStatus` says which it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from relay.sim.line import Line
from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Ask, PhoneCall
from relay.sim.twilio_conductor import Conductor
from relay.sim.twilio_dial import DialRecord, attend, begin, ring
from relay.sim.twilio_perform import conduct
from relay.sim.twilio_verbs import Callback

DIALLING_S = 0.2  # from a call's creation until the telephone rings


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be placed. wait_s: how long it is queued, because others go first."""

    ask: Ask
    status: Callback
    timeout_s: float = 60.0
    time_limit_s: float = 14_400.0
    wait_s: float = 0.0


async def run_leg(account: Account, call: PhoneCall, order: Order) -> None:
    """Carry an outbound call from the queue to its last callback. What the human's script raises
    comes out of here, in a group."""
    async with trio.open_nursery() as posts:
        leg = _Outbound(Conductor(account, call, posts), order)
        record = await leg.conductor.while_up(leg.reach)
        if record is None:
            call.take_order()  # only the end can be ordered before the answer
        elif record.line is not None:
            await leg.talk(record, record.line)
        else:
            call.end("network", record.status)
        if record is not None:
            record.ended_at = call.ended_at
        leg.tell("completed")
    call.log.close()


@dataclass(frozen=True, slots=True)
class _Outbound:
    conductor: Conductor
    order: Order

    def tell(self, event: str) -> None:
        status = self.order.status
        if event in status.events:
            call = self.conductor.call
            self.conductor.tell(call.courier, status, call.status_form())

    async def reach(self) -> DialRecord:
        """Wait for the turn, dial, ring. Returns what came of it."""
        call, phones = self.conductor.call, self.conductor.account.phones
        await trio.sleep(self.order.wait_s)
        call.status = "initiated"
        self.tell("initiated")
        await trio.sleep(DIALLING_S)
        call.status = "ringing"
        call.log.add("ringing", f"{call.caller} -> {call.number.number}")
        self.tell("ringing")
        record = begin([call.number.number], call.caller, phones, call.sid)[0]
        return await ring([record], phones, self.order.timeout_s)

    async def talk(self, record: DialRecord, line: Line) -> None:
        """Do what the relay says, while the human does what humans do."""
        call = self.conductor.call
        call.line = line
        call.answer()
        self.tell("answered")
        phone = self.conductor.account.phones[record.number]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attend, phone, line, call.prompts)
            with trio.move_on_after(self.order.time_limit_s):
                await conduct(self.conductor, self.order.ask)
            nursery.cancel_scope.cancel()
        call.end("time limit")
