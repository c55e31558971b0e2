"""An example of a business's own system that the relay can ask: docs/business-api.md, served.

    python docs/example_business_server.py relay/adapters/business.toml --port 8090
    BUSINESS_API_BASE=http://127.0.0.1:8090/v1 relay serve

Standard library only, and nothing of the relay's: it is meant to be read, and taken apart. It
keeps its appointments in memory, so stopping it forgets them. The relay's tests put it through
the same suite as the embedded business.
"""

from __future__ import annotations

import argparse
import json
import threading
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

BASE = "/v1/"
MAX_REQUEST_BYTES = 16 * 1024
DAYS_AHEAD = 366

Answer = tuple[int, dict[str, Any]]


class BadRequestError(Exception):
    """What the client sent does not fit the contract."""


class Agenda:
    """One business: its hours from a TOML file, its appointments in a dictionary."""

    def __init__(self, toml: str, clock: Callable[[], datetime]) -> None:
        self.about = tomllib.loads(toml)
        self.zone = ZoneInfo(self.about["timezone"])
        self.step = timedelta(minutes=self.about.get("slot_minutes", 30))
        self.clock = clock
        self.lock = threading.Lock()
        self.by_key: dict[str, dict[str, Any]] = {}
        self.filled: set[datetime] = set()

    # ---- GET

    def profile(self) -> dict[str, Any]:
        return {
            "name": self.about["name"],
            "timezone": self.about["timezone"],
            "services": self.about.get("services", []),
            "facts": self.about.get("facts", {}),
        }

    def hours(self, day: date) -> dict[str, Any]:
        spans, note = self.opening(day)
        pairs = [[f"{opens:%H:%M}", f"{closes:%H:%M}"] for opens, closes in spans]
        return {"date": day.isoformat(), "open": pairs, "note": note}

    def opening(self, day: date) -> tuple[list[tuple[time, time]], str]:
        texts = self.about["hours"].get(f"{day:%A}".lower(), [])
        note = ""
        holidays = {str(one["date"]): one for one in self.about.get("holidays", [])}
        holiday = holidays.get(day.isoformat()) or holidays.get(f"{day:%m-%d}")
        if holiday:
            texts, note = holiday.get("open", []), holiday.get("note", "")
        spans = [text.split("-") for text in texts]
        return [(time.fromisoformat(a), time.fromisoformat(b)) for a, b in spans], note

    # ---- POST

    def book(self, wish: dict[str, Any], key: str) -> Answer:
        """201 for a new appointment, 200 for one that this key has made, 409 for none."""
        with self.lock:
            if key in self.by_key:
                return 200, self.by_key[key]
            services = {one["name"].lower(): one for one in self.about.get("services", [])}
            service = services.get(wish["service"].strip().lower())
            if service is None:
                return 409, {"reason": "unknown_service", "alternatives": []}
            starts_at = datetime.fromisoformat(wish["starts_at"])
            length = timedelta(minutes=service["minutes"])
            if reason := self.refusal(starts_at, length):
                return 409, {"reason": reason, "alternatives": self.nearest(starts_at, length)}
            self.filled |= self.slots(starts_at, length)
            self.by_key[key] = {
                "reference": f"{len(self.by_key) + 1:04}",
                "service": service["name"],
                "starts_at": minutes(starts_at),
            }
            return 201, self.by_key[key]

    def now(self) -> datetime:
        return self.clock().astimezone(self.zone).replace(tzinfo=None)

    def refusal(self, starts_at: datetime, length: timedelta) -> str | None:
        now = self.now()
        if starts_at <= now:
            return "past"
        if starts_at - now > timedelta(days=DAYS_AHEAD):
            return "too_far"
        if starts_at in self.starts(starts_at.date(), length):
            return "taken" if self.slots(starts_at, length) & self.filled else None
        day = starts_at.date()
        for opens, closes in self.opening(day)[0]:
            opened, closed = datetime.combine(day, opens), datetime.combine(day, closes)
            if opened <= starts_at and starts_at + length <= closed:
                return "not_a_slot"
        return "closed"

    def starts(self, day: date, length: timedelta) -> Iterator[datetime]:
        for opens, closes in self.opening(day)[0]:
            start = datetime.combine(day, opens)
            while start + length <= datetime.combine(day, closes):
                yield start
                start += self.step

    def slots(self, starts_at: datetime, length: timedelta) -> set[datetime]:
        return {starts_at + n * self.step for n in range(-(-length // self.step))}

    def nearest(self, wanted: datetime, length: timedelta) -> list[str]:
        """Three free starts, from the wanted day on."""
        now = self.now()
        first = min(max(wanted, now), now + timedelta(days=DAYS_AHEAD)).date()
        found: list[datetime] = []
        for ahead in range(14):
            free = [
                start
                for start in self.starts(first + timedelta(days=ahead), length)
                if start > now and not self.slots(start, length) & self.filled
            ]
            free.sort(key=lambda start: abs(start - wanted))
            found = (found + free)[:3]
        return [minutes(start) for start in sorted(found)]


def minutes(at: datetime) -> str:
    return at.isoformat(timespec="minutes")


class Handler(BaseHTTPRequestHandler):
    """HTTP around one Agenda."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    agenda: Agenda
    token = ""

    def do_GET(self) -> None:
        self.answer(self.get)

    def do_POST(self) -> None:
        self.answer(self.post)

    def get(self) -> Answer:
        url = urlsplit(self.path)
        match url.path.removeprefix(BASE):
            case "profile":
                return 200, self.agenda.profile()
            case "hours":
                try:
                    day = date.fromisoformat(parse_qs(url.query)["date"][0])
                except (KeyError, ValueError) as error:
                    raise BadRequestError("date: write YYYY-MM-DD") from error
                return 200, self.agenda.hours(day)
            case _:
                return 404, {"error": "no such thing"}

    def post(self) -> Answer:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= MAX_REQUEST_BYTES:
            self.close_connection = True
            return 413, {"error": f"send 1 to {MAX_REQUEST_BYTES} bytes"}
        body = self.rfile.read(length)
        if self.path != f"{BASE}bookings":
            return 404, {"error": "no such thing"}
        key = self.headers.get("Idempotency-Key")
        if not key:
            raise BadRequestError("Idempotency-Key is missing")
        return self.agenda.book(_wish(body), key)

    def answer(self, question: Callable[[], Answer]) -> None:
        try:
            if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
                self.close_connection = True
                status, value = 401, {"error": "no"}
            else:
                status, value = question()
        except BadRequestError as error:
            status, value = 422, {"error": str(error)}
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """One line a request is too much for an example."""


class Server(ThreadingHTTPServer):
    """A thread a connection, and room for a rush: five waiting callers are its parent's limit."""

    request_queue_size = 128
    daemon_threads = True


def _wish(body: bytes) -> dict[str, Any]:
    try:
        wish = json.loads(body)
        fields = {name: wish[name] for name in ("service", "starts_at", "name", "phone")}
        if not all(isinstance(value, str) for value in fields.values()):
            raise BadRequestError("every field is a text")
        if datetime.fromisoformat(fields["starts_at"]).tzinfo is not None:
            raise BadRequestError("starts_at: write the business's local time, without a zone")
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequestError(f"not a booking: {error}") from error
    return fields


def make_server(
    toml: str,
    port: int = 0,
    *,
    token: str = "",
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; port 0: any free one. Run it with `serve_forever`."""
    about = {"agenda": Agenda(toml, clock), "token": token}
    return Server(("127.0.0.1", port), type("BoundHandler", (Handler,), about))


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve docs/business-api.md from a TOML file.")
    parser.add_argument("file", type=Path, help="such as relay/adapters/business.toml")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--token", default="", help="ask for this bearer token")
    options = parser.parse_args()
    server = make_server(options.file.read_text(), options.port, token=options.token)
    print(f"BUSINESS_API_BASE=http://127.0.0.1:{server.server_port}{BASE.rstrip('/')}")  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
