"""The clips' table: kept once a key, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from relay.adapters.store import SqlStore
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import clips
from relay.ports import StoredClip

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HELLO = StoredClip("gpt-realtime", "marin", "Hello! Grüß Gott.", bytes(range(256)) * 50, NOON)


def test_a_clip_comes_back_as_it_was_kept(store: SqlStore) -> None:
    store.keep_clip(HELLO)
    assert list(store.clips("gpt-realtime", "marin")) == [HELLO]


def test_another_model_voice_or_text_is_another_clip(store: SqlStore) -> None:
    others = [
        replace(HELLO, model="gpt-realtime-mini"),
        replace(HELLO, voice="cedar"),
        replace(HELLO, text="Hello?"),
    ]
    for clip in (HELLO, *others):
        store.keep_clip(clip)
    assert [c.text for c in store.clips("gpt-realtime", "cedar")] == [HELLO.text]
    assert {c.text for c in store.clips("gpt-realtime", "marin")} == {HELLO.text, "Hello?"}
    assert store.clips("gpt-realtime", "alloy") == []


def test_of_two_renderings_the_later_one_stays(store: SqlStore) -> None:
    later = replace(HELLO, mulaw=b"\x01\x02", rendered_at=NOON + timedelta(seconds=1))
    for clip in (HELLO, later, HELLO):
        store.keep_clip(clip)
    assert list(store.clips("gpt-realtime", "marin")) == [later]


def test_a_clip_whose_sound_was_damaged_is_not_there(store: SqlStore, database_url: str) -> None:
    store.keep_clip(HELLO)
    store.keep_clip(replace(HELLO, text="Bye."))
    damage = sa.update(clips).where(clips.c.text == HELLO.text).values(mulaw=HELLO.mulaw[:-1])
    engine = make_engine(parse_url(database_url))
    with engine.begin() as connection:
        connection.execute(damage)
    engine.dispose()
    assert [c.text for c in store.clips("gpt-realtime", "marin")] == ["Bye."]
