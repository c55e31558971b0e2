"""Performing TwiML verb by verb, the same for whoever is called and whoever calls.

A verb may end in another document (`action`, <Redirect>, new instructions by REST); where a
document ends nothing follows, and it is for whoever began to say what that means.
"""

from __future__ import annotations

from typing import assert_never

from relay.sim.twilio_bridge import confer, dial
from relay.sim.twilio_call import Ask
from relay.sim.twilio_conductor import Conductor, absolute
from relay.sim.twilio_connect import connect
from relay.sim.twilio_gather import gather
from relay.sim.twilio_record import record
from relay.sim.twilio_twiml import TwimlError
from relay.sim.twilio_verbs import (
    Confer,
    Connect,
    Dial,
    Document,
    Gather,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    Verb,
)

MAX_DOCUMENTS = 200  # a call that asks for more is going in circles


async def conduct(conductor: Conductor, ask: Ask) -> None:
    """Perform a call's documents to their end, and hang up."""
    call = conductor.call
    await run_documents(conductor, ask)
    call.end("caller" if call.line.hung_up.is_set() else "relay")


async def run_documents(conductor: Conductor, ask: Ask) -> None:
    """Perform documents until none follows. The call has ended, if one of them said so."""
    call = conductor.call
    for _ in range(MAX_DOCUMENTS):
        following = await _run_document(conductor, ask)
        if call.ended_at is not None:
            return
        if call.line.hung_up.is_set():
            call.end("caller")
            return
        if call.ordered:
            following = call.take_order()
        if following is None:
            return
        ask = following
    call.complain(11200, "too many documents: the call goes in circles")


async def _run_document(conductor: Conductor, ask: Ask) -> Ask | None:
    document = await conductor.while_up(conductor.document, ask)
    if document is None:
        return None
    try:
        return await _perform(conductor, *document)
    except TwimlError as fault:
        conductor.call.complain(fault.code, str(fault))
        await conductor.while_up(conductor.give_up)
        return None


async def _perform(conductor: Conductor, url: str, document: Document) -> Ask | None:
    """Do the verbs. Returns where to go on, if anywhere."""
    call = conductor.call
    for verb in document.verbs:
        if call.answered_at is None and isinstance(verb, Reject):
            call.end("relay", "busy" if verb.reason == "busy" else "no-answer")
            return None
        call.answer()
        following = await _do(conductor, verb, url)
        if following is not None or not call.up:
            return following
    return None


async def _do(conductor: Conductor, verb: Verb, url: str) -> Ask | None:
    call = conductor.call
    match verb:
        case Connect():
            return await connect(conductor, verb, url)
        case Dial():
            return await dial(conductor, verb, url, run_documents)
        case Confer():
            return await confer(conductor, verb, url)
        case Gather():
            return await gather(conductor, verb, url)
        case Record():
            return await record(conductor, verb, url)
        case Redirect():
            call.log.add("redirect", verb.url)
            return Ask(absolute(url, verb.url), verb.method)
        case Say() | Play() | Pause():
            await conductor.while_up(conductor.prompt, (verb,))
        case Hangup():
            call.log.add("hang-up")
            call.end("relay")
        case Reject():
            call.complain(12200, "<Reject> is of no use after the first verb")
            call.end("relay")
        case _:
            assert_never(verb)
    return None
