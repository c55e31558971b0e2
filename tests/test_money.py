"""Money in a whole relay: calls cost something, caps are held, the day's by all processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing
import trio

from relay.adapters.store import SqlStore, open_store
from relay.config import Settings
from relay.ports import CallSummary
from relay.server import Served
from relay.sim.brains import Scripted, reply, say
from relay.sim.person import Person
from relay.sim.realtime import Options
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import open_internet
from relay.sim.ulaw import tone
from tests.readers import Models
from tests.test_wiring import CALLER, PUBLIC, make_settings, open_relay

pytestmark = pytest.mark.in_one_process


def chatty() -> Scripted:
    return Scripted(otherwise=reply(say("From nine to five.", ms=400)), heard=["When?"] * 9)


@asynccontextmanager
async def relay(settings: Settings) -> AsyncIterator[Served]:
    models = Models(chatty, Options(judge="level"))
    async with open_relay(settings, model_dialer=models.dial) as served:
        yield served


async def ask(port: int, questions: int = 1) -> PhoneCall:
    """Ring, hear the greeting out, ask, and stay on the line until nobody speaks."""

    async def script(caller: Person) -> None:
        await caller.hear_voice(0, timeout_s=5)
        await caller.hear_silence(1500, timeout_s=30)
        for _ in range(questions):
            asked = caller.line.sample(await caller.say(tone(700, 900)))
            await caller.hear_voice(asked, timeout_s=10)
            await caller.hear_silence(600, timeout_s=15)
        caller.hang_up()

    async with open_internet({PUBLIC: f"http://127.0.0.1:{port}"}) as network:
        cloud = TwilioCloud("AC" + "0" * 32, "12345", network)
        pages = (f"{PUBLIC}/twilio/{name}" for name in ("incoming", "fallback", "status"))
        placed = cloud.place(Number("+14155550100", *pages), CALLER)
        await cloud.run(placed, script)
        return placed


def summary(store: SqlStore, call_sid: str) -> CallSummary:
    return next(call for call in store.overview(10) if call.call_sid == call_sid)


def opened(settings: Settings) -> SqlStore:
    return open_store(settings.database_url.get_secret_value())


async def test_a_call_costs_what_its_rows_say(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with trio.fail_after(60):
        async with relay(settings) as served:
            placed = await ask(served.port)
    store = opened(settings)
    spend = store.everything(placed.sid)["spend"]
    cost = summary(store, placed.sid).micro_usd
    (day,) = store.costs(10)
    store.close()
    assert sorted(row["kind"] for row in spend) == ["phone", "response", "transcription"]
    assert {row["note"] for row in spend} == {""}
    assert {row["model"] for row in spend} == {"", "gpt-realtime-2.1-mini", "gpt-transcribe"}
    assert cost == sum(row["micro_usd"] for row in spend) == day.model + day.words + day.phone
    assert (day.calls, day.phone) == (1, 12_500)


async def test_a_call_at_its_cap_is_handed_on(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, MAX_CALL_USD="0.000001")
    with trio.fail_after(60):
        async with relay(settings) as served:
            placed = await ask(served.port, questions=0)
            await trio.sleep(0.5)
    store = opened(settings)
    row = summary(store, placed.sid)
    found = store.everything(placed.sid)
    store.close()
    assert found["calls"][0]["disposition"] == "fallback"
    assert found["calls"][0]["disposition_reason"] == "max_call_usd"
    assert row.outcome == "failed"
    assert {line["kind"] for line in found["spend"]} == {"phone"}, "no response was asked for"


async def test_the_day_s_cap_is_held_by_two_processes_together(tmp_path: Path) -> None:
    """What the first one's call has cost keeps new calls from the second one's agent."""
    settings, other = (
        make_settings(tmp_path, MAX_DAY_USD="0.01", SPOOL_DIR=str(tmp_path / name))
        for name in ("first", "second")
    )
    with trio.fail_after(90), structlog.testing.capture_logs() as logs:
        async with relay(settings) as first, relay(other) as second:
            one = await ask(first.port, questions=0)
            await trio.sleep(5.5)  # the second one looks at the counter every five seconds
            before = len(logs)
            two = await ask(second.port, questions=0)
    store = opened(settings)
    cost = summary(store, one.sid).micro_usd
    nothing = store.everything(two.sid).get("spend", [])
    store.close()
    assert 10_000 <= cost <= 10_000 + 12_500
    assert nothing == []
    refused = [line for line in logs[before:] if line["event"] == "! no stream for a call"]
    assert [line["why"] for line in refused] == ["over_budget"]
