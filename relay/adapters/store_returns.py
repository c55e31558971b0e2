"""A call that goes on after its stream, read from the rows that everything is kept in anyway.

Returns are rows of stream_claims, found by the names that they were claimed with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from relay.adapters.store_tables import (
    calls,
    consents,
    intents,
    notices,
    spend,
    stream_claims,
    tool_calls,
    transcripts,
)
from relay.ports import CallPast, Standing
from relay.ports.returns import MAX_RETURNS, WHYS, WhyBack, return_nonce

#: How the core names the clips among the agent's lines; all others are the model's own words.
_CLIP: Final = "clip_"
#: Notices that tell of nothing that was done for the caller.
_NO_DEEDS: Final = ("failed", "flagged")


def _query(table: sa.Table, *columns: Any) -> sa.Select[Any]:
    return sa.select(*columns).where(table.c.call_sid == sa.bindparam("call_sid"))


_SAID: Final = _query(
    transcripts, transcripts.c.speaker, transcripts.c.heard_text, transcripts.c.item_id
).order_by(transcripts.c.position, transcripts.c.started_at)
_CALLED: Final = _query(
    tool_calls,
    tool_calls.c.name,
    tool_calls.c.arguments,
    tool_calls.c.status,
    tool_calls.c.output,
).order_by(tool_calls.c.at, tool_calls.c.call_id)
_OUTCOMES: Final = _query(intents, intents.c.outcome).order_by(intents.c.ended_at)
_NOTICES: Final = (
    _query(notices, notices.c.text).where(notices.c.kind.not_in(_NO_DEEDS)).order_by(notices.c.at)
)
_COST: Final = _query(spend, sa.func.sum(spend.c.micro_usd))
_GREETED: Final = _query(consents, consents.c.greeting_ms)
_MODELS: Final = _query(spend, spend.c.model).where(spend.c.kind == "response").distinct()


def standing(connection: sa.Connection, call_sid: str) -> Standing | None:
    """Where a call stands; None for one that is not known."""
    columns = calls.c
    query = sa.select(
        columns.stream_sid,
        columns.disposition,
        columns.disposition_at,
        columns.disposition_returns,
    )
    row = connection.execute(query.where(columns.call_sid == call_sid)).first()
    if row is None:
        return None
    returns = _returns(connection, call_sid)
    return Standing(
        row.stream_sid != "",
        row.disposition,
        row.disposition_at,
        returns,
        row.disposition_returns,
    )


def _returns(connection: sa.Connection, call_sid: str) -> tuple[tuple[WhyBack, datetime], ...]:
    names: dict[str, WhyBack] = {
        return_nonce(why, call_sid, number): why
        for why in WHYS
        for number in range(1, MAX_RETURNS + 1)
    }
    claims = sa.select(stream_claims.c.nonce, stream_claims.c.at)
    claims = claims.where(stream_claims.c.nonce.in_(names)).order_by(stream_claims.c.at)
    return tuple((names[nonce], at) for nonce, at in connection.execute(claims))


def claimed(connection: sa.Connection, nonce: str) -> bool:
    """Whether a nonce was used up."""
    query = sa.select(sa.exists().where(stream_claims.c.nonce == nonce))
    return bool(connection.scalar(query))


def past(connection: sa.Connection, call_sid: str) -> CallPast | None:
    """What a call has come to; None for one that is not known."""
    began = connection.scalar(sa.select(calls.c.started_at).where(calls.c.call_sid == call_sid))
    if began is None:
        return None
    said = _of_call(connection, _SAID, call_sid)
    cost = _of_call(connection, _COST, call_sid)
    return CallPast(
        began,
        tuple((speaker, text) for speaker, text, _ in said),
        sum(speaker == "agent" and not item.startswith(_CLIP) for speaker, _, item in said),
        tuple(
            (name, arguments, status, output)
            for name, arguments, status, output in _of_call(connection, _CALLED, call_sid)
        ),
        _once(_of_call(connection, _OUTCOMES, call_sid)),
        _once(_of_call(connection, _NOTICES, call_sid)[::-1])[::-1],
        int(cost[0][0] or 0),
        frozenset(model for (model,) in _of_call(connection, _MODELS, call_sid)),
        len(_returns(connection, call_sid)),
        connection.scalar(_GREETED, {"call_sid": call_sid}),
    )


def _of_call(connection: sa.Connection, query: sa.Select[Any], call_sid: str) -> list[Any]:
    return list(connection.execute(query, {"call_sid": call_sid}))


def _once(texts: list[Any]) -> tuple[str, ...]:
    """Texts in their order, each where it first stands: a notice is a row for each channel."""
    return tuple(dict.fromkeys(text for (text,) in texts if text))
