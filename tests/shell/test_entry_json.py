"""Entries as JSON: there and back, for every kind of record; and what is not known."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ports import Entry, Kept, TranscriptLine
from relay.shell.entry_json import UnknownEntry, decode, encode

MOMENTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(codec="utf-8"))
#: No clock shows infinity, and nothing costs more than a whole number in JSON can say.
VALUES = {
    "str": TEXTS,
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "int": st.integers(0, 2**53 - 1),
}
ENTRIES = st.builds(
    Entry,
    TEXTS,
    MOMENTS,
    st.one_of(
        *(
            st.builds(
                kind,
                **{
                    field.name: VALUES[str(field.type)]
                    for field in fields(kind)
                    if field.type in VALUES and field.name != "status"
                },
            )
            for kind in get_args(Kept)
        )
    ),
)


@given(ENTRIES)
def test_every_kind_of_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


def test_a_moment_keeps_its_place_in_time() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    entry = Entry("CA1", datetime(2026, 11, 20, tzinfo=kathmandu), LINE)
    assert decode(encode(entry)).at == entry.at


LINE = TranscriptLine(1.0, "item", "agent", 0, "text", "text", 5)


def test_text_that_is_no_unicode_is_mended() -> None:
    line = TranscriptLine(1.0, "item", "agent", 0, "a\ud800b", "\ud83d\udca5", 5)
    record = decode(encode(Entry("CA1", datetime(2026, 11, 20, tzinfo=UTC), line))).record
    assert isinstance(record, TranscriptLine)
    assert (record.generated_text, record.heard_text) == ("a\ufffdb", "💥")


def changed(**changes: object) -> bytes:
    whole = msgspec.json.decode(encode(Entry("CA1", datetime(2026, 11, 20, tzinfo=UTC), LINE)))
    return msgspec.json.encode({**whole, **changes})


def test_fields_of_a_later_version_are_passed_over() -> None:
    record = {"at": 1.0, "item_id": "i", "speaker": "agent", "position": 0}
    texts = {"generated_text": "", "heard_text": ""}
    entry = decode(changed(record={**record, **texts, "mood": "good"}))
    assert entry.record == TranscriptLine(1.0, "i", "agent", 0, "", "")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (changed(v=2), "TranscriptLine of version 2"),
        (changed(kind="Hologram"), "Hologram of version 1"),
        (changed(record={}), "unreadable"),
        (changed(at="yesterday"), "unreadable"),
        (b"\xff", "unreadable"),
        (b"{", "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b"null", "unreadable"),
    ],
)
def test_what_this_version_does_not_know_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(UnknownEntry, match=kind):
        decode(data)
