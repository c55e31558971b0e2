"""Twilio's webhook about the recording of a call.

    POST /twilio/recording      it has begun, can be had, or came to nothing

Each may come twice, and they need not come in order: a row says the furthest of what was told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import structlog
from quart import Blueprint, Response, g

from relay.ports import RecordingNoted
from relay.shell.recordings import recording_state
from relay.web.desk import FrontDesk
from relay.web.forms import MAX_SID_CHARS, Form
from relay.web.twilio import signed_pages

MAX_SECONDS: Final = 24 * 3600

_log = structlog.get_logger("relay.web")


def blueprint(desk: FrontDesk) -> Blueprint:
    """The webhook of recordings."""
    pages = signed_pages(desk, "recordings")

    @pages.post("/recording")
    async def recording() -> Response:
        noted = _noted(g.form)
        if noted is not None:
            _log.info("= recording", call_sid=g.form.call_sid, state=noted.state)
            desk.recordings.heard_of(g.form.call_sid, noted)
        return Response("", 204)

    return pages


def _noted(form: Form) -> RecordingNoted | None:
    """What a form says; None when it is not to be noted."""
    sid, state = form["RecordingSid"], recording_state(form["RecordingStatus"])
    if not 0 < len(sid) <= MAX_SID_CHARS or state is None:
        return None
    seconds = form["RecordingDuration"]
    return RecordingNoted(
        sid,
        state,
        _moment(form["RecordingStartTime"]),
        min(int(seconds), MAX_SECONDS) if seconds.isascii() and seconds.isdecimal() else None,
        form["RecordingUrl"],
    )


def _moment(text: str) -> datetime | None:
    """Twilio's date, as a mail writes it; None when it is absent or odd."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
