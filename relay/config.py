"""Every setting of the relay: one frozen object, read once from the environment and `.env`.

Nothing else in the package looks at the environment. A variable's name is its field's name in
capitals, and its description says what it is for: the error message, and a test that compares
`.env.example` with this file, read it from there. The environment wins over `.env`; a variable
that is set to nothing counts as not set.

`load` finds all faults at once, since an operator who repairs one at a time restarts ten times.
A fault's text never holds the value of a secret.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, overload

from dotenv import dotenv_values
from dotenv.parser import parse_stream
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
    "strange",
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

_HEAD = "these settings need attention (environment or .env):"
#: Pydantic's beginnings of a reason, as the rest of a sentence about a setting.
_PLAINER: Mapping[str, str] = {"Input should": "must", "String should": "must"}

#: How alike a variable of the environment must be to a setting to be one that is misspelled, and
#: what is so alike and means something else. In `.env` all that is no setting is strange.
_ALIKE: float = 0.85
_NOT_OURS: frozenset[str] = frozenset({"LANGUAGE"})

logging.getLogger("dotenv.main").addFilter(lambda _: False)  # `_torn` says it, with the file

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
        faults, settings = _torn(env_file), kind(**given)
    except ValidationError as error:
        faults, found = _torn(env_file), error.errors(include_url=False, include_input=False)
        instead = {likely: name for name, likely in strange(environ, env_file).items()}
        faults += [_line(fault, instead) for fault in found]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"{env_file} cannot be read: {why}") from None
    if faults:
        raise ConfigError("\n  ".join([_HEAD, *faults]))
    return settings


def _torn(env_file: Path | None) -> list[str]:
    """A line about each of the file's own that mean nothing: they would be left out in silence."""
    if env_file is None or not (env_file.is_file() or env_file.is_dir()):
        return []
    with env_file.open(encoding="utf-8") as stream:
        lines = [each.original.line for each in parse_stream(stream) if each.error]
    return [
        f"line {line} of {env_file} is not NAME=value, or a quote in it is not closed"
        for line in lines
    ]


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
    each_way = (_written(env_file), environ)
    said = {name: value for each in each_way for name, value in each.items() if value}
    faulty: set[str] = set()
    fresh = {name for fault in faults for name in named(fault)}
    while True:
        faulty |= fresh
        whole = {name: value for name, value in said.items() if name not in faulty}
        whole |= {name: value for name, value in STAND_INS.items() if name in faulty}
        try:
            return shown, load(whole)
        except ConfigError as error:
            _, *faults = _lines_of(error)
        fresh = {name for fault in faults for name in named(fault)} - faulty
        if not fresh:
            return shown, None


def _written(env_file: Path | None) -> Mapping[str, str | None]:
    """What stands in the file, as far as it can be read."""
    try:
        return dotenv_values(env_file) if env_file and env_file.is_file() else {}
    except (OSError, UnicodeDecodeError):
        return {}


def strange(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None
) -> Mapping[str, str]:
    """What looks like a setting, is none and does nothing, each with the likely one, or ""."""
    if environ is None:
        environ, env_file = os.environ, env_file or Path(".env")
    known = [name.upper() for name in Settings.model_fields]
    written = _written(env_file)
    found = {name: _nearest(name, known) for name in written if name.upper() not in known}
    for name in environ.keys() - {*known, *_NOT_OURS}:
        if likely := _nearest(name, known):
            found[name] = likely
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(name.upper(), list(known), 1, _ALIKE)), "")


def named(fault: str) -> tuple[str, ...]:
    """The settings that a fault is about, in its own order."""
    words = re.findall(r"[A-Z][A-Z0-9_]+", fault.partition(": ")[0])
    return tuple(dict.fromkeys(word for word in words if word.lower() in Settings.model_fields))


def _lines_of(error: ConfigError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


def _line(fault: ErrorDetails, instead: Mapping[str, str]) -> str:
    """instead: names that are no setting's, by the likely one."""
    if not fault["loc"]:
        return str(fault.get("ctx", {}).get("error", fault["msg"]))
    name = str(fault["loc"][0])
    purpose = Settings.model_fields[name].description
    if fault["type"] == "missing":
        other = instead.get(name.upper())
        hint = f" (there is {other}, which is no setting)" if other else ""
        return f"{name.upper()} is missing{hint}: {purpose}"
    why = str(fault.get("ctx", {}).get("error", fault["msg"]))
    for theirs, ours in _PLAINER.items():
        why = why.replace(theirs, ours)
    return f"{name.upper()} is malformed ({why}): {purpose}"
