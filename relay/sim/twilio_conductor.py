"""What it takes to conduct one call: signed requests, documents, callbacks, sound at its ear.

Requests are signed with the account's token over the public URLs, exactly as Twilio does; relays
that cannot be reached, refuse or answer nonsense get Twilio's error codes and, once a request, the
number's fallback URL. A hang-up or new instructions break off whatever is being done.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, TypeVarTuple, Unpack
from urllib.parse import urlencode, urljoin

import trio

from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Ask, Exchange, PhoneCall
from relay.sim.twilio_courier import Courier
from relay.sim.twilio_net import Answer, NetworkError, sign
from relay.sim.twilio_twiml import TwimlError, read_twiml
from relay.sim.twilio_verbs import Callback, Document, Pause, Play, Prompt, Say

XML_TYPES = ("text/xml", "application/xml")
APPLICATION_ERROR = "We are sorry. An application error has occurred. Goodbye."

T = TypeVar("T")
Args = TypeVarTuple("Args")


@dataclass(frozen=True, slots=True)
class Conductor:
    """One call in the hands of its account. posts: where callbacks run that nobody waits for."""

    account: Account
    call: PhoneCall
    posts: trio.Nursery

    async def while_up(
        self, work: Callable[[Unpack[Args]], Awaitable[T]], *args: *Args
    ) -> T | None:
        """Do something while nothing breaks it off; None when it was broken off before its end."""
        done: list[T] = []
        async with trio.open_nursery() as nursery:

            async def finish() -> None:
                done.append(await work(*args))
                nursery.cancel_scope.cancel()

            nursery.start_soon(finish)
            await self.call.broken_off()
            nursery.cancel_scope.cancel()
        return done[0] if done else None

    # ---- documents --------------------------------------------------------------------------

    async def document(self, ask: Ask) -> tuple[str, Document]:
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
        await self.give_up()
        return ask.url, Document(())

    async def give_up(self) -> None:
        """Say Twilio's own last words, and end the call."""
        self.call.answer()
        await self.say(APPLICATION_ERROR)
        self.call.end("error")

    async def _fetch(self, ask: Ask) -> Document:
        if ask.twiml is not None:
            return self._read(ask.twiml)
        answer = await self.request(ask.method, ask.url, self.call.form() | dict(ask.form))
        if answer.status >= 300:
            raise TwimlError(11200, f"{ask.url} answered {answer.status}")
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind == "text/plain":
            return Document((Say(answer.text),))
        if kind not in XML_TYPES:
            raise TwimlError(12300, f"content type {kind!r} is no TwiML")
        return self._read(answer.text)

    def _read(self, text: str) -> Document:
        document = read_twiml(text)
        for warning in document.warnings:
            self.call.complain(12200, warning)
        return document

    # ---- requests ---------------------------------------------------------------------------

    async def request(self, method: str, url: str, form: Mapping[str, str]) -> Answer:
        """One signed request, tried twice if nobody is there. Raises NetworkError."""
        return await request(self.account, method, url, form, self.call.keep)

    async def post(self, method: str, url: str, form: Mapping[str, str]) -> None:
        """A callback whose answer changes nothing but the debugger."""
        try:
            answer = await self.request(method, url, form)
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))
            return
        if answer.status >= 300:
            self.call.complain(11200, f"{url} answered {answer.status}")

    def tell(self, courier: Courier, to: Callback, form: Mapping[str, str]) -> None:
        """Send a callback on its way, if anybody wants it."""
        if to.url:
            job = partial(self.post, to.method, to.url, form)
            courier.send(job, self.account.deliveries(to.url, form), self.posts)

    def action(self, action: str | None, method: str, url: str) -> Ask | None:
        return None if action is None else Ask(absolute(url, action), method)

    async def follow(self, action: Ask | None, form: Mapping[str, str]) -> Ask | None:
        """Go on with `action`; one who is gone only has it told, new instructions overrule it."""
        if action is None or (self.call.ordered and not self.call.leaving):
            return None
        action = Ask(action.url, action.method, form)
        if self.call.leaving:
            await self.last_words(action)
            return None
        return action

    async def last_words(self, action: Ask) -> None:
        """Tell `action` though the caller is gone; its document is not performed."""
        self.call.end("caller" if self.call.line.hung_up.is_set() else "api")
        form = self.call.form() | dict(action.form)
        try:
            await self.request(action.method, action.url, form)
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))

    # ---- sound ------------------------------------------------------------------------------

    async def prompt(self, prompts: Sequence[Prompt]) -> None:
        """Speak and play, one after another."""
        for verb in prompts:
            match verb:
                case Say():
                    await self.say(" ".join([verb.text] * verb.loop))
                case Play():
                    await self._play(verb)
                case Pause():
                    self.call.log.add("pause", f"{verb.seconds} s")
                    await trio.sleep(verb.seconds)

    async def say(self, text: str) -> None:
        self.call.log.add("say", text)
        await self.sound(self.account.speak(text), text)

    async def _play(self, verb: Play) -> None:
        self.call.log.add("play", verb.url)
        try:
            sound = self.account.sound(verb.url)
        except NetworkError as fault:
            self.call.complain(fault.code, str(fault))
        else:
            await self.sound(sound * verb.loop, verb.url)

    async def sound(self, mulaw: bytes, name: str) -> None:
        """Let something be heard to its end. name: what it is, for those who wait for that."""
        line = self.call.line
        start = line.heard.play(mulaw, line.sample())
        try:
            await trio.sleep_until(line.time(start + len(mulaw)))
            self.call.prompts.add(name)
        finally:
            line.heard.cut(line.sample())


def absolute(base: str, url: str) -> str:
    """A URL as a document means it. Raises TwimlError (15004) if the document came by REST, and so
    has no address of its own to begin from."""
    whole = urljoin(base, url)
    if "://" not in whole:
        raise TwimlError(15004, f"{url!r}: a document given by REST wants absolute URLs")
    return whole


def told_at(base: str, callback: Callback) -> Callback:
    """A callback with its URL as a document means it. Raises TwimlError (15004)."""
    return replace(callback, url=absolute(base, callback.url)) if callback.url else callback


async def request(
    account: Account,
    method: str,
    url: str,
    form: Mapping[str, str],
    keep: Callable[[Exchange], None],
) -> Answer:
    """Send a signed request, a second time if nobody is there. Raises NetworkError: 11205, or 11200
    when it takes too long, which is not tried again."""
    fields = tuple(sorted(form.items()))
    if method.upper() == "GET":
        url += ("&" if "?" in url else "?") + urlencode(fields)
        fields = ()
    headers = {
        "X-Twilio-Signature": sign(account.auth_token, url, fields),
        "User-Agent": "TwilioProxy/1.1",
        "I-Twilio-Idempotency-Token": secrets.token_hex(16),
        "X-Home-Region": "us1",
    }
    for last in (False, True):
        start = trio.current_time()
        try:
            answer = await account.network.request(method, url, fields, headers)
        except NetworkError as fault:
            took = trio.current_time() - start
            keep(Exchange(start, took, method, url, fields, 0, str(fault)))
            if last or fault.code != 11205:
                raise
        else:
            took = trio.current_time() - start
            keep(Exchange(start, took, method, url, fields, answer.status, answer.text))
            return answer
    raise NetworkError(11205, url)


async def post(account: Account, method: str, url: str, form: Mapping[str, str]) -> None:
    """Send a callback that is about no call. Nobody hears of it if it does not arrive."""
    with suppress(NetworkError):
        await request(account, method, url, form, lambda _: None)
