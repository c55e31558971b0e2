"""A notice's words: who is told of what, and in which form (docs/notifications.md).

What callers said goes out to strangers' eyes here, so every text is one bounded line without
control characters. To a caller it also goes without links: a name may be spoken for the sake of
what it makes us send, to a number that was not the speaker's own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import unicodedata
from typing import Final

from relay.ports import Notice

MAX_JSON_TEXT: Final = 2000
MAX_SMS: Final = 320  # two or three segments, most of the time
# What a caller has done for themselves is confirmed to them; all else is for the owner.
CONFIRMED: Final = {
    "booked": "Your appointment is booked",
    "changed": "Your appointment is changed",
    "cancelled": "Your appointment is cancelled",
}
HEADLINES: Final = {
    "booked": "Booked",
    "changed": "Changed",
    "cancelled": "Cancelled",
    "quoted": "Quote wanted",
    "message": "Message",
    "voicemail": "Voicemail",
    "failed": "Failed call",
    "flagged": "Call to look at",
}
SIGNATURE: Final = "Relay-Signature"

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Controls, marks that turn the direction of writing, private and broken characters.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_LINK = re.compile(r"://|(?<=\w)\.(?=[^\W\d])")


def channels(
    kind: str, *, webhook: bool = False, sms_owner: bool = False, sms_caller: bool = False
) -> tuple[str, ...]:
    """Who is told of a kind of notice, by what is configured."""
    told = (
        ("webhook", webhook),
        ("sms_owner", sms_owner),
        ("sms_caller", sms_caller and kind in CONFIRMED),
    )
    return tuple(channel for channel, wanted in told if wanted)


def is_number(caller: str | None) -> bool:
    """Whether a text can be sent there."""
    return caller is not None and _E164.fullmatch(caller) is not None


def payload(notice: Notice) -> bytes:
    """What is posted: JSON in ASCII, the same bytes at every try once the caller is known."""
    return json.dumps(
        {
            "id": notice.id,
            "kind": notice.kind,
            "call_sid": notice.call_sid,
            "at": notice.at.isoformat(timespec="milliseconds"),
            "caller": notice.caller or "",
            "text": plain(notice.text, MAX_JSON_TEXT),
        }
    ).encode("ascii")


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """The headers that a body goes out with: `t=…,v1=…` proves who wrote it, and when."""
    message = b"%d." % timestamp + body
    mac = hmac.digest(secret.encode(), message, hashlib.sha256).hex()
    return {"Content-Type": "application/json", SIGNATURE: f"t={timestamp},v1={mac}"}


def to_owner(notice: Notice) -> str:
    """The SMS that the owner gets: what, the words, who called."""
    headline = HEADLINES.get(notice.kind, plain(notice.kind, 20).capitalize())
    caller = notice.caller if is_number(notice.caller) else "number withheld"
    end = f" ({caller})"
    return plain(f"{headline}: {notice.text}", MAX_SMS - len(end)) + end


def to_caller(notice: Notice, business: str) -> str:
    """The SMS that a caller gets."""
    text = f"{business}: {CONFIRMED[notice.kind]}. {notice.text}"
    return plain(_LINK.sub(" ", text), MAX_SMS)


def plain(text: str, most: int) -> str:
    """One line of at most so many characters, of nothing but what can be seen."""
    seen = (" " if unicodedata.category(c) in _HIDDEN else c for c in text)
    line = " ".join("".join(seen).split())
    return line if len(line) <= most else line[: most - 1] + "…"
