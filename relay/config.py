"""Every setting of the relay: one frozen object, read once from the environment and `.env`.

Nothing else in the package looks at the environment. A variable's name is its field's name in
capitals, and its description says what it is for: the error message, and a test that compares
`.env.example` with this file, read it from there. The environment wins over `.env`; a variable
that is set to nothing counts as not set.

`load` finds all faults at once, since an operator who repairs one at a time restarts ten times.
A fault's text never holds the value of a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from relay.config_settings import BusinessSettings, Settings
from relay.config_types import is_phone_number
from relay.errors import ConfigError

__all__ = [
    "STAND_INS",
    "BusinessSettings",
    "Settings",
    "examine",
    "is_phone_number",
    "load",
    "named",
]

#: For who looks around without the settings that are needed. They reach nobody.
STAND_INS: Mapping[str, str] = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "missing",
    "TWILIO_PHONE_NUMBER": "+15005550006",
    "HUMAN_TRANSFER_NUMBER": "+15005550001",
    "PUBLIC_URL": "https://relay.invalid",
    "OPENAI_API_KEY": "missing",
}

#: Pydantic's beginnings of a reason, as the rest of a sentence about a setting.
_PLAINER: Mapping[str, str] = {"Input should": "must", "String should": "must"}

S = TypeVar("S", bound="BusinessSettings")


@overload
def load(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings: ...


@overload
def load(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None, *, kind: type[S]
) -> S: ...


def load(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    *,
    kind: type[BusinessSettings] = Settings,
) -> BusinessSettings:
    """Read and check all settings.

    kind: which of them; without the others nothing is asked for that is not needed

    environ: the process's own environment and ./.env unless given; a given one is all there is,
        but for env_file
    Raises ConfigError with one message that names every fault and what each variable is for.
    """
    if environ is None:
        environ, env_file = os.environ, env_file or Path(".env")
    given: dict[str, Any] = {  # text still: pydantic makes the values
        name: environ[name.upper()] for name in kind.model_fields if environ.get(name.upper())
    }
    given["_env_file"] = env_file  # pydantic-settings' own keyword, beside the fields
    try:
        return kind(**given)
    except ValidationError as error:
        raise ConfigError(_message(error.errors(include_url=False, include_input=False))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {error}") from None


def examine(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None
) -> tuple[tuple[str, ...], Settings | None]:
    """Every fault, one line each, and settings to look around with all the same.

    In these what is faulty is as without it, and what is needed and missing is a stand-in that
    reaches nobody. None when not even that can be had.
    """
    try:
        return (), load(environ, env_file)
    except ConfigError as error:
        head, *faults = _lines_of(error)
    shown = tuple(faults or [head])
    if environ is None:
        environ, env_file = os.environ, env_file or Path(".env")
    written = dotenv_values(env_file) if env_file and env_file.is_file() else {}
    said = {name: value for each in (written, environ) for name, value in each.items() if value}
    faulty: set[str] = set()
    while fresh := {name for fault in faults for name in named(fault)} - faulty:
        faulty |= fresh
        whole = {name: value for name, value in said.items() if name not in faulty}
        whole |= {name: value for name, value in STAND_INS.items() if name in faulty}
        try:
            return shown, load(whole)
        except ConfigError as error:
            _, *faults = _lines_of(error)
    return shown, None


def named(fault: str) -> tuple[str, ...]:
    """The settings that a fault is about, in its own order."""
    words = re.findall(r"[A-Z][A-Z0-9_]+", fault.partition(": ")[0])
    return tuple(dict.fromkeys(word for word in words if word.lower() in Settings.model_fields))


def _lines_of(error: ConfigError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


def _message(faults: Iterable[ErrorDetails]) -> str:
    lines = ["these settings need attention (environment or .env):"]
    return "\n  ".join([*lines, *(_line(fault) for fault in faults)])


def _line(fault: ErrorDetails) -> str:
    if not fault["loc"]:
        return str(fault.get("ctx", {}).get("error", fault["msg"]))
    name = str(fault["loc"][0])
    purpose = Settings.model_fields[name].description
    if fault["type"] == "missing":
        return f"{name.upper()} is missing: {purpose}"
    why = str(fault.get("ctx", {}).get("error", fault["msg"]))
    for theirs, ours in _PLAINER.items():
        why = why.replace(theirs, ours)
    return f"{name.upper()} is malformed ({why}): {purpose}"
