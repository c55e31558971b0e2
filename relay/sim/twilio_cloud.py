"""A Twilio cloud: takes a simulated caller, asks a relay what to do, and does it.

A call asks its number's webhook for TwiML and performs it verb by verb (twilio_perform); where the
documents end the call is hung up. Calls that the relay places itself come in by REST (twilio_rest).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import trio

from relay.sim.line import Line
from relay.sim.person import Person, Script, say_nothing
from relay.sim.room import QUIET, Room
from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Ask, Number, PhoneCall
from relay.sim.twilio_conductor import Conductor
from relay.sim.twilio_perform import conduct
from relay.sim.twilio_stream import NO_FAULTS, StreamFaults
from relay.sim.twilio_verbs import Callback


@dataclass(frozen=True, slots=True)
class TwilioCloud(Account):
    """One account of a simulated Twilio, and its callers."""

    def own(self, number: Number) -> str:
        """Give the account a number, so that REST finds it. Returns its SID."""
        sid = "PN" + secrets.token_hex(16)
        self.numbers[sid] = number
        return sid

    def place(
        self,
        number: Number,
        caller: str,
        *,
        room: Room = QUIET,
        faults: StreamFaults = NO_FAULTS,
        extra: Mapping[str, str] | None = None,
    ) -> PhoneCall:
        """Make a call that has not begun yet. extra: more or other webhook parameters."""
        line = Line(room=room)
        call = PhoneCall(
            number, caller, self.account_sid, line=line, faults=faults, extra=extra or {}
        )
        self.calls[call.sid] = call
        return call

    async def run(
        self, call: PhoneCall, script: Script = say_nothing, *, time_limit_s: float = 900.0
    ) -> None:
        """Run a call to its end, the status callback included. The script starts when the call
        is answered; what it raises ends the call and comes out of here, in a group. The limit is
        shorter than Twilio's four hours, so that a test that forgets to hang up still ends."""
        async with trio.open_nursery() as posts:
            conductor = Conductor(self, call, posts)
            call.log.add("ringing", f"{call.caller} -> {call.number.number}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_perform_script, call, script)
                with trio.move_on_after(time_limit_s) as limit:
                    await conduct(conductor, Ask(call.number.voice_url, call.number.voice_method))
                nursery.cancel_scope.cancel()
            call.end("time limit" if limit.cancelled_caught else "relay")
            conductor.tell(call.courier, Callback(call.number.status_url), call.status_form())
        call.log.close()


async def _perform_script(call: PhoneCall, script: Script) -> None:
    await call.answered.wait()
    await script(Person(call.line))
