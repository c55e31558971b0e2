"""TwiML as Twilio reads it: one document becomes a tuple of verbs, and warnings.

Only the verbs that the simulated cloud can perform; any other is a warning (12200) and skipped,
as is a misspelt attribute: TwiML is case-sensitive. A value that Twilio does not know is a warning
too. A document that is no XML is 12100.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from relay.errors import PortError
from relay.sim.twilio_verbs import (
    NO_CALLBACK,
    Callback,
    Callee,
    Confer,
    Connect,
    Dial,
    Document,
    Gather,
    Hangup,
    Pause,
    Play,
    Prompt,
    Record,
    Redirect,
    Reject,
    Say,
    Verb,
)

MAX_PARAMETER = 500  # characters of a <Parameter>'s name and value together
MAX_CALLEES = 10

_STATUS = ("statusCallback", "statusCallbackEvent", "statusCallbackMethod")
_RECORDING_STATUS = (
    "recordingStatusCallback",
    "recordingStatusCallbackEvent",
    "recordingStatusCallbackMethod",
)

# Attributes that Twilio knows; those that change nothing here are accepted and ignored.
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "Response": frozenset(),
    "Connect": frozenset({"action", "method"}),
    "Stream": frozenset({"url", "name", "track", "statusCallback", "statusCallbackMethod"}),
    "Parameter": frozenset({"name", "value"}),
    "Redirect": frozenset({"method"}),
    "Dial": frozenset(
        [
            "action",
            "method",
            "timeout",
            "timeLimit",
            "callerId",
            "answerOnBridge",
            "hangupOnStar",
            "ringTone",
        ]
    ),
    "Number": frozenset({"url", "method", *_STATUS}),
    "Conference": frozenset(
        [
            "beep",
            "muted",
            "waitUrl",
            "waitMethod",
            "startConferenceOnEnter",
            "endConferenceOnExit",
            "maxParticipants",
            "participantLabel",
            "jitterBufferSize",
            *_STATUS,
        ]
    ),
    "Say": frozenset({"voice", "language", "loop"}),
    "Play": frozenset({"loop", "digits"}),
    "Pause": frozenset({"length"}),
    "Gather": frozenset(
        [
            "input",
            "action",
            "method",
            "timeout",
            "numDigits",
            "finishOnKey",
            "actionOnEmptyResult",
            "bargeIn",
            "language",
        ]
    ),
    "Record": frozenset(
        [
            "action",
            "method",
            "timeout",
            "maxLength",
            "finishOnKey",
            "playBeep",
            "trim",
            "transcribe",
            *_RECORDING_STATUS,
        ]
    ),
    "Hangup": frozenset(),
    "Reject": frozenset({"reason"}),
}
# The values of an attribute, several of them for events.
_METHODS = frozenset({"GET", "POST"})
_WORDS: Mapping[str, frozenset[str]] = {
    "method": _METHODS,
    "waitMethod": _METHODS,
    "statusCallbackMethod": _METHODS,
    "recordingStatusCallbackMethod": _METHODS,
    "beep": frozenset({"true", "false", "onEnter", "onExit"}),
    "jitterBufferSize": frozenset({"off", "small", "medium", "large"}),
    "recordingStatusCallbackEvent": frozenset({"in-progress", "completed", "absent"}),
    "trim": frozenset({"trim-silence", "do-not-trim"}),
    "reason": frozenset({"rejected", "busy"}),
}
_EVENTS: Mapping[str, frozenset[str]] = {
    "Number": frozenset({"initiated", "ringing", "answered", "completed"}),
    "Conference": frozenset(
        ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"]
    ),
}
_RING_S = range(5, 601)
# What the events of a statusCallback are when none are named.
_DEFAULT_EVENTS: Mapping[str, str] = {"Number": "completed", "Conference": ""}


class TwimlError(PortError):
    """A document that cannot be performed. `code` is Twilio's error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def read_twiml(text: str) -> Document:
    """Read a document. Raises TwimlError (12100) if it is not a TwiML response."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - expat bounds entity expansion; the relay is ours
    except (ET.ParseError, ValueError) as fault:
        raise TwimlError(12100, f"not XML: {fault}") from None
    if root.tag != "Response":
        raise TwimlError(12100, f"<Response> expected, not <{root.tag}>")
    warnings: list[str] = []
    verbs = [verb for element in root if (verb := _verb(element, warnings)) is not None]
    return Document(tuple(verbs), tuple(warnings))


def _verb(element: ET.Element, warnings: list[str]) -> Verb | None:
    prompt = _prompt(element, warnings)
    if prompt is not None:
        return prompt
    _check_attributes(element, warnings)
    get = element.attrib.get
    match element.tag:
        case "Connect":
            return _connect(element, warnings)
        case "Dial":
            return _dial(element, warnings)
        case "Gather":
            return _gather(element, warnings)
        case "Record":
            return _record(element, warnings)
        case "Redirect":
            return Redirect(_text(element), get("method", "POST"))
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(get("reason", "rejected"))
        case tag:
            warnings.append(f"<{tag}> is no verb, or not one that is simulated")
            return None


def _prompt(element: ET.Element, warnings: list[str]) -> Prompt | None:
    """The verbs that may also stand within a <Gather>."""
    if element.tag not in ("Say", "Play", "Pause"):
        return None
    _check_attributes(element, warnings)
    match element.tag:
        case "Say":
            return Say(_text(element), _integer(element, "loop", 1, warnings))
        case "Play":
            return Play(_text(element), _integer(element, "loop", 1, warnings))
        case _:
            return Pause(_integer(element, "length", 1, warnings))


def _connect(element: ET.Element, warnings: list[str]) -> Connect | None:
    streams = element.findall("Stream")
    if len(streams) != 1 or len(element) != 1:
        warnings.append("<Connect> wants exactly one <Stream>")
        return None
    stream = streams[0]
    _check_attributes(stream, warnings)
    if stream.get("track", "inbound_track") != "inbound_track":
        warnings.append(f"track {stream.get('track')!r} is not for <Connect>")
    return Connect(
        stream_url=stream.get("url", ""),
        action=element.get("action"),
        method=element.get("method", "POST"),
        name=stream.get("name", ""),
        status_callback=stream.get("statusCallback"),
        status_method=stream.get("statusCallbackMethod", "POST"),
        parameters=_parameters(stream, warnings),
    )


def _parameters(stream: ET.Element, warnings: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in stream:
        _check_attributes(element, warnings)
        name, value = element.get("name", ""), element.get("value", "")
        if element.tag != "Parameter" or not name:
            warnings.append(f"<{element.tag}> in <Stream>: a <Parameter> with a name is wanted")
        elif len(name) + len(value) >= MAX_PARAMETER:
            warnings.append(f"<Parameter name={name[:40]!r}> is {MAX_PARAMETER} characters or more")
        else:
            found[name] = value
    return found


def _dial(element: ET.Element, warnings: list[str]) -> Dial | Confer | None:
    callees = [Callee(_text(element))] if _text(element) else []
    for child in element:
        _check_attributes(child, warnings)
        if child.tag == "Conference" and _text(child) and len(element) == 1 and not callees:
            return _confer(element, child, warnings)
        if child.tag == "Number" and _text(child):
            callees.append(
                Callee(
                    _text(child),
                    child.get("url"),
                    child.get("method", "POST"),
                    _callback(child, _STATUS),
                )
            )
        else:
            warnings.append(
                f"<{child.tag}> in <Dial>: <Number>s with digits, or one <Conference> with a name"
            )
    if not 0 < len(callees) <= MAX_CALLEES:
        warnings.append(f"<Dial> has {len(callees) or 'nobody'} to dial")
        return None
    timeout_s = _integer(element, "timeout", 30, warnings)
    if timeout_s not in _RING_S:
        warnings.append(f"<Dial timeout={timeout_s}>: 5 to 600 seconds")
    return Dial(
        callees=tuple(callees),
        action=element.get("action"),
        method=element.get("method", "POST"),
        timeout_s=min(max(timeout_s, _RING_S[0]), _RING_S[-1]),
        caller_id=element.get("callerId", ""),
        time_limit_s=_integer(element, "timeLimit", 14_400, warnings),
    )


def _confer(element: ET.Element, noun: ET.Element, warnings: list[str]) -> Confer:
    buffer = noun.get("jitterBufferSize", "large")
    buffer = buffer if buffer in _WORDS["jitterBufferSize"] else "large"
    return Confer(
        name=_text(noun),
        action=element.get("action"),
        method=element.get("method", "POST"),
        time_limit_s=_integer(element, "timeLimit", 14_400, warnings),
        beep=noun.get("beep", "true"),
        muted=_boolean(noun, "muted", False, warnings),
        wait_url=noun.get("waitUrl"),
        wait_method=noun.get("waitMethod", "POST"),
        start_on_enter=_boolean(noun, "startConferenceOnEnter", True, warnings),
        end_on_exit=_boolean(noun, "endConferenceOnExit", False, warnings),
        jitter_buffer=buffer,
        label=noun.get("participantLabel", ""),
        status=_callback(noun, _STATUS),
    )


def _gather(element: ET.Element, warnings: list[str]) -> Gather:
    if element.get("input", "dtmf") != "dtmf":
        warnings.append(f"input={element.get('input')!r} of <Gather>: only dtmf is simulated")
    prompts: list[Prompt] = []
    for child in element:
        prompt = _prompt(child, warnings)
        if prompt is None:
            warnings.append(f"<{child.tag}> in <Gather>: <Say>, <Play> or <Pause> is wanted")
        else:
            prompts.append(prompt)
    return Gather(
        prompts=tuple(prompts),
        action=element.get("action"),
        method=element.get("method", "POST"),
        timeout_s=_integer(element, "timeout", 5, warnings),
        num_digits=_integer(element, "numDigits", 0, warnings),
        finish_on_key=element.get("finishOnKey", "#"),
        action_on_empty=_boolean(element, "actionOnEmptyResult", False, warnings),
    )


def _record(element: ET.Element, warnings: list[str]) -> Record:
    return Record(
        action=element.get("action"),
        method=element.get("method", "POST"),
        timeout_s=_integer(element, "timeout", 5, warnings),
        max_length_s=_integer(element, "maxLength", 3600, warnings),
        finish_on_key=element.get("finishOnKey", "1234567890*#"),
        beep=_boolean(element, "playBeep", True, warnings),
        trim=element.get("trim", "trim-silence") == "trim-silence",
        status=_callback(element, _RECORDING_STATUS),
    )


def _callback(element: ET.Element, names: Sequence[str]) -> Callback:
    url, events, method = names
    if not element.get(url):
        return NO_CALLBACK
    default = _DEFAULT_EVENTS.get(element.tag, "completed")
    return Callback(
        element.attrib[url],
        element.get(method, "POST"),
        tuple(element.get(events, default).split()),
    )


def _check_attributes(element: ET.Element, warnings: list[str]) -> None:
    known = _ATTRIBUTES.get(element.tag)
    if known is not None:
        warnings.extend(
            f"attribute {name!r} of <{element.tag}> is unknown"
            for name in element.attrib
            if name not in known
        )
    for name, value in element.attrib.items():
        events = _EVENTS.get(element.tag) if name == "statusCallbackEvent" else None
        words = events or _WORDS.get(name)
        if words is not None and not words.issuperset(value.split() or [""]):
            warnings.append(f"{name}={value!r} of <{element.tag}>: one of {sorted(words)}")


def _integer(element: ET.Element, name: str, default: int, warnings: list[str]) -> int:
    text = element.get(name, str(default))
    if text.isascii() and text.isdigit():
        return int(text)
    warnings.append(f"{name}={text!r} of <{element.tag}> is no number")
    return default


def _boolean(element: ET.Element, name: str, default: bool, warnings: list[str]) -> bool:
    text = element.get(name, str(default).lower())
    if text in ("true", "false"):
        return text == "true"
    warnings.append(f"{name}={text!r} of <{element.tag}> is neither true nor false")
    return default


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
