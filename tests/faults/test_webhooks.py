"""Webhooks twice, late, out of order, forged: a call has one outcome, and the same one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.records import CallEnded, DispositionChosen
from relay.ports import Entry
from tests.web.conftest import CALLER, OURS, Office, make_office

HISTORY = ("incoming", "started", "stopped", "after-stream", "completed")
FORMS = {
    "incoming": ("incoming", {"CallStatus": "ringing"}),
    "started": ("stream-status", {"StreamEvent": "stream-started"}),
    "stopped": ("stream-status", {"StreamEvent": "stream-stopped"}),
    "after-stream": ("after-stream", {"CallStatus": "in-progress"}),
    "completed": ("status", {"CallStatus": "completed"}),
}


async def carry(office: Office, how: str) -> None:
    """The call's own stream, from its handshake to its end."""
    line = office.board.line("CA1")
    assert line is not None
    path = f"/twilio/stream/{line.token}"
    if await office.board.admit(
        path, line.token, office.sign_url(f"wss://relay.example.com{path}")
    ):
        with office.board.on_line("CA1") as choose:
            choose("hang_up")
        at = datetime.now(UTC)
        office.kept += [
            Entry("CA1", at, DispositionChosen(1.0, "hang_up", how)),
            Entry("CA1", at, CallEnded(1.0, how, "goodbye", 9000, None, True, 0)),
        ]


async def live_through(history: tuple[str, ...], how: str) -> tuple[str | None, int, list[int]]:
    """The outcome in the end, how many ends there are, and each webhook's answer."""
    office, statuses, carried = make_office(), [], False
    for step in history:
        page, form = FORMS[step]
        statuses.append((await office.post(page, **form)).status_code)
        if step == "incoming" and not carried:
            carried = True
            await carry(office, how)
    office.store.write(office.kept)
    ends = sum(isinstance(entry.record, CallEnded) for entry in office.kept)
    return office.store.rows["CA1"].outcome, ends, statuses


HISTORIES = st.permutations(HISTORY).flatmap(
    lambda order: st.lists(st.sampled_from(HISTORY), max_size=4).flatmap(
        lambda more: st.permutations([*order, *more])
    )
)


@given(HISTORIES, st.sampled_from(["resolved", "failed", "transferred"]))
@settings(max_examples=60, deadline=None)
def test_any_order_and_any_repetition_ends_in_the_call_s_own_outcome(history, how) -> None:
    outcome, ends, statuses = trio.run(live_through, tuple(history), how)
    assert set(statuses) <= {200, 204}
    assert (outcome, ends) == (how, 1)


async def test_a_status_that_never_comes_is_not_missed() -> None:
    outcome, ends, _ = await live_through(("incoming", "after-stream"), "resolved")
    assert (outcome, ends) == ("resolved", 1)


async def test_no_byte_of_a_signed_webhook_can_be_changed(office: Office) -> None:
    form = {"CallSid": "CA1", "From": CALLER, "To": OURS, "CallStatus": "ringing", "Blank": ""}
    body, dice = urlencode(form), random.Random(3)
    signed = office.sign("/twilio/incoming", form)
    accepted = []
    for at in range(len(body)):
        for byte in dice.sample([c for c in "0Z&=+%~" if c != body[at]], 3):
            changed = body[:at] + byte + body[at + 1 :]
            reply = await office.post_form("/twilio/incoming", form, signed=signed, body=changed)
            if reply.status_code != 403:
                accepted.append((at, byte))
    assert accepted == []
    assert office.kept == [], "nothing was believed"
    reply = await office.post_form("/twilio/incoming", form, signed=signed, body=body)
    assert reply.status_code == 200


async def test_an_old_webhook_that_is_replayed_opens_nothing(office: Office) -> None:
    """Its answer is the call's own, whose token is used up: whoever replays it gets no stream."""
    await office.post("incoming")
    await carry(office, "resolved")
    await office.post("status", CallStatus="completed")
    again = await office.twiml("incoming")
    stream = again.find("Connect/Stream")
    assert stream is not None
    path = str(stream.get("url")).removeprefix("wss://relay.example.com")
    signed = office.sign_url(f"wss://relay.example.com{path}")
    assert await office.board.admit(path, path.rpartition("/")[2], signed) is None
    assert office.board.busy() == 0


@pytest.fixture
def office() -> Office:
    return make_office()
