"""Twilio's signed forms: read raw, checked as they were sent, then believed.

The signature covers the public URL as Twilio wrote it and every parameter, blanks included, so the
body is parsed here and not by the framework, and the URL is built from the configured public
address, never from the request's own headers. An unsigned request is refused before its body is
read; a forged one gets no more than the status.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote

from quart import Request, abort

from relay.wire import signature

MAX_SID_CHARS: Final = 64
MAX_FIELDS: Final = 200  # Twilio sends about 40, and may add more at any time
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CODE = re.compile(r"[A-Z]{2}")
# A number as a carrier, a PBX or a person may write it: a scheme, the digits, and what is behind.
_WRITTEN = re.compile(r"(?:(?:sips?|tel):)?([+0-9 ().-]+)(?:[;@].*)?", re.IGNORECASE)
# Twilio's digits for callers that withhold their number: the words on a phone's keys.
_WITHHELD: Final = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})


class Form:
    """A webhook's parameters, the first value of each; then those of its URL, which are ours."""

    def __init__(self, params: list[tuple[str, str]]) -> None:
        self._values = dict(reversed(params))

    def __getitem__(self, name: str) -> str:
        """A parameter's value, "" when it is absent."""
        return self._values.get(name, "")

    def number(self, name: str) -> str:
        """A phone number, "" when it is withheld or none."""
        value = self[name]
        return value if _E164.fullmatch(value) and value not in _WITHHELD else ""

    def names(self, name: str, numbers: Collection[str]) -> bool:
        """Whether a parameter means one of these numbers, which are E.164, however it is written:
        a carrier's ForwardedFrom has its own manners, and PBXs send sip: addresses."""
        value = self[name]
        if not value or _E164.fullmatch(value):
            return value in numbers
        written = _WRITTEN.fullmatch(unquote(value).strip())
        if written is None:
            return False
        digits = re.sub("[^0-9]", "", written[1])
        if written[1].startswith("+"):
            return f"+{digits}" in numbers
        digits = re.sub("^(?:011|00)", "", digits)  # dialled abroad, from America or elsewhere
        # Ten digits are a number of the plan behind +1, as it is dialled there.
        return f"+{digits}" in numbers or (len(digits) == 10 and f"+1{digits}" in numbers)

    def origin(self) -> dict[str, str]:
        """Country and state of the caller's number, as Twilio looks them up; without what is not
        known, and without either when the number is withheld."""
        if not self.number("From"):
            return {}
        found = {"country": self["FromCountry"], "state": self["FromState"]}
        return {name: code for name, code in found.items() if _CODE.fullmatch(code)}

    @property
    def call_sid(self) -> str:
        return self["CallSid"]

    @property
    def after(self) -> str:
        """The name of the stream that a call had before this page, "" when that is not known."""
        return self["after"]


async def signed_form(request: Request, *, auth_token: str, public_url: str) -> Form:
    """The form of a request that Twilio has signed; any other request ends here.

    public_url: PUBLIC_URL, to which the request's path and query are added
    """
    claimed = request.headers.get("X-Twilio-Signature", "")
    if not claimed:
        abort(403)
    body = cast("bytes", await request.get_data(as_text=False))
    return believe(claimed, request.scope, body, auth_token=auth_token, public_url=public_url)


def believe(
    claimed: str, scope: Mapping[str, Any], body: bytes, *, auth_token: str, public_url: str
) -> Form:
    """The form of a request with that signature: 403 unless it is Twilio's, 400 without a call.

    scope: the request's, of which path and query count, exactly as they were sent
    """
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    target = (path + b"?" + query if query else path).decode("latin-1")
    params = _params(body)
    if params is None or not signature.matches(auth_token, public_url + target, params, claimed):
        abort(403)
    form = Form(params + parse_qsl(query.decode("latin-1"), max_num_fields=MAX_FIELDS))
    if not 0 < len(form.call_sid) <= MAX_SID_CHARS:
        abort(400)
    return form


def _params(body: bytes) -> list[tuple[str, str]] | None:
    """A body's parameters, blanks kept; None when it is no form."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:  # not ASCII, or too many fields
        return None
