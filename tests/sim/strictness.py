"""Is everything that a simulated session sent what the `openai` package's types know?

The walk is tests/wire/strictness.py. The one thing that it cannot know: the types of
`session.created` and `session.updated` are those of a request and lack what the server adds to a
session. Those fields are judged by the type of a session that the server describes elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openai.types.realtime.realtime_session_create_response import RealtimeSessionCreateResponse

from relay.sim.realtime import Session
from tests.wire.strictness import extras, server_object

SERVERS_OWN = frozenset({"id", "object", "expires_at"})


def check_event(event: dict[str, Any]) -> None:
    """AssertionError names each field that the API does not have."""
    if event["type"] in ("session.created", "session.updated"):
        described = {k: v for k, v in event["session"].items() if k != "parallel_tool_calls"}
        unknown = list(extras(RealtimeSessionCreateResponse.model_validate(described)))
        assert not unknown, f"a session has no {unknown}"
        asked = {k: v for k, v in event["session"].items() if k not in SERVERS_OWN}
        event = {**event, "session": asked}
    server_object(event)


def check_events(events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        check_event(event)


def check_session(session: Session) -> None:
    """Every event stands in the types, ids are unique, and each response has one beginning and
    one end, with whatever belongs to it in between."""
    check_events(session.sent)
    ids = [event["event_id"] for event in session.sent]
    assert len(ids) == len(set(ids))
    assert not session.sent or session.sent[0]["type"] == "session.created"
    running: set[str] = set()
    ended: set[str] = set()
    for event in session.sent:
        response = event.get("response_id") or event.get("response", {}).get("id")
        match event["type"]:
            case "response.created":
                assert response not in running | ended
                running.add(response)
            case "response.done":
                running.remove(response)
                ended.add(response)
            case _ if response:
                assert response in running, f"{event['type']} outside of its response"
    check_chain(session)


def check_chain(session: Session) -> None:
    """Each `previous_item_id` names an item that was announced before."""
    known = {None}
    for event in session.sent:
        if "previous_item_id" in event:
            assert event["previous_item_id"] in known, event
        known.add(event.get("item_id"))
        known.add(event.get("item", {}).get("id"))
