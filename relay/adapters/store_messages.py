"""What callers leave for people to read: one row an idempotency key, the first one stays."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from relay.adapters.store_records import inserted
from relay.adapters.store_tables import messages
from relay.ports import Message


def leave(connection: sa.Connection, message: Message, key: str, at: datetime) -> None:
    """Keep a message; the same key again changes nothing."""
    row = {
        "key": key,
        "kind": message.kind,
        "name": message.name,
        "phone": message.phone,
        "call_back": message.call_back,
        "about": message.about,
        "text": message.text,
        "at": at,
    }
    inserted(connection, messages, row)
