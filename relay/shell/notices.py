"""A notice's words: who is told of what, and in which form (docs/notifications.md).

A notice's text is a line for the owner: "Ann Lee (+1…) booked: cleaning, Tuesday …, no. 7". What
callers said is in it, so whatever leaves here is one bounded line without control characters.

A confirmation goes to a number that may be forged, and must not carry what its caller would like
to have sent there. It has only what follows the verb, the business's own words, and no link.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import unicodedata
from typing import Final

from relay.ports import Notice, is_number

MAX_JSON_TEXT: Final = 2000
MAX_TO_OWNER: Final = 1200  # a message in full; Twilio takes 1600
MAX_TO_CALLER: Final = 320
# What a caller has done for themselves is confirmed to them; all else is for the owner.
CONFIRMED: Final = {
    "booked": "Your appointment is booked",
    "changed": "Your appointment is changed",
    "cancelled": "Your appointment is cancelled",
}
_WITHHELD: Final = "number withheld"
SIGNATURE: Final = "Relay-Signature"

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
    """The SMS that the owner gets: the line, who called where it does not say so, and how many
    others it stands for."""
    text = f"Please look at this call. {notice.text}" if notice.kind == "flagged" else notice.text
    caller = notice.caller if notice.caller and is_number(notice.caller) else _WITHHELD
    end = "" if caller in text or _WITHHELD in text else f" ({caller})"
    if notice.more:
        calls = "call" if notice.more == 1 else "calls"
        end += f" And {notice.more} more {calls} since the last text."
    return plain(text, MAX_TO_OWNER - len(end)) + end


def to_caller(notice: Notice, business: str) -> str:
    """The SMS that a caller gets."""
    _, verb, details = notice.text.rpartition(f" {notice.kind}: ")
    text = f"{business}: {CONFIRMED[notice.kind]}. {details if verb else ''}"
    return plain(_LINK.sub(" ", text), MAX_TO_CALLER)


def plain(text: str, most: int) -> str:
    """One line of at most so many characters, of nothing but what can be seen."""
    seen = (" " if unicodedata.category(c) in _HIDDEN else c for c in text)
    line = " ".join("".join(seen).split())
    return line if len(line) <= most else line[: most - 1] + "…"
