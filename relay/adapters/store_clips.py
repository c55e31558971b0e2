"""Clips in the agent's own voice: one row for each (model, voice, text), the latest rendering.

The key is a hash of the three, so that any of them may be long. The sound has a hash of its own,
which is looked at whenever it is read: half a clip would be heard by every caller.
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa

from relay.adapters.store_records import insert
from relay.adapters.store_tables import clips
from relay.ports import StoredClip


def key_of(model: str, voice: str, text: str) -> str:
    """What a clip is found under."""
    return hashlib.sha256(json.dumps([model, voice, text]).encode()).hexdigest()


def hash_of(mulaw: bytes) -> str:
    """What a clip's sound must hash to."""
    return hashlib.sha256(mulaw).hexdigest()


def find(connection: sa.Connection, model: str, voice: str) -> list[StoredClip]:
    """The whole clips in a voice."""
    query = sa.select(clips).where(clips.c.model == model, clips.c.voice == voice)
    return [
        StoredClip(row.model, row.voice, row.text, row.mulaw, row.rendered_at)
        for row in connection.execute(query)
        if hash_of(row.mulaw) == row.content_hash
    ]


def keep(connection: sa.Connection, clip: StoredClip) -> None:
    """Insert a clip, or put it in the place of an earlier one."""
    row = {
        "key": key_of(clip.model, clip.voice, clip.text),
        "model": clip.model,
        "voice": clip.voice,
        "text": clip.text,
        "mulaw": clip.mulaw,
        "content_hash": hash_of(clip.mulaw),
        "rendered_at": clip.rendered_at,
    }
    statement = insert(connection.dialect.name, clips).values(row)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[clips.c.key],
            set_={name: new[name] for name in ("mulaw", "content_hash", "rendered_at")},
            where=new.rendered_at >= clips.c.rendered_at,
        )
    )
