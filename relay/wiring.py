"""Settings to adapters to calls to a server: the one place that knows everyone.

`serve` runs a whole relay inside the current Trio program: `relay serve` calls it with the
environment's settings, the demo and the tests with their own, a dialler of their own, and port 0.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib import resources
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog
import trio

from relay import server
from relay.about import About
from relay.adapters.business_file import load_business
from relay.adapters.business_http import HttpBusiness
from relay.adapters.business_local import LocalBusiness
from relay.adapters.store import SqlStore, open_store, upgrade
from relay.adapters.twilio_rest import TwilioPhone
from relay.audio import loudest_db
from relay.cabinet import AFTER_HOURS, Cabinet, Voice
from relay.config import Settings
from relay.core.budget import Prices
from relay.core.policy import CLIP_NAMES, CallPolicy, Clip, Effect
from relay.errors import ConfigError
from relay.limits import NumberRules
from relay.metrics import Metrics
from relay.ports import BusinessApi, PhoneControl, Socket, Webhook
from relay.prices import PriceTable, load_prices
from relay.prompts import Prompts, load_prompts
from relay.retention import forget_daily
from relay.seeing import Process, watch_server
from relay.shell import clip_studio, sockets
from relay.shell.humans import Humans
from relay.shell.intents import Intents
from relay.shell.journal import Journal
from relay.shell.kit import CallFacts, CallKit
from relay.shell.purse import Purse
from relay.shell.recorder import Recorder, into_folder
from relay.shell.session import run_call
from relay.shell.spool import Spool, open_spool
from relay.shell.tool_runner import UNAVAILABLE, attempt_again
from relay.switchboard import Asker, Switchboard
from relay.tools import Tool, registry
from relay.web.app import create_app
from relay.web.desk import FrontDesk
from relay.web.health import Probe
from relay.web.outcomes import Outcomes
from relay.wire.realtime import SessionSettings
from relay.wiring_notices import channels, make_notifier, open_webhook

# gpt-transcribe replaces the models that are shut down on 2027-02-26.
TRANSCRIPTION_MODEL: Final = "gpt-transcribe"
LANGUAGE: Final = "en"
# OpenAI's advice for voice: the caller waits while the model thinks.
REASONING_EFFORT: Final = "low"
MAX_OUTPUT_TOKENS: Final = 4096  # the most that can be named; ends a response that runs away
PROBE_NONCE: Final = "readiness"
LOOK_S: Final = 0.25  # how late another process's news of a human may be

_log = structlog.get_logger("relay.wiring")

DialModel = Callable[[CallFacts], AbstractAsyncContextManager[Socket]]


async def serve(
    settings: Settings,
    *,
    model_dialer: DialModel | None = None,
    policy: CallPolicy | None = None,
    stop: server.Stop | None = None,
    process: Process | None = None,
    task_status: trio.TaskStatus[server.Served] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a relay until it is told to stop.


    model_dialer: opens a session for a call; OpenAI's unless given. Raises DialError
    policy: the numbers that calls live by, over which the settings go
    process: what the server runs in, when that is all it runs
    Raises ConfigError or StoreError, one line each, when it cannot start.
    """
    database_url = settings.database_url.get_secret_value()
    prompts, clips = load_prompts(settings.prompts_dir), load_clips()
    prices = call_prices(settings, load_prices(settings.prices_file))
    dial = model_dialer or partial(dial_openai, settings)
    recorder = _recorder(settings)
    store = open_store(database_url, channels=channels(settings))
    try:
        await trio.to_thread.run_sync(upgrade, database_url)
        await trio.to_thread.run_sync(_probe, store)
        async with (
            _open_spool(settings) as spool,
            open_business(settings, store) as business,
            aclosing(open_phone_control(settings)) as phone_control,
            open_webhook(settings) as webhook,
        ):
            about = About(business)
            await about.ask()
            cabinet = _cabinet(settings, store, about, prompts, clips, dial=dial)
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
            await server.serve(
                parts,
                host=settings.host,
                port=settings.port,
                drain_s=settings.drain_s,
                stop=stop or server.Stop(),
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
    purse = _purse(settings, store)
    board = Switchboard(
        store,
        auth_token=auth_token,
        stream_base=settings.stream_url,
        max_calls=settings.max_calls,
        rules=_number_rules(settings),
        strained=lambda: process.pulse.strained,
        affords_a_call=purse.affords_a_call if purse else lambda: True,
    )
    journal = Journal(store, spool)
    intents = Intents(store, journal, unavailable=UNAVAILABLE)
    humans = _humans(settings, store, phone_control, about)
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
        loops=lambda caller: caller in settings.people.values(),
        audio_format=settings.realtime_audio_format,
        recorder=recorder,
        meter=metrics,
        purse=purse,
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
    )

    async def carry(phone: Socket, call_sid: str, choose: Callable[[str], None]) -> None:
        newest = replace(kit, clips=cabinet.at_hand())
        before = await board.story(call_sid, journal_flushed=journal.drained)
        spent = await board.spent(call_sid)
        await run_call(
            phone, call_sid=call_sid, kit=newest, choose=choose, before=before, spent=spent
        )

    app = create_app(desk, Probe(partial(_probe, store), journal))
    notifier = make_notifier(settings, store, webhook, phone_control, about)
    again = partial(attempt_again, tools=tools, business=business)
    background: list[Callable[[], Awaitable[None]]] = [
        about.keep_fresh,
        humans.run,
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


def _probe(store: SqlStore) -> None:
    """Write one row, always the same one: whether the database can be written. Blocks."""
    store.claim_stream(PROBE_NONCE, "", datetime.now(UTC))


@asynccontextmanager
async def _open_spool(settings: Settings) -> AsyncIterator[Spool]:
    with closing(await trio.to_thread.run_sync(open_spool, settings.spool_folder)) as spool:
        yield spool


# ---- the business ---------------------------------------------------------------------------


@asynccontextmanager
async def open_business(settings: Settings, store: SqlStore) -> AsyncIterator[BusinessApi]:
    if settings.business_api_base is None:
        yield LocalBusiness(load_business(settings.business_file), store)
    else:
        token = settings.business_api_token
        http = HttpBusiness(
            settings.business_api_base, token=token.get_secret_value() if token else ""
        )
        async with aclosing(http) as business:
            yield business


# ---- the telephone network ------------------------------------------------------------------


def _humans(settings: Settings, store: SqlStore, control: PhoneControl, about: About) -> Humans:
    alone = settings.database_url.get_secret_value().startswith("sqlite")
    return Humans(
        control,
        store,
        numbers=settings.people,
        url=lambda path: f"{settings.public_url}/twilio/{path}",
        secret=settings.twilio_auth_token.get_secret_value(),
        ask=Asker(),
        there=lambda: settings.desk_hours == "always" or not about.closed(),
        look_s=None if alone else LOOK_S,
    )


def open_phone_control(settings: Settings) -> TwilioPhone:
    """Twilio's REST API, to be closed after use."""
    return TwilioPhone(
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        settings.twilio_phone_number,
        api_url=settings.twilio_api_url,
    )


# ---- the model ------------------------------------------------------------------------------


def dial_openai(settings: Settings, call: CallFacts) -> AbstractAsyncContextManager[Socket]:
    """Open a Realtime session for a call. Raises DialError when it cannot be had."""
    key = settings.openai_api_key.get_secret_value()
    headers = [("Authorization", f"Bearer {key}")]
    if call.caller:
        headers.append(("OpenAI-Safety-Identifier", pseudonym(settings, call.caller)))
    return sockets.dial(session_url(settings, hard=call.hard), headers)


def session_url(settings: Settings, *, hard: bool = False) -> str:
    """The address with the model in its query, beside what is already there."""
    parts = urlsplit(settings.openai_realtime_url)
    larger = settings.realtime_model_hard if hard else None
    model = urlencode({"model": larger or settings.realtime_model})
    query = f"{parts.query}&{model}" if parts.query else model
    return urlunsplit(parts._replace(query=query))


def pseudonym(settings: Settings, caller: str) -> str:
    """The same caller gets the same name, from which nobody can tell the number."""
    pepper = settings.twilio_auth_token.get_secret_value().encode()
    return hmac.digest(pepper, b"caller " + caller.encode(), hashlib.sha256).hex()


def session_settings(
    call: CallFacts,
    *,
    settings: Settings,
    prompts: Prompts,
    about: About,
    tools: Mapping[str, Tool],
    policy: CallPolicy,
) -> SessionSettings:
    return SessionSettings(
        instructions=prompts.system(about.profile, call.caller, about.today()),
        voice=settings.realtime_voice,
        tools=tuple(
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in tools.values()
        ),
        audio_format=settings.realtime_audio_format,
        transcription_model=TRANSCRIPTION_MODEL,
        language=LANGUAGE,
        vad_threshold=settings.vad_threshold,
        silence_ms=settings.vad_silence_ms,
        prefix_padding_ms=policy.prefix_padding_ms,
        noise_reduction=settings.noise_reduction,
        create_response=settings.server_turns,
        vad_mode=settings.vad_mode,
        vad_eagerness=settings.vad_eagerness,
        reasoning_effort=REASONING_EFFORT,
        max_output_tokens=MAX_OUTPUT_TOKENS,
    )


# ---- flight recordings ----------------------------------------------------------------------


def _recorder(settings: Settings) -> Recorder | None:
    """What records the calls, if they are to be. Raises ConfigError when it could not."""
    if settings.flight_dir is None:
        return None
    try:
        write = into_folder(settings.flight_dir)
    except OSError as error:
        raise ConfigError(f"FLIGHT_DIR cannot be written: {error}") from None
    return Recorder(write, settings.flight_max_bytes, settings.flight_audio)


# ---- money ----------------------------------------------------------------------------------


def call_prices(settings: Settings, table: PriceTable) -> Prices:
    """What a call's parts cost. Raises ConfigError for a cap that could not be held."""
    hard = settings.realtime_model_hard
    prices = Prices(
        table.model(settings.realtime_model),
        table.model(hard),
        table.words(TRANSCRIPTION_MODEL),
        table.phone_minute,
    )
    wanted = {settings.realtime_model: prices.model, TRANSCRIPTION_MODEL: prices.transcription}
    wanted |= {hard: prices.hard} if hard else {}
    unknown = ", ".join(name for name, tariff in wanted.items() if not tariff.name)
    if unknown and (settings.max_call_usd or settings.max_day_usd):
        raise ConfigError(
            f"PRICES_FILE has no price for {unknown}: a cap on money (MAX_CALL_USD, MAX_DAY_USD)"
            " could not be held"
        )
    if unknown:
        _log.warning("! no price is known", models=unknown, prices_as_of=str(table.as_of))
    return prices


def _purse(settings: Settings, store: SqlStore) -> Purse | None:
    """What holds the day's cap, if there is one."""
    cap = _micro(settings.max_day_usd)
    return None if cap is None else Purse(store, cap, wall_clock=lambda: datetime.now(UTC))


def _micro(usd: Decimal | None) -> int | None:
    return None if usd is None else int(usd * 1_000_000)


# ---- the calls ------------------------------------------------------------------------------


def _policy(settings: Settings, policy: CallPolicy, tools: Mapping[str, Tool]) -> CallPolicy:
    return replace(
        policy,
        silence_ms=settings.vad_silence_ms,
        max_call_s=float(settings.max_call_s),
        max_call_micro_usd=_micro(settings.max_call_usd),
        day_cap=settings.max_day_usd is not None,
        server_turns=settings.server_turns,
        hard_model=settings.realtime_model_hard is not None,
        emergency_phrases=policy.emergency_phrases if settings.alarms is None else settings.alarms,
        effects={tool.name: Effect(tool.effect) for tool in tools.values()},
    )


def load_clips() -> Mapping[str, Clip]:
    """The packaged clips. Raises ConfigError when one is missing."""
    folder = resources.files("relay") / "clips"
    try:
        texts = tomllib.loads((folder / "clips.toml").read_text(encoding="utf-8"))
        names = [*CLIP_NAMES, *({AFTER_HOURS} & texts.keys())]
        return {name: _clip(name, texts[name], folder / f"{name}.ulaw") for name in names}
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the packaged clips are incomplete: {error}") from None


def _clip(name: str, text: str, file: resources.abc.Traversable) -> Clip:
    mulaw = file.read_bytes()
    return Clip(name, text, mulaw, loudest_db(mulaw))


@asynccontextmanager
async def open_cabinet(
    settings: Settings, *, model_dialer: DialModel | None = None
) -> AsyncIterator[Cabinet]:
    """The clips as a server with these settings has them, for people.

    Raises ConfigError or StoreError, one line each.
    """
    database_url = settings.database_url.get_secret_value()
    prompts, clips = load_prompts(settings.prompts_dir), load_clips()
    dial = model_dialer or partial(dial_openai, settings)
    await trio.to_thread.run_sync(upgrade, database_url)
    store = open_store(database_url)
    try:
        async with open_business(settings, store) as business:
            about = About(business)
            await about.ask()
            cabinet = _cabinet(settings, store, about, prompts, clips, dial=dial)
            await cabinet.load()
            yield cabinet
    finally:
        store.close()


def _cabinet(
    settings: Settings,
    store: SqlStore,
    about: About,
    prompts: Prompts,
    packaged: Mapping[str, Clip],
    *,
    dial: DialModel,
) -> Cabinet:
    session = clip_studio.studio_settings(
        settings.realtime_voice,
        settings.realtime_audio_format,
        REASONING_EFFORT,
        MAX_OUTPUT_TOKENS,
    )

    async def record(texts: list[str]) -> clip_studio.Recorded:
        return await clip_studio.record(dial(CallFacts("clips")), session, texts)

    def wanted() -> Mapping[str, str]:
        """Words by clip; not those of a greeting that waits for the business's name."""
        texts = {name: clip.text for name, clip in packaged.items() if name != AFTER_HOURS}
        if prompts.names_business() and not about.known:
            return {name: text for name, text in texts.items() if name != "greeting"}
        return {**texts, **prompts.greetings(about.profile)}

    return Cabinet(
        packaged,
        store,
        Voice(settings.realtime_model, settings.realtime_voice),
        texts=wanted,
        closed=about.closed,
        record=record,
        live=settings.greeting == "live",
    )
