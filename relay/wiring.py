"""Settings to adapters to calls to a server: the one place that knows everyone.

`serve` runs a whole relay inside the current Trio program: `relay serve` calls it with the
environment's settings, the demo and the tests with their own, a dialler of their own, and port 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from functools import partial

import trio

from relay import server
from relay.about import About
from relay.adapters.store import SqlStore, open_store
from relay.cabinet import Cabinet
from relay.config import Settings
from relay.core.policy import CallPolicy, Effect
from relay.errors import ConfigError
from relay.limits import NumberRules
from relay.metrics import Metrics
from relay.ports import BusinessApi, PhoneControl, Socket, Webhook
from relay.prices import load_prices
from relay.prompts import Prompts
from relay.retention import forget_daily
from relay.seeing import Process, watch_server
from relay.shell.intents import Intents
from relay.shell.journal import Journal
from relay.shell.kit import CallKit
from relay.shell.model_watch import ModelWatch
from relay.shell.recorder import Recorder, into_folder
from relay.shell.recordings import Recordings
from relay.shell.session import run_call
from relay.shell.spool import Spool, open_spool
from relay.shell.stragglers import Stragglers
from relay.shell.tool_runner import UNAVAILABLE, attempt_again
from relay.stop import Stop
from relay.switchboard import Asker, Switchboard
from relay.tools import Tool, registry
from relay.web.app import create_app
from relay.web.desk import FrontDesk
from relay.web.health import Probe
from relay.web.outcomes import Outcomes
from relay.web.twilio import ended
from relay.wiring_business import open_business, ways_away
from relay.wiring_clips import load_clips, make_cabinet, open_cabinet, texts_and_clips
from relay.wiring_humans import make_humans, open_phone_control
from relay.wiring_model import (
    TRANSCRIPTION_MODEL,
    DialModel,
    dial_openai,
    pseudonym,
    session_settings,
    session_url,
)
from relay.wiring_money import call_prices, make_purse, micro
from relay.wiring_notices import channels, make_notifier, open_webhook
from relay.wiring_store import prepare, prepare_when_back, probe
from relay.wiring_voice import make_voice

__all__ = [
    "TRANSCRIPTION_MODEL",
    "DialModel",
    "call_prices",
    "dial_openai",
    "load_clips",
    "open_business",
    "open_cabinet",
    "open_phone_control",
    "pseudonym",
    "serve",
    "session_settings",
    "session_url",
]


async def serve(
    settings: Settings,
    *,
    model_dialer: DialModel | None = None,
    policy: CallPolicy | None = None,
    stop: Stop | None = None,
    process: Process | None = None,
    task_status: trio.TaskStatus[server.Served] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a relay until it is told to stop.


    model_dialer: opens a session for a call; OpenAI's unless given. Raises DialError
    policy: the numbers that calls live by, over which the settings go
    process: what the server runs in, when that is all it runs
    Raises ConfigError or StoreError, one line each, when it cannot start. A PostgreSQL that is away
    is waited for while calls are served.
    """
    database_url = settings.database_url.get_secret_value()
    prompts, clips = texts_and_clips(settings)
    prices = call_prices(settings, load_prices(settings.prices_file))
    dial = model_dialer or partial(dial_openai, settings)
    recorder = _recorder(settings)
    store = open_store(database_url, channels=channels(settings))
    try:
        there = await prepare(store, database_url)
        async with (
            _open_spool(settings) as spool,
            open_business(settings, store) as business,
            aclosing(open_phone_control(settings)) as phone_control,
            open_webhook(settings) as webhook,
        ):
            about = About(business)
            await about.ask()
            cabinet = make_cabinet(settings, store, about, prompts, clips, dial=dial)
            await cabinet.load()
            parts = _parts(
                settings,
                store=store,
                spool=spool,
                business=business,
                phone_control=phone_control,
                webhook=webhook,
                about=about,
                prompts=prompts,
                cabinet=cabinet,
                dial=dial,
                policy=replace(policy or CallPolicy(), prices=prices),
                recorder=recorder,
                process=process or Process(),
            )
            if not there:
                back = partial(prepare_when_back, store, database_url)
                parts = replace(parts, background=[*parts.background, back])
            await server.serve(
                replace(parts, shared=process is not None and process.worker is not None),
                host=settings.host,
                port=settings.port,
                drain_s=settings.drain_s,
                stop=stop or Stop(),
                task_status=task_status,
            )
    finally:
        store.close()


def _parts(
    settings: Settings,
    *,
    store: SqlStore,
    spool: Spool,
    business: BusinessApi,
    phone_control: PhoneControl,
    webhook: Webhook | None,
    about: About,
    prompts: Prompts,
    cabinet: Cabinet,
    dial: DialModel,
    policy: CallPolicy,
    recorder: Recorder | None,
    process: Process,
) -> server.Parts:
    auth_token = settings.twilio_auth_token.get_secret_value()
    purse, model_watch = make_purse(settings, store), ModelWatch()
    board = Switchboard(
        store,
        auth_token=auth_token,
        stream_base=settings.stream_url,
        max_calls=settings.max_calls,
        rules=_number_rules(settings),
        strained=lambda: process.pulse.strained,
        memory_tight=lambda: process.memory.tight,
        affords_a_call=purse.affords_a_call if purse else lambda: True,
        model_admits=model_watch.admits,
        larger_model=settings.realtime_model_hard or "",
    )
    journal = Journal(store, spool)
    intents = Intents(store, journal, unavailable=UNAVAILABLE)
    humans = make_humans(settings, store, phone_control, about)
    recordings = Recordings(
        phone_control, journal.keep, status_url=f"{settings.public_url}/twilio/recording"
    )
    tools = registry(
        larger_model=settings.realtime_model_hard is not None,
        people=[name for name in settings.people if name],
    )
    metrics = Metrics(tools)
    kit = CallKit(
        policy=_policy(settings, policy, tools),
        clips=cabinet.at_hand(),
        dial=dial,
        settings=partial(
            session_settings,
            settings=settings,
            prompts=prompts,
            about=about,
            tools=tools,
            policy=policy,
        ),
        tools=tools,
        business=business,
        phone_control=phone_control,
        journal=journal,
        intents=intents,
        humans=humans,
        recordings=recordings,
        audio_format=settings.realtime_audio_format,
        recorder=recorder,
        meter=metrics,
        model_watch=model_watch,
        purse=purse,
        moving=board.moving,
        voice=make_voice(settings),
    )
    desk = FrontDesk(
        board=board,
        outcomes=Outcomes(journal.keep),
        humans=humans,
        keep=journal.keep,
        auth_token=auth_token,
        public_url=settings.public_url,
        stream_base=settings.stream_url,
        own_number=settings.twilio_phone_number,
        numbers=settings.people,
        recordings=recordings,
        recorded=settings.record_calls != "off",
    )

    async def carry(phone: Socket, call_sid: str, choose: Callable[[str], None]) -> None:
        newest = replace(kit, clips=cabinet.at_hand())
        here = recordings.consented(call_sid)
        past = await board.story(call_sid, journal_flushed=journal.drained, here=here)
        await run_call(phone, call_sid=call_sid, kit=newest, choose=choose, past=past)

    app = create_app(desk, Probe(partial(probe, store), journal))
    notifier = make_notifier(settings, store, webhook, phone_control, about)
    again = partial(attempt_again, tools=tools, business=business)
    background: list[Callable[[], Awaitable[None]]] = [
        about.keep_fresh,
        humans.run,
        recordings.run,
        partial(recordings.sweep, store, Asker()),
        Stragglers(
            store,
            phone_control,
            humans,
            ask=Asker(),
            carried=board.carries,
            ended=lambda call: ended(desk, call.call_sid, had_stream=call.had_stream),
        ).run,
        notifier.run,
        partial(intents.finish_others, again, business),
    ]
    if settings.clips == "model":
        background.append(cabinet.keep_filled)
    if purse is not None:
        background.append(purse.run)
    if settings.retention_days:
        background.append(partial(forget_daily, store, phone_control, settings.retention_days))
    door_counts: Counter[str] = Counter()
    background += watch_server(
        settings,
        metrics,
        process,
        board=board,
        journal=journal,
        door_counts=door_counts,
        notices=notifier.counts,
        model_away=lambda: model_watch.away,
        business_away=partial(ways_away, business),
    )
    return server.Parts(board, journal, app, carry, background, door_counts)


def _number_rules(settings: Settings) -> NumberRules:
    return NumberRules(
        settings.max_calls_per_number,
        settings.max_calls_per_number_hour,
        settings.allow_numbers,
        settings.block_numbers,
    )


# ---- the database ---------------------------------------------------------------------------


@asynccontextmanager
async def _open_spool(settings: Settings) -> AsyncIterator[Spool]:
    with closing(await trio.to_thread.run_sync(open_spool, settings.spool_folder)) as spool:
        yield spool


# ---- flight recordings ----------------------------------------------------------------------


def _recorder(settings: Settings) -> Recorder | None:
    """What records the calls, if they are to be. Raises ConfigError when it could not."""
    if settings.flight_dir is None:
        return None
    try:
        write = into_folder(settings.flight_dir)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"FLIGHT_DIR {settings.flight_dir} cannot be written: {why}") from None
    return Recorder(write, settings.flight_max_bytes, settings.flight_audio)


# ---- the calls ------------------------------------------------------------------------------


def _policy(settings: Settings, policy: CallPolicy, tools: Mapping[str, Tool]) -> CallPolicy:
    return replace(
        policy,
        silence_ms=settings.vad_silence_ms,
        max_call_s=float(settings.max_call_s),
        max_call_micro_usd=micro(settings.max_call_usd),
        day_cap=settings.max_day_usd is not None,
        record_calls=settings.record_calls == "twilio",
        consent_policy=settings.consent_policy,
        business_state=settings.business_state,
        server_turns=settings.server_turns,
        second_voice=settings.voice_provider == "elevenlabs",
        hard_model=settings.realtime_model_hard is not None,
        emergency_phrases=settings.alarms,
        refusal_phrases=settings.refusals,
        effects={tool.name: Effect(tool.effect) for tool in tools.values()},
    )
