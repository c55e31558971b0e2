"""One call in the simulated cloud: who, what happened when, and the forms that describe it.

Everything a test or a demo wants to know afterwards is here: both sides' sound (`line`), the log
of events, every HTTP exchange, every stream, and what Twilio's debugger would show.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

import trio

from relay.sim.line import Line
from relay.sim.twilio_courier import Courier
from relay.sim.twilio_dial import DialRecord, Prompts
from relay.sim.twilio_stream import NO_FAULTS, Complaint, StreamFaults, StreamLeg

_PLACES: Mapping[str, tuple[str, str, str]] = {  # area code -> city, state, zip
    "415": ("SAN FRANCISCO", "CA", "94105"),
    "212": ("NEW YORK", "NY", "10001"),
    "512": ("AUSTIN", "TX", "78701"),
    "305": ("MIAMI", "FL", "33101"),
}


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number as it is set up in Twilio's console: public URLs, all of them."""

    number: str
    voice_url: str
    fallback_url: str = ""
    status_url: str = ""
    voice_method: str = "POST"


@dataclass(frozen=True, slots=True)
class Ask:
    """The next document: where from, and what to tell beside the call's own parameters.

    twiml: the document itself, given by REST; then nobody is asked
    """

    url: str
    method: str = "POST"
    form: Mapping[str, str] = field(default_factory=dict)
    twiml: str | None = None


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened in a call. at: trio's clock; kind: a fixed word."""

    at: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request of Twilio's, and what came back. status 0: nothing, `text` says why."""

    at: float
    took_s: float
    method: str
    url: str
    form: tuple[tuple[str, str], ...]
    status: int
    text: str

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.form)


@dataclass(slots=True)
class CallLog:
    """Events in their order, to be read afterwards or followed while they happen."""

    events: list[CallEvent] = field(default_factory=list)
    closed: bool = False
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def add(self, kind: str, detail: str = "") -> None:
        self.events.append(CallEvent(trio.current_time(), kind, detail))
        self._news.unpark_all()

    def close(self) -> None:
        self.closed = True
        self._news.unpark_all()

    async def follow(self) -> AsyncGenerator[CallEvent, None]:
        """Yield every event, those of the past first, until the call is over."""
        seen = 0
        while True:
            while seen < len(self.events):
                seen += 1
                yield self.events[seen - 1]
            if self.closed:
                return
            await self._news.park()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def when(self, kind: str) -> float | None:
        """When an event of this kind first happened."""
        return next((event.at for event in self.events if event.kind == kind), None)


@dataclass(eq=False, slots=True)
class PhoneCall:
    """One call: a caller's, one placed by REST, or the leg of a <Dial>.

    number, caller: whom it goes to, and from whom
    line: of the caller; of whoever is called, once that is answered
    status: queued -> ringing -> in-progress -> completed, or it ends as busy, no-answer, failed or
    canceled; direction: inbound | outbound-api | outbound-dial
    complaints: what the debugger shows (each stream's own list has the repeats too)
    prompts: what was spoken and played at the ear of `line`
    ended_by: caller (whoever holds the line) | relay (TwiML hung up or ran out) | api | error |
    network (never answered) | time limit
    """

    number: Number
    caller: str
    account_sid: str
    sid: str = field(default_factory=lambda: "CA" + secrets.token_hex(16))
    faults: StreamFaults = NO_FAULTS
    line: Line = field(default_factory=Line)
    log: CallLog = field(default_factory=CallLog)
    exchanges: list[Exchange] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    streams: list[StreamLeg] = field(default_factory=list)
    dials: list[DialRecord] = field(default_factory=list)
    prompts: Prompts = field(default_factory=Prompts)
    extra: Mapping[str, str] = field(default_factory=dict)
    direction: str = "inbound"
    parent_sid: str = ""
    status: str = "ringing"
    placed_at: float = field(default_factory=trio.current_time)
    answered: trio.Event = field(default_factory=trio.Event)
    answered_at: float | None = None
    ended_at: float | None = None
    ended_by: str = ""
    ended: trio.Event = field(default_factory=trio.Event)
    courier: Courier = field(default_factory=Courier)
    told: int = 0  # status callbacks so far
    _orders: list[Ask | None] = field(default_factory=list)
    _ordered: trio.Event = field(default_factory=trio.Event)

    # ---- being broken off ---------------------------------------------------------------------

    def instruct(self, order: Ask | None) -> None:
        """Break off whatever runs, and go on with something else. None: hang up."""
        self._orders.append(order)
        self._ordered.set()

    def take_order(self) -> Ask | None:
        """The newest instructions; what they replace is forgotten. None also ends the call."""
        order, self._orders, self._ordered = self._orders[-1], [], trio.Event()
        if order is None:
            self.end("api", "completed" if self.answered_at is not None else "canceled")
        return order

    @property
    def ordered(self) -> bool:
        return bool(self._orders)

    @property
    def up(self) -> bool:
        """Whether what is being done may go on."""
        return not (self._orders or self.line.hung_up.is_set() or self.ended_at is not None)

    @property
    def leaving(self) -> bool:
        """Whether nothing will follow what was broken off."""
        return self.line.hung_up.is_set() or (self.ordered and self._orders[-1] is None)

    async def broken_off(self) -> None:
        """Wait until the line is hung up or other instructions are there."""
        async with trio.open_nursery() as nursery:

            async def order() -> None:
                await self._ordered.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(order)
            await self.line.hung_up.wait()
            nursery.cancel_scope.cancel()

    # ---- what becomes of it -------------------------------------------------------------------

    def answer(self) -> None:
        if self.answered_at is None:
            self.status = "in-progress"
            self.answered_at = trio.current_time()
            self.log.add("answered")
            self.answered.set()

    def end(self, by: str, status: str = "completed") -> None:
        if self.ended_at is None:
            self.status, self.ended_by = status, by
            self.ended_at = trio.current_time()
            self.log.add("ended", f"{status}, by {by}")
            self.ended.set()

    def keep(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        came = exchange.status or exchange.text
        took = f"{exchange.took_s * 1000:.0f} ms"
        self.log.add("http", f"{exchange.method} {exchange.url} -> {came} in {took}")

    def complain(self, code: int, text: str) -> None:
        self.complaints.append(Complaint(trio.current_time(), code, text))
        self.log.add("complaint", f"{code} {text}")

    @property
    def duration_s(self) -> int:
        """Billed seconds: from the answer on, rounded up."""
        if self.answered_at is None or self.ended_at is None:
            return 0
        return -int(-(self.ended_at - self.answered_at) // 1)

    def form(self) -> dict[str, str]:
        """The parameters that every request about a call carries, blanks included."""
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.sid,
            "CallStatus": self.status,
            "Direction": self.direction,
            "From": self.caller,
            "Caller": self.caller,
            "To": self.number.number,
            "Called": self.number.number,
        }
        if self.direction == "inbound":
            form["StirVerstat"] = "TN-Validation-Passed-A"
        if self.parent_sid:
            form["ParentCallSid"] = self.parent_sid
        for side, number in (
            ("From", self.caller),
            ("Caller", self.caller),
            ("To", self.number.number),
            ("Called", self.number.number),
        ):
            city, state, code = _PLACES.get(number[2:5], ("", "", ""))
            country = "US" if number.startswith("+1") else ""
            form |= {side + "City": city, side + "State": state}
            form |= {side + "Zip": code, side + "Country": country}
        return form | dict(self.extra)

    def status_form(self) -> dict[str, str]:
        """What a status callback says at this moment, numbered from 0."""
        seconds = self.duration_s
        form = self.form() | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self.told),
            "Timestamp": format_datetime(datetime.now(UTC)),
        }
        self.told += 1
        if self.ended_at is not None:
            form |= {"CallDuration": str(seconds), "Duration": str(-(-seconds // 60))}
        return form


def stream_form(
    call: PhoneCall, leg: StreamLeg | None, name: str, event: str, error: str
) -> dict[str, str]:
    """What a stream's statusCallback says. event: stream-started | -stopped | -error."""
    sid = leg.stream_sid if leg is not None else "MZ" + secrets.token_hex(16)
    return {
        "AccountSid": call.account_sid,
        "CallSid": call.sid,
        "StreamSid": sid,
        "StreamName": name or sid,
        "StreamEvent": event,
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    } | ({"StreamError": error} if error else {})
