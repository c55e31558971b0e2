"""A Twilio cloud: takes a simulated caller, asks a relay what to do, and does it.

A call asks its number's webhook for TwiML and performs it verb by verb; a verb may end in another
document (`action`, <Redirect>), and where the document ends the call is hung up. A caller who
hangs up breaks off whatever verb is running. Requests are signed with the account's token over
the public URLs, exactly as Twilio does; relays that cannot be reached, refuse or answer nonsense
get Twilio's error codes and, once a request, the number's fallback URL.

What Twilio's documentation leaves open can be set: whether `action` is asked after a stream that
crashed, one that was refused, and one whose caller hung up.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple, Unpack
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import trio

from relay.sim.line import Line
from relay.sim.person import Person, Script, say_nothing
from relay.sim.room import QUIET, Room
from relay.sim.twilio_call import Exchange, Number, PhoneCall, stream_form
from relay.sim.twilio_dial import DialRecord, HumanPhone, begin, bridge, ring, ringback
from relay.sim.twilio_net import Answer, Network, NetworkError, sign
from relay.sim.twilio_stream import NO_FAULTS, PhoneSocket, StreamFaults, StreamLeg
from relay.sim.twilio_twiml import (
    Connect,
    Dial,
    Document,
    Hangup,
    Pause,
    Redirect,
    Reject,
    Say,
    TwimlError,
    Verb,
    read_twiml,
)
from relay.sim.ulaw import tone

XML_TYPES = ("text/xml", "application/xml")
APPLICATION_ERROR = "We are sorry. An application error has occurred. Goodbye."
GOOD_CLOSES = (1000, 1001)
MAX_DOCUMENTS = 200  # a call that asks for more is going in circles

T = TypeVar("T")
Args = TypeVarTuple("Args")


def tone_speech(text: str) -> bytes:
    """A stand-in for a voice: a tone as long as the text would take, 70 ms a character."""
    return tone(330, 70 * len(text))


@dataclass(frozen=True, slots=True)
class Ask:
    """The next document: where from, and what to tell beside the call's own parameters."""

    url: str
    method: str = "POST"
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TwilioCloud:
    """One account of a simulated Twilio.

    phones: the people who can be dialled, by number
    speak: text to mu-law for <Say>; called inline, so it must be quick or cached
    """

    account_sid: str
    auth_token: str
    network: Network
    phones: Mapping[str, HumanPhone] = field(default_factory=dict)
    speak: Callable[[str], bytes] = tone_speech
    action_after_crash: bool = True
    action_after_refusal: bool = False
    action_after_hang_up: bool = False
    ringback: bool = True

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
        return PhoneCall(
            number, caller, self.account_sid, line=line, faults=faults, extra=extra or {}
        )

    async def run(
        self, call: PhoneCall, script: Script = say_nothing, *, time_limit_s: float = 900.0
    ) -> None:
        """Run a call to its end, the status callback included. The script starts when the call
        is answered; what it raises ends the call and comes out of here, in a group. The limit is
        shorter than Twilio's four hours, so that a test that forgets to hang up still ends."""
        async with trio.open_nursery() as posts:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_perform_script, call, script)
                with trio.move_on_after(time_limit_s) as limit:
                    await _Conductor(self, call, posts).conduct()
                nursery.cancel_scope.cancel()
            call.end("time limit" if limit.cancelled_caught else "relay")
            if call.number.status_url:
                await _Conductor(self, call, posts).post(call.number.status_url, call.status_form())
        call.log.close()


async def _perform_script(call: PhoneCall, script: Script) -> None:
    await call.answered.wait()
    await script(Person(call.line))


@dataclass(frozen=True, slots=True)
class _Conductor:
    """Performs one call's TwiML. posts: where callbacks run that nobody waits for."""

    cloud: TwilioCloud
    call: PhoneCall
    posts: trio.Nursery

    async def conduct(self) -> None:
        ask = Ask(self.call.number.voice_url)
        self.call.log.add("ringing", f"{self.call.caller} -> {self.call.number.number}")
        for _ in range(MAX_DOCUMENTS):
            document = await self._while_up(self._document, ask)
            if document is None:
                break
            following = await self._perform(*document)
            if following is None:
                break
            ask = following
        else:
            self.call.complain(11200, "too many documents: the call goes in circles")
        self.call.end("caller" if self.call.line.hung_up.is_set() else "relay")

    async def _while_up(
        self, work: Callable[[Unpack[Args]], Awaitable[T]], *args: *Args
    ) -> T | None:
        """Do something while the caller stays; None when the caller hung up before its end."""
        done: list[T] = []
        async with trio.open_nursery() as nursery:

            async def finish() -> None:
                done.append(await work(*args))
                nursery.cancel_scope.cancel()

            nursery.start_soon(finish)
            await self.call.line.hung_up.wait()
            nursery.cancel_scope.cancel()
        return done[0] if done else None

    # ---- documents --------------------------------------------------------------------------

    async def _document(self, ask: Ask) -> tuple[str, Document]:
        """Get the next document; the fallback's, or Twilio's own last words, if there is none."""
        try:
            return ask.url, await self._fetch(ask)
        except (NetworkError, TwimlError) as fault:
            self.call.complain(fault.code, str(fault))
            error = {"ErrorCode": str(fault.code), "ErrorUrl": ask.url}
        if self.call.number.fallback_url:
            fallback = Ask(self.call.number.fallback_url, form=error)
            try:
                return fallback.url, await self._fetch(fallback)
            except (NetworkError, TwimlError) as fault:
                self.call.complain(fault.code, str(fault))
        self.call.answer()
        await self._say(APPLICATION_ERROR)
        self.call.end("error")
        return ask.url, Document(())

    async def _fetch(self, ask: Ask) -> Document:
        answer = await self._request(ask.method, ask.url, self.call.form() | dict(ask.form))
        if answer.status >= 300:
            raise TwimlError(11200, f"{ask.url} answered {answer.status}")
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind == "text/plain":
            return Document((Say(answer.text),))
        if kind not in XML_TYPES:
            raise TwimlError(12300, f"content type {kind!r} is no TwiML")
        document = read_twiml(answer.text)
        for warning in document.warnings:
            self.call.complain(12200, warning)
        return document

    async def _request(self, method: str, url: str, form: Mapping[str, str]) -> Answer:
        """One signed request, tried twice if nobody answers. Raises NetworkError (11205)."""
        fields = tuple(sorted(form.items()))
        if method.upper() == "GET":
            url += ("&" if "?" in url else "?") + urlencode(fields)
            fields = ()
        headers = {
            "X-Twilio-Signature": sign(self.cloud.auth_token, url, fields),
            "User-Agent": "TwilioProxy/1.1",
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
            "X-Home-Region": "us1",
        }
        for last in (False, True):
            start = trio.current_time()
            try:
                answer = await self.cloud.network.request(method, url, fields, headers)
            except NetworkError as fault:
                took = trio.current_time() - start
                self.call.keep(Exchange(start, took, method, url, fields, 0, str(fault)))
                if last:
                    raise
            else:
                took = trio.current_time() - start
                kept = Exchange(start, took, method, url, fields, answer.status, answer.text)
                self.call.keep(kept)
                return answer
        raise NetworkError(11205, url)

    async def post(self, url: str, form: Mapping[str, str]) -> None:
        """A callback whose answer changes nothing but the debugger."""
        try:
            answer = await self._request("POST", url, form)
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))
            return
        if answer.status >= 300:
            self.call.complain(11200, f"{url} answered {answer.status}")

    # ---- verbs ------------------------------------------------------------------------------

    async def _perform(self, url: str, document: Document) -> Ask | None:
        """Do the verbs. Returns where to go on, None when the call is to end."""
        for verb in document.verbs:
            if self.call.answered_at is None and isinstance(verb, Reject):
                self.call.end("relay", "busy" if verb.reason == "busy" else "no-answer")
                return None
            self.call.answer()
            following = await self._do(verb, url)
            if following is not None:
                return following
            if isinstance(verb, Hangup | Reject) or self.call.line.hung_up.is_set():
                return None
        return None

    async def _do(self, verb: Verb, url: str) -> Ask | None:
        match verb:
            case Connect():
                return await self._connect(verb, url)
            case Dial():
                return await self._dial(verb, url)
            case Redirect():
                self.call.log.add("redirect", verb.url)
                return Ask(urljoin(url, verb.url), verb.method)
            case Say():
                await self._while_up(self._say, " ".join([verb.text] * verb.loop))
            case Pause():
                self.call.log.add("pause", f"{verb.seconds} s")
                await self._while_up(trio.sleep, verb.seconds)
            case Hangup():
                self.call.log.add("hang-up")
            case Reject():
                self.call.complain(12200, "<Reject> is of no use after the first verb")
        return None

    async def _say(self, text: str) -> None:
        self.call.log.add("say", text)
        line, sound = self.call.line, self.cloud.speak(text)
        start = line.heard.play(sound, line.sample())
        try:
            await trio.sleep_until(line.time(start + len(sound)))
        finally:
            line.heard.cut(line.sample())

    # ---- streams ----------------------------------------------------------------------------

    async def _connect(self, verb: Connect, url: str) -> Ask | None:
        """Run a media stream to its end. Returns its `action` if that is asked."""
        leg: StreamLeg | None = None
        try:
            leg = await self.cloud.network.stream(
                *self._handshake(verb), lambda socket: self._stream(socket, verb, url)
            )
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))
            self._tell_stream(verb, url, None, "stream-error", str(fault))
        action = self._action(verb.action, verb.method, url)
        if action is None:
            return None
        if self.call.line.hung_up.is_set():
            if self.cloud.action_after_hang_up:
                await self._last_words(action)
            return None
        if leg is None:
            return action if self.cloud.action_after_refusal else None
        return action if _ended_well(leg) or self.cloud.action_after_crash else None

    def _handshake(self, verb: Connect) -> tuple[str, dict[str, str]]:
        """The URL to open, and its signature: over what the TwiML says, without any parameters.
        Twilio strips a query string. Raises NetworkError (31922, 31923)."""
        parts = urlsplit(verb.stream_url)
        if parts.scheme != "wss":
            raise NetworkError(31922, f"a stream's URL begins with wss, not {parts.scheme!r}")
        if not parts.hostname:
            raise NetworkError(31923, f"no URL: {verb.stream_url!r}")
        if parts.query:
            self.call.log.add("query-stripped", parts.query)
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        self.call.log.add("stream-connecting", url)
        return url, {"x-twilio-signature": sign(self.cloud.auth_token, url)}

    async def _stream(self, socket: PhoneSocket, verb: Connect, url: str) -> StreamLeg:
        call = self.call
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
        self._tell_stream(verb, url, leg, "stream-started")
        end = await leg.run()
        for complaint in {c.code: c for c in reversed(leg.complaints)}.values():
            call.complain(complaint.code, complaint.text)
        call.log.add("stream-ended", f"{end.code} {end.reason}, by {end.by}".replace(" ,", ","))
        if _ended_well(leg):
            self._tell_stream(verb, url, leg, "stream-stopped")
        else:
            call.complain(31921, f"the stream closed with {end.code}")
            self._tell_stream(verb, url, leg, "stream-error", f"31921 closed with {end.code}")
        return leg

    def _tell_stream(
        self, verb: Connect, url: str, leg: StreamLeg | None, event: str, error: str = ""
    ) -> None:
        if verb.status_callback:
            form = stream_form(self.call, leg, verb.name, event, error)
            self.posts.start_soon(self.post, urljoin(url, verb.status_callback), form)

    # ---- dialling ---------------------------------------------------------------------------

    async def _dial(self, verb: Dial, url: str) -> Ask | None:
        """Ring, bridge, and say how it went to `action`, whose answer goes on with the call."""
        call, phones = self.call, self.cloud.phones
        records = begin(verb.numbers, verb.caller_id or call.caller, phones)
        call.dials.extend(records)
        call.log.add("dialling", ", ".join(verb.numbers))
        record = await self._while_up(self._ring, records, verb.timeout_s) or records[0]
        if record.line is not None:
            record.bridged_at = trio.current_time()
            call.log.add("bridged", record.number)
            await bridge(call.line, record.line, phones[record.number])
        for ended in (record, *(other for other in records if other.ended_at is None)):
            ended.ended_at = trio.current_time()
        record_form = record.form()
        call.log.add("dial-ended", f"{record.status}, bridged {record_form['DialBridged']}")
        action = self._action(verb.action, verb.method, url, record_form)
        if action is not None and call.line.hung_up.is_set():
            await self._last_words(action)
            return None
        return action

    async def _ring(self, records: list[DialRecord], timeout_s: float) -> DialRecord:
        async with trio.open_nursery() as nursery:
            if self.cloud.ringback:
                nursery.start_soon(ringback, self.call.line)
            record = await ring(records, self.cloud.phones, timeout_s)
            nursery.cancel_scope.cancel()
        return record

    def _action(
        self, action: str | None, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> Ask | None:
        return None if action is None else Ask(urljoin(url, action), method, form or {})

    async def _last_words(self, action: Ask) -> None:
        """Tell `action` though the caller is gone; its document is not performed."""
        self.call.end("caller")
        form = self.call.form() | dict(action.form)
        try:
            await self._request(action.method, action.url, form)
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))


def _ended_well(leg: StreamLeg) -> bool:
    return leg.ended is not None and leg.ended.code in GOOD_CLOSES
