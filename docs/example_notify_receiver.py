"""A receiver for the relay's notifications: checks who posts, drops repeats, prints the rest.

    NOTIFY_SECRET=… python docs/example_notify_receiver.py 8090

Standard library only. `checked` is the part to copy.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TOLERANCE_S = 300  # an older post is a copy that somebody kept; the relay signs every try anew
MAX_BYTES = 64 * 1024


def checked(body: bytes, signature: str, secret: str, now: float) -> dict[str, Any]:
    """The notification in a post. Raises ValueError when it is not the relay's, or not fresh.

    signature: the header Relay-Signature, as in "t=1764150000,v1=5f2b…"
    """
    fields = dict(part.partition("=")[::2] for part in signature.split(","))
    timestamp = fields.get("t", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise ValueError("no timestamp")
    signed = timestamp.encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), fields.get("v1", "").encode()):
        raise ValueError("not signed with our secret")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise ValueError("too old, or from a clock that is wrong")
    notice: dict[str, Any] = json.loads(body)
    return notice


def make_server(secret: str, port: int = 0) -> HTTPServer:
    """A server on this machine; what came is in its `notices`, by id."""
    notices: dict[str, dict[str, Any]] = {}

    class Receiver(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(min(length, MAX_BYTES))
            try:
                signature = self.headers.get("Relay-Signature", "")
                notice = checked(body, signature, secret, time.time())
            except ValueError as error:
                self.send_error(400, str(error))
                return
            if notice["id"] not in notices:  # yours: a table with a unique id
                notices[notice["id"]] = notice
                sys.stdout.write(f"{notice['kind']} {notice['caller']}: {notice['text']}\n")
                sys.stdout.flush()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Nothing: the default would log every request."""

    server = HTTPServer(("127.0.0.1", port), Receiver)
    server.notices = notices  # type: ignore[attr-defined]
    return server


if __name__ == "__main__":
    make_server(os.environ["NOTIFY_SECRET"], int(sys.argv[1])).serve_forever()
