"""Twilio's webhooks: which TwiML a call gets next.

    POST /twilio/incoming       a call rings: connect it to a stream, or to the human when full
    POST /twilio/after-stream   its stream ended: hang up, transfer, or fall back, as was decided
    POST /twilio/after-dial     the human's call ended: was there a conversation?
    POST /twilio/fallback       something is broken: apologise and dial the human; needs nothing
    POST /twilio/stream-status  a stream started, stopped or failed: logged
    POST /twilio/status         the call ended: one without an outcome was abandoned

`incoming` and `fallback` answer from memory. Only `after-stream`, and only for a call that another
process carried, asks the store, for a second at most. What is written is written behind the
answer's back (outcomes.py).

A call that comes from the human's own number, from ours, or was forwarded by either, is never
bridged to the human: it would ring its own tail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
import trio
from quart import Blueprint, Response, abort, g, request

from relay.core.records import CallOpened
from relay.ports import Entry
from relay.switchboard import Step, Switchboard
from relay.web.forms import Form, signed_form
from relay.web.outcomes import Outcomes
from relay.wire import twiml

APOLOGY: Final = "I am sorry, our assistant cannot take your call right now. Please hold on."
NOBODY: Final = "I am sorry, nobody is available right now. Please call again later. Goodbye."
RING_S: Final = 20  # Twilio adds 5; a voicemail usually answers after 20 to 25
FINAL: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
MAX_SID_CHARS: Final = 64
STREAM_PATH: Final = "/twilio/stream/"

_log = structlog.get_logger("relay.web")


@dataclass(frozen=True, slots=True)
class FrontDesk:
    """What the webhooks need. keep: the journal's."""

    board: Switchboard
    outcomes: Outcomes
    keep: Callable[[Entry], None]
    auth_token: str
    public_url: str
    stream_base: str
    own_number: str
    human_number: str

    def url(self, name: str) -> str:
        """The public URL of a webhook."""
        return f"{self.public_url}/twilio/{name}"

    def bridge(self, form: Form, say: str = "") -> str:
        """Dial the human, unless that would come back to us."""
        ours = {self.own_number, self.human_number}
        if form["From"] in ours or form["ForwardedFrom"] in ours:
            _log.warning("! not bridged to itself")
            return twiml.say_and_hang_up(NOBODY)
        return twiml.dial(
            self.human_number, action_url=self.url("after-dial"), timeout_s=RING_S, say=say
        )


def blueprint(desk: FrontDesk) -> Blueprint:
    """All webhooks, each behind Twilio's signature."""
    pages = Blueprint("twilio", __name__, url_prefix="/twilio")

    @pages.before_request
    async def check() -> None:
        g.form = await signed_form(request, auth_token=desk.auth_token, public_url=desk.public_url)
        if not 0 < len(g.form.call_sid) <= MAX_SID_CHARS:
            abort(400)

    @pages.post("/incoming")
    async def incoming() -> Response:
        return _document(_incoming(desk, g.form))

    @pages.post("/after-stream")
    async def after_stream() -> Response:
        return _document(await _after_stream(desk, g.form))

    @pages.post("/after-dial")
    async def after_dial() -> Response:
        return _document(_after_dial(desk, g.form))

    @pages.post("/fallback")
    async def fallback() -> Response:
        return _document(desk.bridge(g.form, APOLOGY))

    @pages.post("/stream-status")
    async def stream_status() -> Response:
        _log_stream(g.form)
        return Response("", 204)

    @pages.post("/status")
    async def status() -> Response:
        _status(desk, g.form)
        return Response("", 204)

    return pages


def _incoming(desk: FrontDesk, form: Form) -> str:
    """Connect a ringing call to a stream of its own."""
    call_sid, caller, called = form.call_sid, form.number("From"), form.number("To")
    if form["From"] == desk.own_number:
        _log.warning("! our own call came back", call_sid=call_sid)
        return twiml.say_and_hang_up(NOBODY)
    # A call is written down when it rings: it may have no stream, or die with this process.
    opened = CallOpened(at=trio.current_time(), stream_sid="", caller=caller, called=called)
    desk.keep(Entry(call_sid, datetime.now(UTC), opened))
    token = desk.board.expect(call_sid, caller, called)
    if token is None:
        _log.warning("! no room for a call", call_sid=call_sid, draining=desk.board.draining)
        return desk.bridge(form, APOLOGY)
    _log.info("< call", call_sid=call_sid, **{"pii.caller": caller})
    return twiml.connect_stream(
        stream_url=f"{desk.stream_base}{STREAM_PATH}{token}",
        action_url=desk.url("after-stream"),
        status_callback_url=desk.url("stream-status"),
        fallback_url=desk.url("fallback"),
        parameters={"caller": caller, "called": called},
    )


async def _after_stream(desk: FrontDesk, form: Form) -> str:
    """Do what the call decided before its stream was closed."""
    disposition = await desk.board.disposition(form.call_sid)
    _log.info("= after the stream", call_sid=form.call_sid, disposition=disposition)
    match disposition:
        case "hang_up":
            return twiml.hang_up()
        case "transfer":
            return desk.bridge(form)
        case _:
            return desk.bridge(form, APOLOGY)


def _after_dial(desk: FrontDesk, form: Form) -> str:
    """The human's leg has ended. Twilio's "completed" alone may have been a voicemail's refusal."""
    status = form["DialCallStatus"]
    bridged = form["DialBridged"] or ("true" if status in {"completed", "answered"} else "false")
    _log.info("= after the dial", call_sid=form.call_sid, status=status, bridged=bridged)
    if bridged == "true":
        desk.outcomes.note(form.call_sid, "transferred")
        return twiml.hang_up()
    desk.outcomes.note(form.call_sid, "failed", f"human_{status or 'unknown'}")
    return twiml.say_and_hang_up(NOBODY)


def _log_stream(form: Form) -> None:
    event, error = form["StreamEvent"], form["StreamError"]
    if error:
        _log.warning("! stream failed", call_sid=form.call_sid, error=error)
    else:
        _log.info("= stream", call_sid=form.call_sid, stream_event=event)


def _status(desk: FrontDesk, form: Form) -> None:
    """A call's own last word: it must not stay without an outcome, whatever became of it here."""
    call_sid, status = form.call_sid, form["CallStatus"]
    _log.info("= call status", call_sid=call_sid, status=status)
    if status not in FINAL:
        return
    desk.board.hung_up(call_sid)
    line = desk.board.line(call_sid)
    match line.step if line else None:
        case Step.LIVE:
            pass  # its stream notices by itself, and says what became of it
        case Step.OVER:
            desk.outcomes.note(call_sid, "failed", "ended_without_outcome", only_if_none=True)
        case _:
            desk.outcomes.note(call_sid, "abandoned", "ended_without_stream", only_if_none=True)


def _document(text: str) -> Response:
    return Response(text, 200, content_type="text/xml; charset=utf-8")
