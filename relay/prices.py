"""The price table: a dated TOML file, read once, in whole nano-USD from then on.

The packaged table says of when it is; PRICES_FILE names another. A model that the table does not
know costs nothing and is marked so in every row, unless a cap on money is to be held: then the
start is refused, for a cap that counts nothing is none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from relay.core.budget import Tariff
from relay.errors import ConfigError

PACKAGED: Final = Path(__file__).parent / "prices.toml"

_TOKEN_FIELDS: Final = {field.name for field in fields(Tariff)} - {"name", "minute"}
_MINUTES: Final = ("inbound_minute", "stream_minute")
# A price of a million tokens (or characters) in USD, as nano-USD each; of a minute, as nano-USD.
_TOKEN: Final = 1000
_MINUTE: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What everything costs. phone_minute: a call's and its stream's together, in nano-USD."""

    as_of: date
    models: Mapping[str, Tariff]
    transcription: Mapping[str, Tariff]
    voices: Mapping[str, Tariff]
    phone_minute: int

    def model(self, name: str | None) -> Tariff:
        """A Realtime model's tariff, without a name when it is not known."""
        return self.models.get(name or "", Tariff())

    def voice(self, name: str) -> Tariff:
        """A second voice's tariff, by its model, without a name when it is not known."""
        return self.voices.get(name, Tariff())

    def words(self, name: str) -> Tariff:
        """A transcription model's tariff, without a name when it is not known."""
        return self.transcription.get(name, Tariff())


def load_prices(file: Path = PACKAGED) -> PriceTable:
    """Read a price table. Raises ConfigError, which names the file and what is wrong in it."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        phone_minute = sum(_nano(table["twilio"][name], _MINUTE) for name in _MINUTES)
        as_of = table["as_of"]
        if not isinstance(as_of, date):
            raise ValueError("as_of must be a date, as in 2026-11-20")
        return PriceTable(
            as_of,
            {name: _tariff(name, row) for name, row in table["models"].items()},
            {name: _tariff(name, row) for name, row in table["transcription"].items()},
            {name: _tariff(name, row) for name, row in table.get("voices", {}).items()},
            phone_minute,
        )
    except OSError as error:
        raise ConfigError(f"PRICES_FILE {file} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise ConfigError(f"PRICES_FILE {file}: {error} is missing") from None
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ConfigError(f"PRICES_FILE {file}: {error}") from None


def _tariff(name: str, row: Mapping[str, Any]) -> Tariff:
    prices = {
        key: _nano(value, _MINUTE if key == "minute" else _TOKEN) for key, value in row.items()
    }
    if unknown := prices.keys() - _TOKEN_FIELDS - {"minute"}:
        raise ValueError(f"{name} has prices for {', '.join(sorted(unknown))}, which nothing has")
    return Tariff(name, **prices)


def _nano(value: object, scale: int) -> int:
    """A price as a whole number of nano-USD. Raises ValueError when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{value!r} is no price")
    nano = Decimal(value) * scale
    if not nano.is_finite() or nano < 0 or nano != nano.to_integral_value():
        raise ValueError(f"{value} is no price that can be reckoned with")
    return int(nano)
