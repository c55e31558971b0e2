"""TwiML as Twilio reads it: one document becomes a tuple of verbs, and warnings.

Only the verbs that the simulated cloud can perform; any other is a warning (12200) and skipped,
as is a misspelt attribute: TwiML is case-sensitive. A document that is no XML is 12100.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.errors import PortError

MAX_PARAMETER = 500  # characters of a <Parameter>'s name and value together

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
    "Number": frozenset({"statusCallback", "statusCallbackEvent", "statusCallbackMethod"}),
    "Say": frozenset({"voice", "language", "loop"}),
    "Pause": frozenset({"length"}),
    "Hangup": frozenset(),
    "Reject": frozenset({"reason"}),
}


class TwimlError(PortError):
    """A document that cannot be performed. `code` is Twilio's error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Connect:
    """<Connect><Stream>. URLs are as written; action is None when there is none."""

    stream_url: str
    action: str | None = None
    method: str = "POST"
    name: str = ""
    status_callback: str | None = None
    status_method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dial:
    """<Dial> of one or more numbers, all rung at once."""

    numbers: tuple[str, ...]
    action: str | None = None
    method: str = "POST"
    timeout_s: int = 30
    caller_id: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: int = 1


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Reject:
    reason: str = "rejected"


Verb: TypeAlias = Connect | Dial | Say | Pause | Redirect | Hangup | Reject


@dataclass(frozen=True, slots=True)
class Document:
    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()


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
    _check_attributes(element, warnings)
    get = element.attrib.get
    match element.tag:
        case "Connect":
            return _connect(element, warnings)
        case "Dial":
            return _dial(element, warnings)
        case "Say":
            return Say(_text(element), _integer(element, "loop", 1, warnings))
        case "Pause":
            return Pause(_integer(element, "length", 1, warnings))
        case "Redirect":
            return Redirect(_text(element), get("method", "POST"))
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(get("reason", "rejected"))
        case tag:
            warnings.append(f"<{tag}> is no verb, or not one that is simulated")
            return None


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


def _dial(element: ET.Element, warnings: list[str]) -> Dial | None:
    numbers = [_text(element)] if _text(element) else []
    for child in element:
        _check_attributes(child, warnings)
        if child.tag == "Number" and _text(child):
            numbers.append(_text(child))
        else:
            warnings.append(f"<{child.tag}> in <Dial>: a <Number> with digits is wanted")
    if not numbers:
        warnings.append("<Dial> has nobody to dial")
        return None
    return Dial(
        numbers=tuple(numbers),
        action=element.get("action"),
        method=element.get("method", "POST"),
        timeout_s=_integer(element, "timeout", 30, warnings),
        caller_id=element.get("callerId", ""),
    )


def _check_attributes(element: ET.Element, warnings: list[str]) -> None:
    known = _ATTRIBUTES.get(element.tag)
    if known is not None:
        warnings.extend(
            f"attribute {name!r} of <{element.tag}> is unknown"
            for name in element.attrib
            if name not in known
        )


def _integer(element: ET.Element, name: str, default: int, warnings: list[str]) -> int:
    text = element.get(name, str(default))
    if text.isascii() and text.isdigit():
        return int(text)
    warnings.append(f"{name}={text!r} of <{element.tag}> is no number")
    return default


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
