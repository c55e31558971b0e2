"""A wired relay tells its owner: from Twilio's webhook to theirs, and to their mobile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import trio
from twilio.request_validator import RequestValidator

from relay import wiring_notices
from relay.errors import ConfigError
from relay.ports import Webhook
from relay.trust import authorities
from tests.test_wiring import CALLER, PUBLIC, make_settings, open_relay, scripted_model

OWNER = "+14155550188"
FORM = {
    "CallSid": "CA" + "7" * 32,
    "AccountSid": "AC" + "0" * 32,
    "From": CALLER,
    "To": "+14155550100",
    "RecordingSid": "RE" + "7" * 32,
    "RecordingUrl": "https://api.twilio.com/recordings/RE7",
    "RecordingDuration": "12",
}


class Outside(ThreadingHTTPServer):
    """The owner's webhook and Twilio's REST API in one. requests: path, headers and body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.came = threading.Semaphore(0)

    def at(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for asked, headers, body in self.requests if asked.endswith(path)]


class _Answering(BaseHTTPRequestHandler):
    server: Outside

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.server.came.release()
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b'{"sid": "SM1"}')

    def log_message(self, *_args: object) -> None:
        """Nothing."""


@contextmanager
def open_outside() -> Iterator[tuple[Outside, str]]:
    outside = Outside()
    thread = threading.Thread(target=outside.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield outside, f"http://127.0.0.1:{outside.server_port}"
    finally:
        outside.shutdown()
        thread.join()
        outside.server_close()


async def leave_message(port: int) -> None:
    """What Twilio posts when a voicemail is recorded."""
    url = f"{PUBLIC}/twilio/voicemail-recording"
    signature = RequestValidator("12345").compute_signature(url, FORM)
    async with httpx.AsyncClient(verify=authorities()) as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}/twilio/voicemail-recording",
            data=FORM,
            headers={"X-Twilio-Signature": signature},
        )
    assert answer.status_code == 204


async def test_a_voicemail_reaches_its_owner_once_on_both_ways(tmp_path: Path) -> None:
    sessions: list[Any] = []
    with open_outside() as (outside, base):
        settings = make_settings(
            tmp_path,
            NOTIFY_URL=f"{base}/hook",
            NOTIFY_SECRET="a-secret-of-ours",
            NOTIFY_SMS_TO=OWNER,
            TWILIO_API_URL=base,
        )
        dial = partial(scripted_model, sessions)
        with trio.fail_after(30):
            async with open_relay(settings, model_dialer=dial) as served:
                await leave_message(served.port)
                await leave_message(served.port)  # Twilio says it twice
                for _ in range(2):
                    await trio.to_thread.run_sync(outside.came.acquire, abandon_on_cancel=True)
    [(headers, body)] = outside.at("/hook")
    assert headers["Relay-Signature"].startswith("t=")
    notice = json.loads(body)
    assert (notice["kind"], notice["call_sid"]) == ("voicemail", FORM["CallSid"])
    assert FORM["RecordingUrl"] in notice["text"]
    [(_, form)] = outside.at("/Messages.json")
    assert dict(parse_qsl(form.decode()))["To"] == OWNER
    assert len(outside.requests) == 2


async def test_without_a_webhook_there_is_none(tmp_path: Path) -> None:
    found: list[Webhook | None] = []
    async with wiring_notices.open_webhook(make_settings(tmp_path)) as webhook:
        found.append(webhook)
    assert found == [None]


def test_who_is_told_is_what_is_set(tmp_path: Path) -> None:
    nobody = wiring_notices.channels(make_settings(tmp_path))
    assert nobody("booked") == ()
    everybody = wiring_notices.channels(
        make_settings(
            tmp_path,
            NOTIFY_URL="https://shop.example/hook",
            NOTIFY_SECRET="a-secret-of-ours",
            NOTIFY_SMS_TO=OWNER,
            CONFIRM_BY_SMS="true",
        )
    )
    assert everybody("booked") == ("webhook", "sms_owner", "sms_caller")


async def test_a_host_that_cannot_be_looked_up_is_found_at_the_start(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, NOTIFY_URL=f"https://{'a' * 64}.example/", NOTIFY_SECRET="a-secret-of-ours"
    )
    with pytest.raises(ConfigError, match="NOTIFY_URL"):
        async with wiring_notices.open_webhook(settings):
            pass
