"""The whole relay, wired by its settings, phoned over real sockets on the real clock."""

from __future__ import annotations

import io
import json
import logging
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import structlog.testing
import trio

from relay import config, wiring
from relay.adapters.store import open_store
from relay.cabinet import AFTER_HOURS
from relay.config import Settings
from relay.core.policy import CLIP_NAMES
from relay.errors import ConfigError, DialError, StoreError
from relay.logs import set_up_logs
from relay.ports import Socket
from relay.prompts import PLAIN, RECORDED, TRANSCRIBED
from relay.server import Served
from relay.shell.kit import CallFacts
from relay.shell.model_watch import LIMIT
from relay.sim.brains import Scripted
from relay.sim.pair import memory_pair
from relay.sim.person import Person
from relay.sim.realtime import Options, Session, serve_session
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import open_internet
from relay.stop import Stop
from relay.trust import authorities
from relay.wiring_model import reasoning_effort
from tests.readers import Models

PUBLIC = "https://relay.example.com"
CALLER = "+14155550123"
PROMPTS = Path(__file__).parents[1] / "prompts"


def make_settings(folder: Path, **changes: str) -> Settings:
    return config.load(
        {
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "12345",
            "TWILIO_PHONE_NUMBER": "+14155550100",
            "HUMAN_TRANSFER_NUMBER": "+14155550199",
            "PUBLIC_URL": PUBLIC,
            "OPENAI_API_KEY": "sk-secret",
            "CLIPS": "packaged",
            "DATABASE_URL": f"sqlite:///{folder}/relay.db",
            "PROMPTS_DIR": str(PROMPTS),
            "HOST": "127.0.0.1",
            "PORT": "0",
            **changes,
        }
    )


@asynccontextmanager
async def scripted_model(sessions: list[Session], call: CallFacts) -> AsyncIterator[Socket]:
    """A model on the other side of a memory pair."""
    ours, theirs = memory_pair()
    session = Session()
    sessions.append(session)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_session, theirs, Scripted(), session=session))
        yield ours
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_relay(settings: Settings, **overrides: object) -> AsyncIterator[Served]:
    stop = Stop()
    async with trio.open_nursery() as nursery:
        serve = partial(wiring.serve, settings, stop=stop, **overrides)
        yield await nursery.start(serve)
        stop.ask()


async def phone(port: int, listen_s: float) -> PhoneCall:
    """Place a call, listen for a while after the first sound, hang up."""

    async def script(caller: Person) -> None:
        await caller.hear_voice(0, timeout_s=5)
        await trio.sleep(listen_s)
        caller.hang_up()

    async with open_internet({PUBLIC: f"http://127.0.0.1:{port}"}) as network:
        cloud = TwilioCloud("AC" + "0" * 32, "12345", network)
        number = Number(
            "+14155550100",
            f"{PUBLIC}/twilio/incoming",
            f"{PUBLIC}/twilio/fallback",
            f"{PUBLIC}/twilio/status",
        )
        call = cloud.place(number, CALLER)
        await cloud.run(call, script)
        return call


async def test_a_call_is_greeted_carried_and_written_down(tmp_path: Path) -> None:
    settings, sessions = make_settings(tmp_path), []
    with trio.fail_after(20):
        async with open_relay(settings, model_dialer=partial(scripted_model, sessions)) as served:
            call = await phone(served.port, listen_s=0.5)
    assert [exchange.status for exchange in call.exchanges] == [200] + [204] * (
        len(call.exchanges) - 1
    )
    assert call.complaints == []
    instructions = sessions[0].config["instructions"]
    assert CALLER in instructions
    assert "{" not in instructions
    store = open_store(settings.database_url.get_secret_value())
    row = store.call(call.sid)
    store.close()
    assert row is not None
    assert (row.caller, row.called) == (CALLER, "+14155550100")
    assert row.outcome == "abandoned"


async def test_the_metrics_know_of_a_call_and_the_log_of_no_person(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = make_settings(tmp_path, METRICS_PORT=str(port))
    secrets = {CALLER, "sk-secret", "12345", settings.human_transfer_number}
    log = io.StringIO()
    with trio.fail_after(20), logging_into(log):
        models = partial(scripted_model, [])
        async with (
            open_relay(settings, model_dialer=models) as served,
            httpx.AsyncClient(trust_env=False, verify=authorities()) as client,
        ):
            call = await phone(served.port, listen_s=0.5)
            public = await client.get(f"http://127.0.0.1:{served.port}/metrics")
            page = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert public.status_code == 404
    assert 'relay_calls_total{outcome="abandoned"} 1.0' in page.text
    assert "relay_greeting_seconds_count 1.0" in page.text
    assert "relay_event_loop_lag_seconds_count" in page.text
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line["event"] for line in lines} >= {"call began", "call over", "= listening"}
    for line in lines:
        if line["logger"] in {"relay.call", "relay.web", "relay.tools"}:
            assert line["call_sid"] == call.sid, line
    for text in (log.getvalue(), page.text):
        assert not [secret for secret in secrets if secret in text]
    assert "/twilio/stream/" not in log.getvalue(), "its token opens a stream"


async def test_when_no_call_finds_a_model_the_next_gets_the_human_at_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, MAX_CALLS_PER_NUMBER="0")
    away = Models()
    away.away = "HTTP 503"
    with trio.fail_after(30), structlog.testing.capture_logs() as logs:
        async with open_relay(settings, model_dialer=away.dial) as served:
            async with trio.open_nursery() as callers:
                for _ in range(LIMIT):
                    callers.start_soon(partial(phone, served.port, listen_s=0.5))
            assert not [line for line in logs if line["event"] == "! no stream for a call"]
            await phone(served.port, listen_s=0.1)
    (refused,) = [line for line in logs if line["event"] == "! no stream for a call"]
    assert refused["why"] == "model_away"


@contextmanager
def logging_into(stream: io.StringIO) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    set_up_logs("DEBUG", stream)
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()


async def test_two_relays_never_share_a_spool(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with trio.fail_after(20):
        async with open_relay(settings, model_dialer=partial(scripted_model, [])):
            with pytest.raises(ConfigError, match="in use by another relay"):
                await wiring.serve(settings)


async def logged(logs: list[Any], event: str) -> None:
    """Wait until something has been logged."""
    while True:
        if any(line["event"] == event for line in logs):
            return
        await trio.sleep(0.02)


def greeting_of(session: Session) -> str:
    """What the model of a call was told that the caller has heard."""
    (first, *_) = [e for e in session.received if e["type"] == "conversation.item.create"]
    return str(first["item"]["content"][0]["text"])


async def test_a_relay_comes_to_its_own_voice_while_it_answers_calls(tmp_path: Path) -> None:
    shutil.copytree(PROMPTS, tmp_path / "prompts")
    text = "Hello from {business_name}! {notice}"
    for name in ("greeting", "after_hours"):
        (tmp_path / "prompts" / f"{name}.md").write_text(text)
    settings = make_settings(tmp_path, CLIPS="model", PROMPTS_DIR=str(tmp_path / "prompts"))
    models = Models(options=Options(pace=1000.0))
    with trio.fail_after(30), structlog.testing.capture_logs() as logs:
        async with open_relay(settings, model_dialer=models.dial) as served:
            await phone(served.port, listen_s=0.2)
            await logged(logs, "= clips recorded")
            call = await phone(served.port, listen_s=0.2)
    assert call.complaints == []
    told = [greeting_of(each) for each in models.sessions if each.config["tools"]]
    packaged = wiring.load_clips()
    assert told[0] in {packaged[name].text for name in ("greeting", "after_hours")}  # by the hour
    assert told[1:] == [f"Hello from Maple Street Dental! {TRANSCRIBED}"]
    async with wiring.open_cabinet(settings) as cabinet:
        assert cabinet.missing() == [], "a restart finds them in the store"


async def test_a_model_that_greets_itself_says_what_fits_the_hour(tmp_path: Path) -> None:
    business = tmp_path / "business.toml"
    other_day = (datetime.now(UTC) + timedelta(days=3)).strftime("%A").lower()
    business.write_text(
        f'name = "Test Clinic"\ntimezone = "UTC"\n[hours]\n{other_day} = ["09:00-17:00"]\n'
    )
    settings = make_settings(tmp_path, GREETING="live", BUSINESS_FILE=str(business))
    models = Models()
    with trio.fail_after(20):
        async with open_relay(settings, model_dialer=models.dial) as served:
            call = await phone(served.port, listen_s=0.5)
    assert call.complaints == []
    (session,) = models.sessions
    (asked,) = [e for e in session.received if e["type"] == "response.create"]
    assert asked["response"]["metadata"] == {"purpose": "greeting"}
    assert "We are closed right now" in asked["response"]["instructions"]
    assert TRANSCRIBED in asked["response"]["instructions"]


async def test_without_its_business_a_relay_still_answers(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, BUSINESS_API_BASE="http://127.0.0.1:9")
    sessions: list[Session] = []
    with trio.fail_after(20), structlog.testing.capture_logs() as logs:
        async with open_relay(settings, model_dialer=partial(scripted_model, sessions)) as served:
            call = await phone(served.port, listen_s=0.3)
    assert call.complaints == []
    assert any("does not say who it is" in line["event"] for line in logs)


async def test_a_model_that_cannot_be_reached_is_a_dial_error(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, OPENAI_REALTIME_URL="ws://127.0.0.1:9/v1/realtime")
    with pytest.raises(DialError):
        async with wiring.dial_openai(settings, CallFacts("CA1", CALLER)):
            pass


@pytest.mark.parametrize(
    ("models", "effort"),
    [
        ({}, "low"),
        ({"REALTIME_MODEL": "gpt-realtime-1.5"}, None),
        ({"REALTIME_MODEL_HARD": "gpt-realtime-1.5"}, None),
        ({"REALTIME_MODEL_HARD": "gpt-realtime-2.1"}, "low"),
    ],
)
def test_models_that_do_not_reason_are_not_told_how_hard_to(
    tmp_path: Path, models: dict[str, str], effort: str | None
) -> None:
    """A field that they do not know would have them refuse the session, and so every call."""
    assert reasoning_effort(make_settings(tmp_path, **models)) == effort


def test_the_model_is_named_in_the_session_s_address(tmp_path: Path) -> None:
    at_openai = make_settings(tmp_path, REALTIME_MODEL="gpt realtime/2")
    assert wiring.session_url(at_openai) == (
        "wss://api.openai.com/v1/realtime?model=gpt+realtime%2F2"
    )
    elsewhere = make_settings(tmp_path, OPENAI_REALTIME_URL="wss://x.example/v1/realtime?a=b")
    assert wiring.session_url(elsewhere).endswith("/v1/realtime?a=b&model=gpt-realtime-2.1-mini")


def test_a_caller_s_pseudonym_tells_nothing_of_the_number(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    name = wiring.pseudonym(settings, CALLER)
    assert name == wiring.pseudonym(settings, CALLER) != wiring.pseudonym(settings, "+14155550124")
    assert len(name) == 64
    other = make_settings(tmp_path, TWILIO_AUTH_TOKEN="other")
    assert wiring.pseudonym(other, CALLER) != name


def test_every_packaged_clip_has_words_and_sound() -> None:
    clips = wiring.load_clips()
    assert set(clips) - {AFTER_HOURS} == set(CLIP_NAMES)
    greetings = wiring.load_clips(recorded=True, plain=True)
    assert set(greetings) - set(clips) == {"greeting_plain", "after_hours_plain"}
    for name in ("greeting", "after_hours"):
        assert RECORDED in greetings[name].text
        assert TRANSCRIBED in clips[name].text
        assert PLAIN in greetings[f"{name}_plain"].text
    spanish = wiring.load_clips(spanish=True)
    assert set(spanish) - set(clips) == {"emergency_es"}
    for clip in (*spanish.values(), *greetings.values()):
        assert clip.text
        assert len(clip.mulaw) > 4000
        assert -40 < clip.level_db < 0


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"DATABASE_URL": "sqlite:////no/such/folder/relay.db"}, StoreError, "folder must exist"),
        ({"PROMPTS_DIR": "/no/such/folder"}, ConfigError, "PROMPTS_DIR"),
        ({"SPOOL_DIR": "/proc/spool"}, ConfigError, "SPOOL_DIR /proc/spool cannot be used"),
        ({"BUSINESS_FILE": "/no/such/file.toml"}, ConfigError, "BUSINESS_FILE /no/such/file"),
        ({"HOST": "256.1.1.1"}, ConfigError, "cannot listen on HOST 256.1.1.1"),
    ],
)
async def test_what_stops_the_start_is_one_clear_line(
    tmp_path: Path, changes: dict[str, str], kind: type[Exception], words: str
) -> None:
    with trio.fail_after(20), pytest.raises((kind, ExceptionGroup)) as caught:
        await wiring.serve(make_settings(tmp_path, **changes))
    error: BaseException = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, kind)
    assert words in str(error)
    assert len(str(error).splitlines()) == 1


def test_a_harder_call_is_dialled_with_the_larger_model(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, REALTIME_MODEL_HARD="gpt-realtime-2.1")
    assert wiring.session_url(settings).endswith("model=gpt-realtime-2.1-mini")
    assert wiring.session_url(settings, hard=True).endswith("model=gpt-realtime-2.1")
    alone = make_settings(tmp_path)
    assert wiring.session_url(alone, hard=True) == wiring.session_url(alone)
