"""Settings to the clips that calls play: the packaged ones, and the cabinet of the agent's own."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources

import trio

from relay.about import About
from relay.adapters.store import SqlStore, open_store, upgrade
from relay.audio import loudest_db
from relay.cabinet import AFTER_HOURS, PLAIN_AFTER_HOURS, Cabinet, Voice
from relay.config import Settings
from relay.core.policy import CLIP_NAMES, PLAIN_GREETING, SPANISH_EMERGENCY, Clip
from relay.errors import ConfigError
from relay.prompts import Prompts, load_prompts
from relay.shell import clip_studio, voice_studio
from relay.shell.kit import CallFacts
from relay.wiring_business import open_business
from relay.wiring_model import MAX_OUTPUT_TOKENS, DialModel, dial_openai, reasoning_effort
from relay.wiring_voice import make_voice


def load_texts(settings: Settings) -> Prompts:
    """What is said, with a notice that fits these settings. Raises ConfigError."""
    return load_prompts(settings.prompts_dir, recorded=settings.record_calls != "off")


def texts_and_clips(settings: Settings) -> tuple[Prompts, Mapping[str, Clip]]:
    """What is said, and the packaged sound of it, as far as these settings want it."""
    recorded, plain = settings.record_calls != "off", settings.consent_policy == "states"
    spanish = "es" in settings.languages
    return load_texts(settings), load_clips(recorded=recorded, plain=plain, spanish=spanish)


def load_clips(
    *, recorded: bool = False, plain: bool = False, spanish: bool = False
) -> Mapping[str, Clip]:
    """The packaged clips. Raises ConfigError when one is missing.

    recorded: the greetings say that the call is recorded; plain: there are greetings without notice
    spanish: callers may speak it
    """
    folder = resources.files("relay") / "clips"
    try:
        texts = tomllib.loads((folder / "clips.toml").read_text(encoding="utf-8"))
        files = {name: name for name in (*CLIP_NAMES, AFTER_HOURS)}
        if recorded:
            files |= {name: f"{name}_recorded" for name in ("greeting", AFTER_HOURS)}
        if plain:
            files |= {name: name for name in (PLAIN_GREETING, PLAIN_AFTER_HOURS)}
        if spanish:
            files[SPANISH_EMERGENCY] = SPANISH_EMERGENCY
        return {
            name: _clip(name, texts[file], folder / f"{file}.ulaw") for name, file in files.items()
        }
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
    prompts, clips = texts_and_clips(settings)
    dial = model_dialer or partial(dial_openai, settings)
    await trio.to_thread.run_sync(upgrade, database_url)
    store = open_store(database_url)
    try:
        async with open_business(settings, store) as business:
            about = About(business)
            await about.ask()
            cabinet = make_cabinet(settings, store, about, prompts, clips, dial=dial)
            await cabinet.load()
            yield cabinet
    finally:
        store.close()


def clip_voice(settings: Settings) -> Voice:
    """Whose voice the recordings are to have."""
    second = make_voice(settings)
    if second is not None:
        return Voice(f"elevenlabs/{second.model}", second.name)
    return Voice(settings.realtime_model, settings.realtime_voice)


def make_cabinet(
    settings: Settings,
    store: SqlStore,
    about: About,
    prompts: Prompts,
    packaged: Mapping[str, Clip],
    *,
    dial: DialModel,
) -> Cabinet:
    second = make_voice(settings)
    session = clip_studio.studio_settings(
        settings.realtime_voice,
        settings.realtime_audio_format,
        reasoning_effort(settings),
        MAX_OUTPUT_TOKENS,
    )

    optional = (AFTER_HOURS, PLAIN_AFTER_HOURS)

    async def record(texts: list[str]) -> clip_studio.Recorded:
        if second is not None:
            return await voice_studio.record(second, texts)
        return await clip_studio.record(dial(CallFacts("clips")), session, texts)

    def wanted() -> Mapping[str, str]:
        """Words by clip; not those of a greeting that waits for the business's name."""
        texts = {name: clip.text for name, clip in packaged.items() if name not in optional}
        if prompts.names_business() and not about.known:
            greetings = ("greeting", PLAIN_GREETING)
            return {name: text for name, text in texts.items() if name not in greetings}
        return {**texts, **prompts.greetings(about.profile, plain=PLAIN_GREETING in packaged)}

    return Cabinet(
        packaged,
        store,
        clip_voice(settings),
        texts=wanted,
        closed=about.closed,
        record=record,
        live=settings.greeting == "live",
    )
