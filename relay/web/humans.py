"""Twilio's webhooks about the humans that a call is put through to, and about the voicemail.

A *warm* transfer: we have rung the human, while the caller stays with the agent.

    POST /twilio/screen/<attempt>      they have answered: tell them what it is about, ask for a key
    POST /twilio/screen-key/<attempt>  1: into the room; anything else: no
    POST /twilio/leg-status/<attempt>  how that leg goes
    POST /twilio/room                  who came into a room and who left it: logged
    POST /twilio/after-talk            the caller's conference is over

A *cold* one, when there is no agent to stay with: Twilio rings the human for the caller.

    POST /twilio/whisper               they have answered: ask for a key
    POST /twilio/whisper-key           1: bridge
    POST /twilio/after-dial            their call has ended: was there a conversation?

And the voicemail, when there is no human either.

    POST /twilio/voicemail             the message is over
    POST /twilio/voicemail-recording   its recording is ready
"""

from __future__ import annotations

from typing import Final

import structlog
from quart import Blueprint, Response, g

from relay.ports import ENDED
from relay.web.desk import GOODBYE, FrontDesk
from relay.web.forms import Form
from relay.web.twilio import document, signed_pages
from relay.wire import twiml

ONE_MOMENT: Final = "One moment, please."
ON_THE_LINE: Final = "A caller is on the line."
RECORDED: Final = "This call may be recorded."
PRESS: Final = "To take the call, press 1."
# Whoever does not hear it the first time, because they were still saying their name, hears it again
TIMES: Final = 2

_log = structlog.get_logger("relay.web")


def blueprint(desk: FrontDesk) -> Blueprint:
    """The webhooks of human legs and of the voicemail."""
    pages = signed_pages(desk, "humans")

    @pages.post("/screen/<attempt>")
    async def screen(attempt: str) -> Response:
        about = await desk.humans.screen(attempt)
        if about is None:
            return document(twiml.say_and_hang_up(GOODBYE))
        key_url = desk.url(f"screen-key/{attempt}")
        return document(twiml.screen(_whisper(desk, about), key_url=key_url, times=TIMES))

    @pages.post("/screen-key/<attempt>")
    async def screen_key(attempt: str) -> Response:
        room = await desk.humans.pressed(attempt, g.form["Digits"])
        if room is None:
            return document(twiml.say_and_hang_up(GOODBYE))
        return document(twiml.enter_room(room, events_url=desk.url("room"), say=ONE_MOMENT))

    @pages.post("/leg-status/<attempt>")
    async def leg_status(attempt: str) -> Response:
        await desk.humans.leg_status(attempt, g.form["CallStatus"], g.form.call_sid)
        return Response("", 204)

    @pages.post("/room")
    async def room() -> Response:
        event = g.form["StatusCallbackEvent"]
        _log.info("= room", call_sid=g.form.call_sid, room_event=event)
        return Response("", 204)

    @pages.post("/after-talk")
    async def after_talk() -> Response:
        return document(await _after_talk(desk, g.form))

    @pages.post("/whisper")
    async def whisper() -> Response:
        key_url = desk.url("whisper-key")
        return document(twiml.screen(_whisper(desk), key_url=key_url, times=TIMES))

    @pages.post("/whisper-key")
    async def whisper_key() -> Response:
        return document(twiml.go_on() if g.form["Digits"] == "1" else twiml.hang_up())

    @pages.post("/after-dial")
    async def after_dial() -> Response:
        return document(_after_dial(desk, g.form))

    @pages.post("/voicemail")
    async def voicemail() -> Response:
        _take_message(desk, g.form)
        return document(twiml.say_and_hang_up(GOODBYE))

    @pages.post("/voicemail-recording")
    async def voicemail_recording() -> Response:
        _take_message(desk, g.form)
        return Response("", 204)

    return pages


def _whisper(desk: FrontDesk, about: str = "") -> str:
    """What a human hears before the key. A recording goes on over a transfer, and the human is a
    party of their own to it: whoever presses the key has been told so, whatever became of it."""
    said = (ON_THE_LINE, about, RECORDED if desk.recorded else "", PRESS)
    return " ".join(text for text in said if text)


async def _after_talk(desk: FrontDesk, form: Form) -> str:
    """The conference is over, and the caller is still there: so the human left it."""
    if await desk.humans.parts(form.call_sid):
        return await desk.dropped(form)
    return twiml.hang_up()


def _after_dial(desk: FrontDesk, form: Form) -> str:
    """The human's leg has ended. Nobody but who pressed the key was bridged; "completed" alone may
    have been a voicemail that answered. A caller who did not wait for it has not been failed."""
    status, bridged = form["DialCallStatus"], form["DialBridged"] == "true"
    _log.info("= after the dial", call_sid=form.call_sid, status=status, bridged=bridged)
    if bridged:
        desk.outcomes.note(form.call_sid, "transferred")
        return twiml.hang_up()
    not_reached = f"human_{status or 'unknown'}"
    if form["CallStatus"] in ENDED:
        desk.outcomes.note(form.call_sid, "abandoned", not_reached)
        return twiml.hang_up()
    desk.outcomes.note(form.call_sid, "failed", not_reached)
    return desk.voicemail()


def _take_message(desk: FrontDesk, form: Form) -> None:
    """A message was recorded: once, though both of its webhooks say so."""
    recording, seconds = form["RecordingSid"], form["RecordingDuration"]
    if not recording or seconds in ("", "0", "-1"):
        return
    call_sid = form.call_sid
    line = desk.board.line(call_sid)
    caller = form.number("From") or (line.caller if line else "") or "Somebody (number withheld)"
    text = f"{caller} left a voicemail of {seconds} s: {form['RecordingUrl']}"
    desk.notice(call_sid, recording, "voicemail", text)
    desk.outcomes.note(call_sid, "message", "voicemail")
