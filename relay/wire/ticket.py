"""The token in a stream's path: who may open it, for which call, until when.

A stream's handshake is signed, but for a fixed URL that signature never changes: whoever has seen
it once can send it again. So each TwiML names a path of its own,

    base64url(call SID) . expiry in unix seconds . base64url(nonce) . kind . base64url(HMAC-SHA256)

kind is "new" or "again": whether the call begins with this stream or has had one before. The nonce
is the stream's own name and, behind a dot, that of the stream before, where it is known.

that any process with the secret can read without having issued it. That it works only once is the
store's to see to (`CallStore.claim_stream`), by its nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, NamedTuple

from relay.errors import Misuse, PhoneProtocolError

# Says what is signed, so that no other use of the same secret can make a token.
_PURPOSE: Final = b"relay stream ticket 2\n"
_KINDS: Final = {False: "new", True: "again"}


class Ticket(NamedTuple):
    """A token's content. expires_at: unix seconds; again: the call has had a stream before."""

    call_sid: str
    nonce: str
    expires_at: int
    again: bool = False


def issue(secret: str, call_sid: str, expires_at: int, nonce: str, *, again: bool = False) -> str:
    """Make a token of letters, digits, `-`, `_` and `.`: fit for a URL's path.

    expires_at: unix seconds; nonce: unguessable, new for each token.
    Raises Misuse on an empty secret.
    """
    body = f"{_packed(call_sid.encode())}.{expires_at}.{_packed(nonce.encode())}.{_KINDS[again]}"
    return f"{body}.{_mac(secret, body)}"


def read(secret: str, token: str, now: float) -> Ticket:
    """Open a token that `issue` made with the same secret. now: unix seconds.

    Raises PhoneProtocolError, "bad_token" for one that is not ours, "stale_token" for one that
    was; Misuse on an empty secret.
    """
    body, _, mac = token.rpartition(".")
    if not hmac.compare_digest(_mac(secret, body).encode(), mac.encode("utf-8", "surrogatepass")):
        raise PhoneProtocolError("bad_token")
    call_sid, expires_at, nonce, kind = body.split(".")
    if not now < int(expires_at):
        raise PhoneProtocolError("stale_token")
    return Ticket(_unpacked(call_sid), _unpacked(nonce), int(expires_at), kind == _KINDS[True])


def _mac(secret: str, body: str) -> str:
    if not secret:
        raise Misuse("an empty secret makes tokens that anyone could make")
    message = _PURPOSE + body.encode("utf-8", "surrogatepass")
    return _packed(hmac.digest(secret.encode(), message, hashlib.sha256))


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
