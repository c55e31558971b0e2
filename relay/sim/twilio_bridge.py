"""<Dial>: a call meets others, over a bridge or in a conference.

A number that answers is a call of its own, with a SID, callbacks and perhaps a whisper: a document
that is performed at the callee's ear before anybody is bridged. One that ends without a <Hangup>
bridges, whoever is listening, a voicemail too. REST can end a callee's leg, which ends the bridge,
but gives it no other document while it is bridged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import trio

from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Ask, Number, PhoneCall
from relay.sim.twilio_conductor import Conductor, absolute, told_at
from relay.sim.twilio_conference import HUNG_UP, UPDATED, Conference, Participant
from relay.sim.twilio_dial import DialRecord, attend, begin, ring, ringback
from relay.sim.twilio_mix import Seat, listen
from relay.sim.twilio_net import NetworkError
from relay.sim.twilio_twiml import TwimlError, read_twiml
from relay.sim.twilio_verbs import Callee, Confer, Dial, Pause, Play, Say
from relay.sim.ulaw import SILENCE, tone

HOLD_MUSIC = tone(220, 1000, -30.0) + SILENCE * 8000

RunDocuments: TypeAlias = Callable[[Conductor, Ask], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Leg:
    """A callee while it is rung and after."""

    callee: Callee
    record: DialRecord
    conductor: Conductor

    @property
    def call(self) -> PhoneCall:
        return self.conductor.call

    @property
    def open(self) -> bool:
        """Whether somebody is there to be bridged."""
        return self.call.answered_at is not None and self.call.ended_at is None

    def tell(self, event: str) -> None:
        status = self.callee.status
        if status.url and event in status.events:
            self.conductor.tell(self.call.courier, status, self.call.status_form())

    def end(self) -> None:
        """Note how it ended, and tell that."""
        call, record = self.call, self.record
        record.ended_at = record.ended_at or trio.current_time()
        if call.ordered:
            call.take_order()
        if call.answered_at is None:
            call.end("network", record.status)
        call.end("caller" if call.line.hung_up.is_set() else "relay")
        self.tell("completed")
        call.log.close()


async def dial(
    conductor: Conductor, verb: Dial, url: str, run_documents: RunDocuments
) -> Ask | None:
    """Ring, whisper, bridge, and say how it went to `action`, whose answer is the call's next."""
    call, account = conductor.call, conductor.account
    action = conductor.action(verb.action, verb.method, url)
    callees = [_absolute(callee, url) for callee in verb.callees]
    caller_id = verb.caller_id or call.caller
    records = begin([callee.number for callee in callees], caller_id, account.phones)
    call.dials.extend(records)
    call.log.add("dialling", ", ".join(record.number for record in records))
    legs = [_leg(conductor, *pair) for pair in zip(callees, records, strict=True)]
    async with trio.open_nursery() as life:
        reach = _Reach(conductor, verb.timeout_s, legs, run_documents, life)
        leg = await conductor.while_up(reach.reach)
        if leg is not None and leg.open and call.up:
            leg.record.bridged_at = trio.current_time()
            call.log.add("bridged", leg.record.number)
            with trio.move_on_after(verb.time_limit_s):
                await _bridge(call, leg.call)
        life.cancel_scope.cancel()
    for other in legs:
        if other.record.ended_at is None or other.call.ended_at is None:
            other.end()
    answered = [each for each in legs if each.call.answered_at is not None]
    record = (leg or [*answered, legs[0]][0]).record
    form = record.form()
    call.log.add("dial-ended", f"{record.status}, bridged {form['DialBridged']}")
    return await conductor.follow(action, form)


def _absolute(callee: Callee, url: str) -> Callee:
    whisper = None if callee.url is None else absolute(url, callee.url)
    return replace(callee, url=whisper, status=told_at(url, callee.status))


def _leg(conductor: Conductor, callee: Callee, record: DialRecord) -> _Leg:
    call = PhoneCall(
        Number(callee.number, callee.url or ""),
        record.caller_id,
        conductor.account.account_sid,
        sid=record.sid,
        direction="outbound-dial",
        parent_sid=conductor.call.sid,
    )
    conductor.account.calls[call.sid] = call
    return _Leg(callee, record, Conductor(conductor.account, call, conductor.posts))


@dataclass(frozen=True, slots=True)
class _Reach:
    """Getting hold of somebody. life: where people live, from their answer to the Dial's end."""

    conductor: Conductor
    timeout_s: int
    legs: list[_Leg]
    run_documents: RunDocuments
    life: trio.Nursery

    async def reach(self) -> _Leg:
        """Ring, and whisper to whoever answers. Returns the leg that counts."""
        async with trio.open_nursery() as nursery:
            if self.conductor.account.ringback:
                nursery.start_soon(ringback, self.conductor.call.line)
            for event in ("initiated", "ringing"):
                for leg in self.legs:
                    leg.call.status = event
                    leg.tell(event)
            phones = self.conductor.account.phones
            records = [leg.record for leg in self.legs]
            record = await ring(records, phones, self.timeout_s)
            reached = next(leg for leg in self.legs if leg.record is record)
            for leg in self.legs:
                if leg is not reached or record.line is None:
                    leg.end()
            if record.line is not None:
                await self._whisper(reached)
            nursery.cancel_scope.cancel()
        return reached

    async def _whisper(self, leg: _Leg) -> None:
        call, callee = leg.call, leg.callee
        if leg.record.line is not None:
            call.line = leg.record.line
        call.answer()
        leg.tell("answered")
        phone = self.conductor.account.phones[callee.number]
        self.life.start_soon(attend, phone, call.line, call.prompts)
        if callee.url is not None:
            await self.run_documents(leg.conductor, Ask(callee.url, callee.method))
        if call.ended_at is not None:
            leg.end()


async def _bridge(one: PhoneCall, other: PhoneCall) -> None:
    """Connect two calls until either is broken off."""
    table = [Seat(one.line), Seat(other.line)]
    async with trio.open_nursery() as nursery:

        async def end_with(call: PhoneCall) -> None:
            await call.broken_off()
            nursery.cancel_scope.cancel()

        for seat, call in zip(table, (one, other), strict=True):
            nursery.start_soon(listen, seat, table)
            nursery.start_soon(end_with, call)


# ---- conferences ----------------------------------------------------------------------------


async def confer(conductor: Conductor, verb: Confer, url: str) -> Ask | None:
    """Be in a conference until it ends or the call is broken off."""
    call = conductor.call
    action = conductor.action(verb.action, verb.method, url)
    wait_url = absolute(url, verb.wait_url) if verb.wait_url else verb.wait_url
    verb = replace(verb, wait_url=wait_url, status=told_at(url, verb.status))
    conference = _conference(conductor.account, verb)
    who = conference.enter(call, verb, conductor.tell)
    try:
        with trio.move_on_after(verb.time_limit_s):
            await conductor.while_up(_stay, conductor, conference, who)
    finally:
        conference.leave(who, UPDATED if call.ordered and not call.leaving else HUNG_UP)
    return await conductor.follow(action, {"DialCallStatus": "answered"})


def _conference(account: Account, verb: Confer) -> Conference:
    """The conference of that name, or a new one if there is none now."""
    for conference in account.conferences:
        if conference.name == verb.name and not conference.over.is_set():
            return conference
    account.conferences.append(Conference(verb.name, account.account_sid, verb.status))
    return account.conferences[-1]


async def _stay(conductor: Conductor, conference: Conference, who: Participant) -> None:
    async with trio.open_nursery() as nursery:

        async def mix() -> None:
            await _wait(conductor, conference, who.wants)
            await listen(who.seat, conference.table)

        nursery.start_soon(mix)
        await who.out.wait()
        nursery.cancel_scope.cancel()


async def _wait(conductor: Conductor, conference: Conference, wants: Confer) -> None:
    """Hear the music, or the silence, until the conference begins."""
    async with trio.open_nursery() as nursery:
        if wants.wait_url != "":
            nursery.start_soon(_music, conductor, wants)
        await conference.begun.wait()
        nursery.cancel_scope.cancel()


async def _music(conductor: Conductor, wants: Confer) -> None:
    """Play hold music, or what `waitUrl` says, over and over."""
    if wants.wait_url is None:
        while True:
            await conductor.sound(HOLD_MUSIC, "hold music")
    try:
        answer = await conductor.request(wants.wait_method, wants.wait_url, conductor.call.form())
        document = read_twiml(answer.text)
    except (NetworkError, TwimlError) as fault:
        conductor.call.complain(fault.code, str(fault))
        return
    prompts = [verb for verb in document.verbs if isinstance(verb, Say | Play | Pause)]
    while prompts:
        await conductor.prompt(prompts)
