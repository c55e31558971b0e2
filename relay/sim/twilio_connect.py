"""<Connect><Stream>: a media stream from its handshake to what follows it.

What Twilio's documentation leaves open can be set in the account: whether `action` is asked after a
stream that crashed, one that was refused, and one whose caller hung up.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import trio

from relay.sim.twilio_call import Ask, stream_form
from relay.sim.twilio_conductor import Conductor, absolute
from relay.sim.twilio_net import NetworkError, sign
from relay.sim.twilio_stream import PhoneSocket, StreamEnd, StreamLeg
from relay.sim.twilio_verbs import Callback, Connect

GOOD_CLOSES = (1000, 1001)


@dataclass(frozen=True, slots=True)
class _Teller:
    """What tells a stream's statusCallback."""

    conductor: Conductor
    name: str
    to: Callback

    def __call__(self, leg: StreamLeg | None, event: str, error: str = "") -> None:
        call = self.conductor.call
        self.conductor.tell(call.courier, self.to, stream_form(call, leg, self.name, event, error))


async def connect(conductor: Conductor, verb: Connect, url: str) -> Ask | None:
    """Run a media stream to its end. Returns its `action` if that is asked."""
    call, account = conductor.call, conductor.account
    status = absolute(url, verb.status_callback) if verb.status_callback else ""
    tell = _Teller(conductor, verb.name, Callback(status, verb.status_method))
    leg: StreamLeg | None = None
    try:
        leg = await account.network.stream(
            *_handshake(conductor, verb), lambda socket: _stream(conductor, socket, verb, tell)
        )
    except NetworkError as fault:
        call.complain(fault.code, str(fault))
        tell(None, "stream-error", str(fault))
    action = conductor.action(verb.action, verb.method, url)
    if action is None:
        return None
    if call.leaving:
        if account.action_after_hang_up:
            await conductor.last_words(action)
        return None
    if leg is None:
        return action if account.action_after_refusal else None
    return action if _ended_well(leg) or account.action_after_crash else None


def _handshake(conductor: Conductor, verb: Connect) -> tuple[str, dict[str, str]]:
    """The URL to open, and its signature: over what the TwiML says, without any parameters.
    Twilio strips a query string. Raises NetworkError (31922, 31923)."""
    parts = urlsplit(verb.stream_url)
    if parts.scheme != "wss":
        raise NetworkError(31922, f"a stream's URL begins with wss, not {parts.scheme!r}")
    if not parts.hostname:
        raise NetworkError(31923, f"no URL: {verb.stream_url!r}")
    if parts.query:
        conductor.call.log.add("query-stripped", parts.query)
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    conductor.call.log.add("stream-connecting", url)
    return url, {"x-twilio-signature": sign(conductor.account.auth_token, url)}


async def _stream(
    conductor: Conductor, socket: PhoneSocket, verb: Connect, tell: _Teller
) -> StreamLeg:
    call = conductor.call
    leg = StreamLeg(
        socket,
        call.line,
        call_sid=call.sid,
        account_sid=call.account_sid,
        parameters=verb.parameters,
        faults=call.faults,
    )
    call.streams.append(leg)
    call.log.add("stream-started", leg.stream_sid)
    tell(leg, "stream-started")
    end = await _until_broken_off(conductor, leg)
    for complaint in {c.code: c for c in reversed(leg.complaints)}.values():
        call.complain(complaint.code, complaint.text)
    call.log.add("stream-ended", f"{end.code} {end.reason}, by {end.by}".replace(" ,", ","))
    if _ended_well(leg):
        tell(leg, "stream-stopped")
    else:
        call.complain(31921, f"the stream closed with {end.code}")
        tell(leg, "stream-error", f"31921 closed with {end.code}")
    return leg


async def _until_broken_off(conductor: Conductor, leg: StreamLeg) -> StreamEnd:
    """Run a stream; new instructions end it as a hang-up does, with `stop` and a close."""

    async def finish() -> None:
        await conductor.call.broken_off()
        leg.finish()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        end = await leg.run()
        nursery.cancel_scope.cancel()
    return end


def _ended_well(leg: StreamLeg) -> bool:
    return leg.ended is not None and leg.ended.code in GOOD_CLOSES
