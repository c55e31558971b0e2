"""Twilio's webhooks about a caller's own call: which TwiML it gets next.

    POST /twilio/incoming       a call rings: connect it to a stream, or to the human when full
    POST /twilio/after-stream   its stream ended: do what was decided, or fall back
    POST /twilio/fallback       something is broken: do what was decided, or dial the human
    POST /twilio/stream-status  a stream started, stopped or failed: logged
    POST /twilio/status         the call ended: one without an outcome was abandoned

`incoming` answers from memory. `after-stream` and `fallback` ask the store what this process does
not know of a call, for a second at most; when that does not answer, there is still the human. What
is written is written behind the answer's back (outcomes.py). The pages are plain functions of a
form: the blueprint makes routes of them, and express.py answers them without the framework.

A call that our own outbound leg made, or that a human's telephone forwarded to us, gets the
voicemail and never an agent: it is a transfer that nobody took, on its way round.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

import structlog
import trio
from quart import Blueprint, Response, g, request

from relay.core.records import CallOpened
from relay.lines import Step
from relay.ports import ENDED, Entry
from relay.returns import comes_back
from relay.web.desk import APOLOGY, FrontDesk
from relay.web.forms import Form, signed_form
from relay.wire import twiml

PREFIX: Final = "/twilio"
CONTENT_TYPE: Final = "text/xml; charset=utf-8"
NOTHING: Final = ""  # an answer without a document

# The document that a call gets next, or NOTHING.
Page: TypeAlias = Callable[[FrontDesk, Form], Awaitable[str]]

_log = structlog.get_logger("relay.web")


def signed_pages(desk: FrontDesk, name: str) -> Blueprint:
    """A blueprint under /twilio, every page of it behind Twilio's signature."""
    pages = Blueprint(name, __name__, url_prefix=PREFIX)

    @pages.before_request
    async def check() -> None:
        g.form = await signed_form(request, auth_token=desk.auth_token, public_url=desk.public_url)
        structlog.contextvars.bind_contextvars(call_sid=g.form.call_sid)

    return pages


def blueprint(desk: FrontDesk) -> Blueprint:
    """The webhooks of a caller's call."""
    pages = signed_pages(desk, "twilio")
    for name, page in PAGES.items():
        pages.post(name)(_route(desk, page, name))
    return pages


def _route(desk: FrontDesk, page: Page, name: str) -> Callable[[], Awaitable[Response]]:
    async def route() -> Response:
        text = await page(desk, g.form)
        return document(text) if text else Response("", 204)

    route.__name__ = name.strip("/")  # the endpoint's
    return route


async def _incoming(desk: FrontDesk, form: Form) -> str:
    """Connect a ringing call to a stream of its own."""
    call_sid, caller, called = form.call_sid, form.number("From"), form.number("To")
    if desk.board.blocked(caller):
        return twiml.reject("rejected")
    # A call is written down when it rings: it may have no stream, or die with this process.
    opened = CallOpened(at=trio.current_time(), stream_sid="", caller=caller, called=called)
    desk.keep(Entry(call_sid, datetime.now(UTC), opened))
    if desk.comes_round(form):
        _log.warning("! a transfer came back", call_sid=call_sid)
        return desk.voicemail()
    token = desk.board.expect(call_sid, caller, called)
    if token is None:
        return desk.bridge(form, APOLOGY)
    _log.info("< call", call_sid=call_sid, **{"pii.caller": caller})
    return desk.connect(token, form)


async def _after_stream(desk: FrontDesk, form: Form) -> str:
    """Do what the call decided before its stream was closed; or bring it back, if it is there."""
    if form["CallStatus"] in ENDED:
        return twiml.hang_up()
    what = await desk.board.follows(form.call_sid, form.after)
    _log.info("= after the stream", call_sid=form.call_sid, follows=what)
    return await _next(desk, form, what)


async def _fallback(desk: FrontDesk, form: Form) -> str:
    """Where a call arrives whose stream Twilio has passed over `action` for: what was chosen is
    done all the same. Or where a page of ours was not to be had, as ErrorUrl says: then a room is
    not tried, whose human may have left it with nobody told."""
    what = await desk.board.follows(form.call_sid, form.after)
    _log.warning("! fallback", call_sid=form.call_sid, follows=what)
    if what == "join" and form["ErrorUrl"]:
        return desk.bridge(form, APOLOGY)
    return await _next(desk, form, what)


async def _next(desk: FrontDesk, form: Form, what: str) -> str:
    """The document of a disposition, or of a return."""
    match what:
        case "hang_up":
            return twiml.hang_up()
        case "join":
            room = await desk.humans.joins(form.call_sid)
            if room is None:
                return await desk.dropped(form)
            return twiml.enter_room(room, action_url=desk.url("after-talk", form.after))
        case "voicemail":
            return desk.voicemail()
        case _ if comes_back(what):
            return desk.go_on(form, what)
        case _:
            return desk.bridge(form, APOLOGY)


async def _stream_status(_: FrontDesk, form: Form) -> str:
    event, error = form["StreamEvent"], form["StreamError"]
    if error:
        _log.warning("! stream failed", call_sid=form.call_sid, error=error)
    else:
        _log.info("= stream", call_sid=form.call_sid, stream_event=event)
    return NOTHING


async def _status(desk: FrontDesk, form: Form) -> str:
    """A call's own last word: it must not stay without an outcome, whatever became of it here."""
    call_sid, status = form.call_sid, form["CallStatus"]
    _log.info("= call status", call_sid=call_sid, status=status)
    if status not in ENDED:
        return NOTHING
    await ended(desk, call_sid)
    return NOTHING


async def ended(desk: FrontDesk, call_sid: str, *, had_stream: bool = False) -> None:
    """Twilio says that a call is over: nobody waits for it, and it gets an outcome if it has none.

    had_stream: somewhere, once
    """
    await desk.humans.caller_gone(call_sid)
    desk.board.hung_up(call_sid)
    line = desk.board.line(call_sid)
    match line.step if line else None:
        case Step.LIVE:
            pass  # its stream notices by itself, and says what became of it
        case step if had_stream or step is Step.OVER:
            desk.outcomes.note(call_sid, "failed", "ended_without_outcome", only_if_none=True)
        case _:
            desk.outcomes.note(call_sid, "abandoned", "ended_without_stream", only_if_none=True)


PAGES: Final[Mapping[str, Page]] = {
    "/incoming": _incoming,
    "/after-stream": _after_stream,
    "/fallback": _fallback,
    "/stream-status": _stream_status,
    "/status": _status,
}


def document(text: str) -> Response:
    """TwiML as an answer."""
    return Response(text, 200, content_type=CONTENT_TYPE)
