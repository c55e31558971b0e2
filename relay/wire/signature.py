"""Twilio's request signatures: who sent a webhook, or opens a stream.

base64(HMAC(auth token, URL + every form parameter's name and value, sorted)). Blank parameters
count, repeated ones count once, a GET's query and a stream's handshake sign the URL alone. The URL
is the one that Twilio was told, so build it from the configured public address, never from the
request's own headers.

Twilio's back ends disagree on whether a port belongs to the URL, and its notes on streams on
whether a final slash does. So `matches` tries the spellings that mean the same address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from relay.errors import Misuse

Params: TypeAlias = Sequence[tuple[str, str]]
Algorithm: TypeAlias = Literal["sha1", "sha256"]

_HASHES: Final = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
_PORTS: Final = {"https": "443", "wss": "443", "http": "80", "ws": "80"}
_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<host>[^/?#]*?)(?P<port>:[0-9]+)?(?P<path>[/?#].*)?")


def sign(auth_token: str, url: str, params: Params, *, algorithm: Algorithm = "sha1") -> str:
    """Sign a request as Twilio does. params: the decoded form, blanks and repeats included.

    algorithm "sha256" is for a configured shared key, of which auth_token is then the secret;
    never let the request choose. Raises Misuse on an empty auth_token, which anyone could use.
    """
    if not auth_token:
        raise Misuse("an empty auth token signs nothing")
    message = url + "".join(name + value for name, value in sorted(set(params)))
    # A lone surrogate in either cannot come from Twilio; it must give a wrong signature, not fail.
    digest = hmac.digest(
        auth_token.encode(), message.encode("utf-8", "surrogatepass"), _HASHES[algorithm]
    )
    return base64.b64encode(digest).decode()


def matches(
    auth_token: str, url: str, params: Params, signature: str, *, algorithm: Algorithm = "sha1"
) -> bool:
    """Whether signature is Twilio's for this request, with or without a port in the URL.

    A stream's URL (wss) may also have or lack its final slash. signature may be any text.
    Raises Misuse on an empty auth_token.
    """
    claimed = signature.encode("utf-8", "surrogatepass")
    return any(
        hmac.compare_digest(sign(auth_token, spelt, params, algorithm=algorithm).encode(), claimed)
        for spelt in _spellings(url)
    )


def _spellings(url: str) -> Iterator[str]:
    """The URL as it is, then as Twilio may have written it."""
    yield url
    parts = _URL.fullmatch(url)
    if parts is None:
        return
    scheme, host, path = parts["scheme"], parts["host"], parts["path"] or ""
    paths = [path]
    if scheme in {"wss", "ws"}:
        paths.append(path[:-1] if path.endswith("/") else f"{path}/")
    for port in (parts["port"] or f":{_PORTS.get(scheme, '80')}", ""):
        for end in paths:
            yield f"{scheme}://{host}{port}{end}"
