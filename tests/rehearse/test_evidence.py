"""A call as it is read from the relay's own database, written by the relay's own store."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from relay.adapters.store_tables import bookings, call_outcomes, spend, tool_calls, transcripts
from relay.demo.caller import Timing
from relay.rehearse.evidence import Book, Booked, Used, gather, spent
from relay.rehearse.stage import affords_another
from relay.sim.twilio_call import Number, PhoneCall
from tests.databases import migrated

AT = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
SID, PHONE = "CA1", "+14155550123"
STARTS = datetime.fromisoformat("2026-11-27T10:00:00")


def make_call(sid: str = SID) -> PhoneCall:
    """A call, inside of a Trio program."""
    return PhoneCall(Number("+15125550100", "https://relay.demo/in"), PHONE, "AC1", sid=sid)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "relay.db"
    migrated(file)
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for sid, n, who, text in (
            (SID, 1, "agent", "At ten?"),
            (SID, 0, "caller", "a cleaning"),
            (SID, 2, "agent", ""),
            ("CA-other", 0, "agent", "Hello"),
        ):
            connection.execute(
                sa.insert(transcripts).values(
                    call_sid=sid,
                    item_id=f"item{n}",
                    position=n,
                    started_at=AT,
                    speaker=who,
                    generated_text="more than was heard",
                    heard_text=text,
                    interrupted=False,
                )
            )
        connection.execute(
            sa.insert(tool_calls).values(
                call_sid=SID,
                call_id="c1",
                at=AT + timedelta(seconds=3),
                name="book_appointment",
                arguments='{"day": "friday"}',
                status="ok",
                output="not JSON",
                duration_ms=1000,
            )
        )
        connection.execute(
            sa.insert(bookings).values(
                key="k",
                reference="1",
                service="cleaning",
                starts_at=STARTS,
                name="Peter",
                phone=PHONE,
                booked_at=AT,
                state="cancelled",
            )
        )
        connection.execute(
            sa.insert(call_outcomes).values(call_sid=SID, outcome="booked", reason="goodbye")
        )
        zeros = dict.fromkeys(
            (
                *("input_text", "input_audio", "cached_text", "cached_audio"),
                *("output_text", "output_audio", "audio_ms"),
            ),
            0,
        )
        for ref, kind, micro in (("r", "response", 700), ("w", "transcription", 50)):
            connection.execute(
                sa.insert(spend).values(
                    call_sid=SID,
                    ref=ref,
                    at=AT,
                    kind=kind,
                    micro_usd=micro,
                    model="m",
                    note="",
                    **zeros,
                )
            )
        connection.execute(
            sa.insert(spend).values(
                call_sid=SID,
                ref="p",
                at=AT,
                kind="phone",
                micro_usd=12_500,
                model="",
                note="",
                **zeros,
            )
        )
    engine.dispose()
    return file


async def test_a_call_is_read_as_it_was_written(file: Path) -> None:
    call = make_call()
    call.complain(31921, "the stream was closed")
    call.end("relay")
    seen = gather(Book(file).rows(), call, Timing(150.0, [900.0]), gave_up=True)
    assert (seen.sid, seen.caller) == (call.sid, "+14155550123")
    assert (seen.greeting_ms, seen.answers_ms, seen.gave_up) == (150.0, (900.0,), True)
    assert [(line.who, line.text) for line in seen.lines] == [
        ("caller", "a cleaning"),
        ("agent", "At ten?"),
    ]
    assert seen.agent == ["At ten?"]
    began = seen.lines[0].at + timedelta(seconds=2)  # when it was called, not when it ended
    assert seen.used == [Used("book_appointment", {"day": "friday"}, "ok", {}, began)]
    assert seen.bookings == [Booked("cleaning", STARTS, "Peter", call.caller, standing=False)]
    assert (seen.outcome, seen.reason, seen.ended_by) == ("booked", "goodbye", "relay")
    assert seen.complaints == ["the stream was closed"]
    assert seen.micro_usd == 750  # the telephone is simulated


async def test_a_call_that_left_nothing(file: Path) -> None:
    seen = gather(Book(file).rows(), make_call("CA2"), Timing(), gave_up=False)
    assert (seen.lines, seen.used, seen.outcome, seen.micro_usd) == ([], [], "", 0)


def test_a_caller_can_look_while_the_call_goes_on(file: Path) -> None:
    book = Book(file)
    assert book.agent_said(SID) == ["At ten?"]
    assert book.used(SID, "book_appointment")
    assert not book.used(SID, "end_call")
    assert not book.used("CA-other", "book_appointment")


def test_no_call_is_placed_when_the_money_is_nearly_spent(file: Path) -> None:
    rows = Book(file).rows()
    assert spent(rows["spend"]) == 750
    assert affords_another(rows, Decimal("0.0009"))
    assert not affords_another(rows, Decimal("0.0008"))
    over = [{**rows["call_outcomes"][0], "reason": "fallback: max_day_usd"}]
    assert not affords_another({**rows, "call_outcomes": over}, Decimal(1))
