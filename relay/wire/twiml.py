"""TwiML: what webhooks answer, and what Twilio then does with the call.

Built as an element tree, so every text and attribute is escaped. What XML cannot hold at all
(control characters, lone surrogates) is left out of spoken text and refused anywhere else: an
unreadable document would have Twilio say "an application error has occurred" to the caller.

All URLs are absolute, since a document may also be posted by REST, where it has no base. These
functions take only values that we made or checked ourselves, so a wrong one is Misuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from relay.errors import Misuse

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_LOOPBACK = re.compile(r"ws://(localhost|127\.0\.0\.1|\[::1\])[:/]")
_PARAMETER_CHARS: Final = 500  # Twilio: name and value together stay under it
_TIMEOUT_S: Final = range(5, 601)  # what Dial takes; Twilio rings 5 s longer than told
KEY_S: Final = 8  # how long a human may take to press the key
MESSAGE_S: Final = 120  # the longest message on the voicemail
# Who is in the room hears the other at once: no music, no beep, and the least delay that there is.
_CONFERENCE: Final = {
    "beep": "false",
    "waitUrl": "",
    "startConferenceOnEnter": "true",
    "endConferenceOnExit": "true",
    "jitterBufferSize": "small",
}
_REASONS: Final = frozenset({"busy", "rejected"})


def connect_stream(
    *,
    stream_url: str,
    action_url: str,
    status_callback_url: str,
    fallback_url: str,
    parameters: Mapping[str, str],
) -> str:
    """Open a stream, both ways. When it ends Twilio asks action_url, failing that fallback_url.

    stream_url: wss, without a query, which Twilio would strip
    parameters: come back in `start`; name and value under 500 characters together
    """
    response = Element("Response")
    connect = SubElement(response, "Connect", action=_web(action_url))
    stream = SubElement(
        connect, "Stream", url=_wss(stream_url), statusCallback=_web(status_callback_url)
    )
    for name, value in parameters.items():
        SubElement(stream, "Parameter", _parameter(name, value))
    SubElement(response, "Redirect").text = _web(fallback_url)
    return _document(response)


def dial(
    number: str,
    *,
    action_url: str,
    screen_url: str = "",
    caller_id: str | None = None,
    timeout_s: int = 20,
    say: str = "",
) -> str:
    """Say something, then ring a human; how it went is posted to action_url.

    number: E.164
    screen_url: asked on the human's leg before the two are bridged; "": bridge at once
    caller_id: left out unless it is E.164, as withheld numbers come as words ("anonymous"); then
        the human sees the caller's own number, or whatever Twilio has
    timeout_s: 5 to 600
    """
    if not _E164.fullmatch(number):
        raise Misuse("dial needs a number in E.164")
    if timeout_s not in _TIMEOUT_S:
        raise Misuse(f"dial cannot ring for {timeout_s} s")
    response = Element("Response")
    _say(response, say)
    verb = SubElement(response, "Dial", action=_web(action_url), timeout=str(timeout_s))
    if caller_id is not None and _E164.fullmatch(caller_id):
        verb.set("callerId", caller_id)
    callee = SubElement(verb, "Number")
    callee.text = number
    if screen_url:
        callee.set("url", _web(screen_url))
    return _document(response)


def screen(text: str, *, key_url: str, times: int = 1) -> str:
    """Tell a human who has answered what it is about, and ask for a key, which goes to key_url.

    times: how often it is said. Without a key the call ends: a voicemail presses none.
    """
    response = Element("Response")
    for _ in range(times):
        gather = SubElement(
            response, "Gather", numDigits="1", timeout=str(KEY_S), action=_web(key_url)
        )
        _say(gather, text)
    SubElement(response, "Hangup")
    return _document(response)


def go_on() -> str:
    """Nothing more to do: on a leg that was screened, bridge it."""
    return _document(Element("Response"))


def enter_room(room: str, *, action_url: str = "", events_url: str = "", say: str = "") -> str:
    """Say something, then put the call into a conference, which ends when anybody leaves it.

    room: its name; unguessable, since whoever knows it comes in
    action_url: asked when the conference is over; "": the call then ends
    events_url: is told who comes and goes
    """
    response = Element("Response")
    _say(response, say)
    verb = SubElement(response, "Dial")
    if action_url:
        verb.set("action", _web(action_url))
    conference = SubElement(verb, "Conference", _CONFERENCE)
    conference.text = room
    if events_url:
        conference.set("statusCallback", _web(events_url))
        conference.set("statusCallbackEvent", "start end join leave")
    return _document(response)


def voicemail(say: str, *, action_url: str, recording_url: str, bye: str = "") -> str:
    """Ask for a message and record it: action_url is asked when it is over, recording_url told
    when the recording is ready."""
    response = Element("Response")
    _say(response, say)
    SubElement(
        response,
        "Record",
        action=_web(action_url),
        recordingStatusCallback=_web(recording_url),
        maxLength=str(MESSAGE_S),
        timeout="5",
        finishOnKey="#",
        playBeep="true",
    )
    _say(response, bye)
    SubElement(response, "Hangup")
    return _document(response)


def say_and_hang_up(text: str) -> str:
    """Say something in Twilio's voice, then end the call."""
    response = Element("Response")
    _say(response, text)
    SubElement(response, "Hangup")
    return _document(response)


def redirect(url: str) -> str:
    """Go on with another document."""
    response = Element("Response")
    SubElement(response, "Redirect").text = _web(url)
    return _document(response)


def hang_up() -> str:
    """End the call."""
    return say_and_hang_up("")


def reject(reason: str) -> str:
    """Do not answer, and do not pay. reason: "busy" or "rejected", which the caller hears."""
    if reason not in _REASONS:
        raise Misuse(f"reject knows no reason {reason!r}")
    response = Element("Response")
    SubElement(response, "Reject", reason=reason)
    return _document(response)


def _document(response: Element) -> str:
    return _DECLARATION + tostring(response, encoding="unicode")


def _say(response: Element, text: str) -> None:
    speech = _NOT_XML.sub("", text)
    if speech.strip():
        SubElement(response, "Say").text = speech


def _parameter(name: str, value: str) -> dict[str, str]:
    if not name or len(name) + len(value) >= _PARAMETER_CHARS:
        raise Misuse(f"stream parameter {name!r} is nameless or too long")
    if _NOT_XML.search(name + value):
        raise Misuse(f"stream parameter {name!r} holds what XML cannot")
    return {"name": name, "value": value}


def _wss(url: str) -> str:
    if "?" in url or "#" in url:
        raise Misuse("a stream's URL has no query: Twilio strips it")
    # Plain ws exists on this machine only, for simulated calls.
    return _absolute(url, {"wss", "ws"} if _LOOPBACK.match(url) else {"wss"})


@lru_cache(maxsize=64)  # some are in every document
def _web(url: str) -> str:
    return _absolute(url, {"https", "http"})


def _absolute(url: str, schemes: set[str]) -> str:
    """The URL, which may be personal (a token in its path), so no message repeats it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misuse("a URL in TwiML cannot be read") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise Misuse(f"a URL in TwiML is not an absolute one of {sorted(schemes)}")
    if re.search(r"\s", url) or _NOT_XML.search(url):
        raise Misuse("a URL in TwiML holds what no URL can")
    return url
