"""Twilio Media Streams: one JSON object a text frame, both ways.

In: `connected`, then one `start`, then `media` every 20 ms with `dtmf` and `mark` between, then
`stop`. Two steps: read `event` alone, then that event's own shape. Unknown events and unknown
fields pass unnoticed, since Twilio may add some any day. Its numbers are strings ("1"), so
decoding is not strict about that.

Out: `media`, each with a `mark` behind it, and `clear`, with exactly these keys. Any other key
makes Twilio drop the message with warning 31951, reported once a stream and silent ever after.

What can be wrong with a frame, each a fixed word for counting:

    binary        a binary frame; Twilio sends text only
    bad_json      no JSON, or text that is no Unicode
    too_deep      nested beyond what can be read
    bad_shape     a known event without what it must have, or no event at all
    bad_format    `start` announces other audio than mu-law, 8 kHz, mono
    before_start  an event that belongs to a stream, and there is none yet
    wrong_stream  an event of another stream
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias, TypeVar, assert_never

import msgspec
from msgspec import Meta, Struct

from relay.core.commands import ClearPhone, SendAudio
from relay.core.events import Event, KeyPressed, MarkEchoed, PhoneStarted, PhoneStopped
from relay.errors import PhoneProtocolError

PhoneCommand: TypeAlias = SendAudio | ClearPhone
T = TypeVar("T")

# ---- what Twilio sends ----------------------------------------------------------------------

# Enough for any count of frames or ms, small enough that sums of it stay plain numbers in JSON.
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Id = Annotated[str, Meta(min_length=1)]
_Digit = Annotated[str, Meta(pattern=r"^[0-9*#A-Da-d]\Z")]


class Media(Struct, frozen=True, gc=False):
    """One frame of the caller, as it came.

    chunk: counts from 1; a gap is lost audio
    timestamp_ms: since the stream's start
    payload: base64 of headerless mu-law at 8 kHz, any length, not yet decoded

    A Struct and not a dataclass because it is built 50 times a second a call, five times faster.
    """

    chunk: int
    timestamp_ms: int
    payload: str


class _Head(Struct, gc=False):
    event: str


class _Format(Struct, frozen=True):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = msgspec.field(name="sampleRate", default=8000)
    channels: int = 1


class _Start(Struct, rename="camel"):
    stream_sid: _Id
    call_sid: _Id
    account_sid: str = ""
    media_format: _Format = _Format()
    custom_parameters: dict[str, str] = {}


class _Frame(Struct, gc=False):
    chunk: _Count
    timestamp: _Count
    payload: str
    track: str = "inbound"


class _Mark(Struct):
    name: str


class _Key(Struct):
    digit: _Digit


class _Message(Struct, rename="camel", gc=False):
    """What every message of a stream has."""

    stream_sid: str


class _StartMessage(_Message):
    start: _Start


class _MediaMessage(_Message, gc=False):
    media: _Frame


class _MarkMessage(_Message):
    mark: _Mark


class _KeyMessage(_Message):
    dtmf: _Key


_HEAD = msgspec.json.Decoder(_Head)
_START = msgspec.json.Decoder(_StartMessage, strict=False)
_MEDIA = msgspec.json.Decoder(_MediaMessage, strict=False)
_MARK = msgspec.json.Decoder(_MarkMessage)
_KEY = msgspec.json.Decoder(_KeyMessage)
_STOP = msgspec.json.Decoder(_Message)


def parse(text: str | bytes, stream_sid: str | None) -> Event | Media | None:
    """Read one frame. stream_sid is the stream that has started, None before that.

    None: an event that is unknown, or known and without meaning for us (`connected`).
    Raises PhoneProtocolError and nothing else.
    """
    if not isinstance(text, str):
        raise PhoneProtocolError("binary")
    reader = _READERS.get(_decode(_HEAD, text).event)
    return None if reader is None else reader(text, stream_sid)


def _media(text: str, stream_sid: str | None) -> Media | None:
    message = _decode(_MEDIA, text)
    _same_stream(message, stream_sid)
    media = message.media
    if media.track.startswith("outbound"):
        return None  # our own voice; a bidirectional stream never carries it, a forked one may
    return Media(media.chunk, media.timestamp, media.payload)


def _start(text: str, stream_sid: str | None) -> PhoneStarted:
    message = _decode(_START, text)
    start = message.start
    if message.stream_sid != start.stream_sid or stream_sid not in {None, start.stream_sid}:
        raise PhoneProtocolError("wrong_stream")
    if start.media_format != _Format():
        raise PhoneProtocolError("bad_format")
    return PhoneStarted(
        start.stream_sid, start.call_sid, start.account_sid, start.custom_parameters
    )


def _mark(text: str, stream_sid: str | None) -> MarkEchoed:
    message = _decode(_MARK, text)
    _same_stream(message, stream_sid)
    return MarkEchoed(message.mark.name)


def _key(text: str, stream_sid: str | None) -> KeyPressed:
    message = _decode(_KEY, text)
    _same_stream(message, stream_sid)
    return KeyPressed(message.dtmf.digit.upper())


def _stop(text: str, stream_sid: str | None) -> PhoneStopped:
    _same_stream(_decode(_STOP, text), stream_sid)
    return PhoneStopped()


_READERS: Final[dict[str, Callable[[str, str | None], Event | Media | None]]] = {
    "media": _media,
    "start": _start,
    "mark": _mark,
    "dtmf": _key,
    "stop": _stop,
}


def _same_stream(message: _Message, stream_sid: str | None) -> None:
    if message.stream_sid != stream_sid:
        raise PhoneProtocolError("before_start" if stream_sid is None else "wrong_stream")


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as exc:  # names the field, never its value
        raise PhoneProtocolError("bad_shape", str(exc)) from None
    except (msgspec.DecodeError, UnicodeError):
        raise PhoneProtocolError("bad_json") from None
    except RecursionError:
        raise PhoneProtocolError("too_deep") from None


# ---- what we send ---------------------------------------------------------------------------


class _Payload(Struct, gc=False):
    payload: bytes  # msgspec writes bytes as base64


class _Name(Struct):
    name: str


class _MediaOut(Struct, tag_field="event", tag="media", rename="camel", gc=False):
    stream_sid: str
    media: _Payload


class _MarkOut(Struct, tag_field="event", tag="mark", rename="camel"):
    stream_sid: str
    mark: _Name


class _ClearOut(Struct, tag_field="event", tag="clear", rename="camel"):
    stream_sid: str


_encode = msgspec.json.Encoder().encode


def render(command: PhoneCommand, stream_sid: str) -> list[str]:
    """Spell one command for the stream that `start` named. Returns its messages, in order."""
    match command:
        case SendAudio(mulaw, mark):
            messages: list[Struct] = [
                _MediaOut(stream_sid, _Payload(mulaw)),
                _MarkOut(stream_sid, _Name(mark)),
            ]
        case ClearPhone():
            messages = [_ClearOut(stream_sid)]
        case _:
            assert_never(command)
    return [_encode(message).decode() for message in messages]
