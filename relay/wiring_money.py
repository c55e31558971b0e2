"""Settings to what calls may cost: wiring's part for prices and caps."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import structlog

from relay.adapters.store import SqlStore
from relay.config import Settings
from relay.core.budget import Prices
from relay.errors import ConfigError
from relay.prices import PriceTable
from relay.shell.purse import Purse
from relay.wiring_model import TRANSCRIPTION_MODEL

_log = structlog.get_logger("relay.wiring")


def call_prices(settings: Settings, table: PriceTable) -> Prices:
    """What a call's parts cost. Raises ConfigError for a cap that could not be held."""
    hard = settings.realtime_model_hard
    prices = Prices(
        table.model(settings.realtime_model),
        table.model(hard),
        table.words(TRANSCRIPTION_MODEL),
        table.phone_minute,
        table.voice(settings.elevenlabs_model),
    )
    wanted = {settings.realtime_model: prices.model, TRANSCRIPTION_MODEL: prices.transcription}
    wanted |= {hard: prices.hard} if hard else {}
    if settings.voice_provider == "elevenlabs":
        wanted[settings.elevenlabs_model] = prices.voice
    unknown = ", ".join(name for name, tariff in wanted.items() if not tariff.name)
    if unknown and (settings.max_call_usd or settings.max_day_usd):
        raise ConfigError(
            f"PRICES_FILE has no price for {unknown}: a cap on money (MAX_CALL_USD, MAX_DAY_USD)"
            " could not be held"
        )
    if unknown:
        _log.warning("! no price is known", models=unknown, prices_as_of=str(table.as_of))
    return prices


def make_purse(settings: Settings, store: SqlStore) -> Purse | None:
    """What holds the day's cap, if there is one."""
    cap = micro(settings.max_day_usd)
    if cap is None:
        return None
    sharers = settings.max_day_processes
    return Purse(store, cap, sharers=sharers, wall_clock=lambda: datetime.now(UTC))


def micro(usd: Decimal | None) -> int | None:
    return None if usd is None else int(usd * 1_000_000)
