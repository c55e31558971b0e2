"""What a setting can be: annotated types that check what an operator wrote."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_CALLERS = re.compile(r"\+[1-9][0-9]{0,14}\*|\+[1-9][0-9]{6,14}|withheld")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DATABASES = ("sqlite", "postgres", "postgresql", "postgresql+psycopg")


def _split(url: str) -> SplitResult:
    """Take a URL apart. Raises ValueError when it names no host or an impossible port."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("names no host")
    if parts.port == 0:
        raise ValueError("port 0 cannot be called")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password")
    if parts.fragment or any(c.isspace() for c in url):
        raise ValueError("must have neither a fragment nor blanks")
    return parts


def _web_url(url: str, secure: str, plain: str) -> SplitResult:
    """A URL that is encrypted unless it stays on this machine (T19: no silent downgrade)."""
    if "://" not in url:
        raise ValueError(f"must begin with {secure}://")
    parts = _split(url)
    if parts.scheme == plain and parts.hostname in _LOOPBACK:
        return parts
    if parts.scheme != secure:
        raise ValueError(f"must begin with {secure}:// ({plain}:// only on this machine)")
    return parts


def _base_url(url: str) -> str:
    if _web_url(url, "https", "http").query or url.endswith("?"):
        raise ValueError("must not have a query string")
    return url.rstrip("/")


def _public_url(url: str) -> str:
    base = _base_url(url)
    if "/twilio" in urlsplit(base).path:
        raise ValueError("must be the address alone: the relay adds /twilio/incoming by itself")
    return base


def _hook_url(url: str) -> str:
    _web_url(url, "https", "http")
    return url


def _socket_url(url: str) -> str:
    _web_url(url, "wss", "ws")
    return url


def is_phone_number(number: str) -> bool:
    """Whether this is a number as E.164 writes it."""
    return bool(_E164.fullmatch(number))


def _phone_number(number: str) -> str:
    if not is_phone_number(number):
        raise ValueError("must be an E.164 number such as +14155550100")
    return number


def _database_url(url: SecretStr) -> SecretStr:
    scheme, separator, rest = url.get_secret_value().partition("://")
    if not separator or scheme not in _DATABASES:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if scheme == "sqlite" and not rest.startswith("/"):
        raise ValueError("a SQLite file is written sqlite:///relay.db or sqlite:////data/relay.db")
    return url


def _people(text: str) -> str:
    for name, number in pairs(text):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: small letters, digits and _ are")
        try:
            _phone_number(number)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    names = [name for name, _ in pairs(text)]
    if len(names) != len(set(names)):
        raise ValueError("a name stands twice")
    return text


def pairs(text: str) -> list[tuple[str, str]]:
    """ "billing=+1…, sales=+1…" as pairs."""
    parts = (part.partition("=") for part in text.split(",") if part.strip())
    return [(name.strip(), number.strip()) for name, _, number in parts]


def _filled(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError("must not hold blanks or control characters")
    return secret


def _callers(listed: object) -> object:
    """A list with commas. The values come as text, from either source."""
    if not isinstance(listed, str):
        return listed
    entries = tuple(entry.strip() for entry in listed.split(",") if entry.strip())
    for entry in entries:
        if not _CALLERS.fullmatch(entry):
            raise ValueError("must list numbers (+14155550100), beginnings (+1900*) or `withheld`")
    return entries


def _languages(listed: object) -> object:
    if not isinstance(listed, str):
        return listed
    codes = tuple(code.strip().lower() for code in listed.split(",") if code.strip())
    if not codes or not all(_LANGUAGE.fullmatch(code) for code in codes):
        raise ValueError("must list languages as ISO 639-1 writes them: en,es")
    return tuple(dict.fromkeys(codes))


def phrases(text: str) -> tuple[str, ...]:
    """A list with semicolons."""
    return tuple(each.strip() for each in text.split(";") if each.strip())


Languages = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_languages)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
HookUrl = Annotated[str, AfterValidator(_hook_url)]
SocketUrl = Annotated[str, AfterValidator(_socket_url)]
PhoneNumber = Annotated[str, AfterValidator(_phone_number)]
People = Annotated[str, AfterValidator(_people)]
Secret = Annotated[SecretStr, AfterValidator(_filled)]
OptionalSecret = Annotated[SecretStr | None, AfterValidator(lambda s: s and _filled(s))]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Callers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_callers)]
MoneyCap = Annotated[Decimal | None, Field(gt=0, le=1_000_000, decimal_places=6)]
