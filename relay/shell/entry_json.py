"""An entry as JSON, for the days that it spends on disk.

    {"v":1, "kind":"ToolCalled", "call_sid":"CA…", "at":"2026-…Z", "record":{…}}

kind is the record's class, record its fields by name. A new field of a record needs a default, or
VERSION must go up: then an entry of before is still read. What this version cannot read, an entry
of a later one that was rolled back, say, becomes an UnknownEntry; the spool keeps it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final, get_args

import msgspec

from relay.errors import RelayError
from relay.ports import Entry, Kept

VERSION: Final = 1

_KINDS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(Kept)}


class UnknownEntry(RelayError):  # noqa: N818 - it is what the entry is
    """Bytes that are whole, but no entry that this version knows. `kind` says what they claim."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Envelope(msgspec.Struct):
    v: int
    kind: str
    call_sid: str
    at: datetime
    record: msgspec.Raw


_read_envelope = msgspec.json.Decoder(_Envelope).decode


def encode(entry: Entry) -> bytes:
    """The entry as bytes. Total: text that is no Unicode is mended, as the database would."""
    try:
        return _encoded(entry)
    except UnicodeEncodeError:
        record: Any = entry.record
        texts = {
            field.name: _whole(value)
            for field in fields(record)
            if isinstance(value := getattr(record, field.name), str)
        }
        return _encoded(Entry(_whole(entry.call_sid), entry.at, replace(record, **texts)))


def decode(data: bytes) -> Entry:
    """The entry again. Raises UnknownEntry."""
    try:
        envelope = _read_envelope(data)
        kind = _KINDS.get(envelope.kind)
        if envelope.v != VERSION or kind is None:
            raise UnknownEntry(f"{envelope.kind[:40]} of version {envelope.v}")
        record = msgspec.json.decode(envelope.record, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnknownEntry(f"unreadable: {str(error)[:100]}") from error
    return Entry(envelope.call_sid, envelope.at, record)


def _encoded(entry: Entry) -> bytes:
    return msgspec.json.encode(
        {
            "v": VERSION,
            "kind": type(entry.record).__name__,
            "call_sid": entry.call_sid,
            "at": entry.at,
            "record": entry.record,
        }
    )


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
