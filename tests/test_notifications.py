"""Notices over real sockets: to the example receiver, and through a `kill -9` in the middle.

The sender is a process of its own that runs a notifier on an SQLite file; what it posts and texts
to is a server of the test's that takes a request, and lets the test kill before it answers.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest
import trio

from relay.adapters.store import SqlStore, open_store
from relay.adapters.twilio_rest import TwilioPhone
from relay.adapters.webhook import HttpWebhook
from relay.core.records import CallOpened, OwnerNotice
from relay.errors import NoticeError
from relay.ports import Claimed, Entry, Notice
from relay.shell import notices
from relay.shell.notifier import LEASE_S, Notifier
from relay.trust import authorities
from tests.databases import migrated

SECRET = "a-secret-of-ours"
OWNER = "+14155550188"
WHEN = datetime(2026, 11, 26, 9, 40, tzinfo=UTC)
NOTICE = Notice("ab" * 16, "webhook", "CA1", "message", WHEN, "Zoë: “call me”", "+14155550123", 1)

SENDER = """
import sys, trio
from relay.adapters.store import open_store
from relay.adapters.twilio_rest import TwilioPhone
from relay.adapters.webhook import HttpWebhook
from relay.shell.notifier import Notifier

database_url, base = sys.argv[1:]
trio.run(Notifier(
    open_store(database_url),
    webhook=HttpWebhook(base + "/hook"), secret="a-secret-of-ours",
    phone_control=TwilioPhone("AC" + "0" * 32, "12345", "+14155550100", api_url=base),
    sms_to="+14155550188",
).run)
"""


@pytest.fixture(scope="module")
def receiver() -> ModuleType:
    """docs/example_notify_receiver.py."""
    path = Path(__file__).parents[1] / "docs" / "example_notify_receiver.py"
    spec = importlib.util.spec_from_file_location("example_notify_receiver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- the example receiver -------------------------------------------------------------------


def checked(receiver: ModuleType, body: bytes, signature: str, now: float) -> dict[str, Any]:
    found: dict[str, Any] = receiver.checked(body, signature, SECRET, now)
    return found


def test_the_example_knows_our_signature(receiver: ModuleType) -> None:
    body = notices.payload(NOTICE)
    signature = notices.signed(body, SECRET, 1_764_150_000)["Relay-Signature"]
    for now in (1_764_150_000, 1_764_150_299.5, 1_764_149_701):
        assert checked(receiver, body, signature, now)["text"] == NOTICE.text


@pytest.mark.parametrize(
    ("signature", "body", "now"),
    [
        ("", b"{}", 100),
        ("t=100", b"{}", 100),
        ("t=100,v1=", b"{}", 100),
        ("t=,v1=x", b"{}", 100),
        ("t=1e2,v1=x", b"{}", 100),
        ("t=²,v1=é", b"{}", 100),
        (notices.signed(b"{}", "another secret!!", 100)["Relay-Signature"], b"{}", 100),
        (notices.signed(b"{}", SECRET, 100)["Relay-Signature"], b"{ }", 100),
        (notices.signed(b"{}", SECRET, 100)["Relay-Signature"], b"{}", 401),
        (notices.signed(b"{}", SECRET, 500)["Relay-Signature"], b"{}", 100),
        (notices.signed(b"{}", SECRET, 100)["Relay-Signature"].replace("100", "101"), b"{}", 100),
    ],
)
def test_the_example_refuses(receiver: ModuleType, signature: str, body: bytes, now: float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        checked(receiver, body, signature, now)


async def test_the_example_takes_a_notice_once(
    receiver: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    server = receiver.make_server(SECRET)
    body = notices.payload(NOTICE)
    with serving(server) as base:
        async with aclosing(HttpWebhook(f"{base}/hook", tls=authorities())) as webhook:
            for _ in range(2):
                await webhook.post(body, notices.signed(body, SECRET, int(time.time())))
            with pytest.raises(NoticeError, match="HTTP 400"):
                await webhook.post(body, notices.signed(body, "another secret!!", 1))
    assert list(server.notices) == [NOTICE.id]
    assert capsys.readouterr().out == f"message +14155550123: {NOTICE.text}\n"


# ---- kill -9 --------------------------------------------------------------------------------


class Outside(ThreadingHTTPServer):
    """Webhook and Twilio at once; answers when it is let.

    requests: path and body of all that came; met: set when there is one
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.requests: list[tuple[str, bytes]] = []
        self.came = threading.Semaphore(0)
        self.answering = threading.Event()

    def texts(self) -> list[dict[str, list[str]]]:
        forms = [body.decode() for path, body in self.requests if path.endswith("/Messages.json")]
        return [parse_qs(form) for form in forms]

    def posts(self) -> list[bytes]:
        return [body for path, body in self.requests if path == "/hook"]


class _Taking(BaseHTTPRequestHandler):
    server: Outside

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, body))
        self.server.came.release()
        if not self.server.answering.wait(10):
            return
        answer = b'{"sid": "SM1"}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        """Nothing."""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return migrated(tmp_path / "relay.db")


def told(database_url: str) -> SqlStore:
    """A store with one notice for the webhook and for the owner's mobile."""
    channels = {"message": ("webhook", "sms_owner")}
    store = open_store(database_url, channels=lambda kind: channels[kind])
    now = datetime.now(UTC)
    notice = OwnerNotice(0.0, "call_1", "message", "Please call back.")
    store.write([Entry("CA1", now, CallOpened(0.0, "MZ1", "+14155550123"))])
    store.write([Entry("CA1", now, notice)])
    return store


def send_and_be_killed(outside: Outside, database_url: str, base: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SENDER, database_url, base]) as sender:
        try:
            for _ in range(2):
                assert outside.came.acquire(timeout=30), "post and text are on their way"
        finally:
            sender.kill()


async def test_a_sender_that_is_killed_in_the_middle(database_url: str) -> None:
    """Its post is made again by the next process, with the same bytes; its text is not."""
    store = told(database_url)
    outside = Outside()
    with serving(outside) as base:
        send_and_be_killed(outside, database_url, base)
        outside.answering.set()

        # The next process, when the claims of the dead one are over.
        async with (
            aclosing(HttpWebhook(f"{base}/hook", tls=authorities())) as webhook,
            aclosing(
                TwilioPhone(
                    "AC" + "0" * 32, "12345", "+14155550100", api_url=base, tls=authorities()
                )
            ) as phone_control,
        ):
            following = Notifier(
                store,
                webhook=webhook,
                secret=SECRET,
                phone_control=phone_control,
                sms_to=OWNER,
                wall_clock=lambda: datetime.now(UTC) + timedelta(seconds=LEASE_S),
            )
            with trio.move_on_after(3):
                await following.run()
    late = datetime.now(UTC) + timedelta(days=1)
    claims = {"now": late, "until": late, "holder": "x", "limit": 9, "failed_every": timedelta(0)}
    left = store.claim_notices(["webhook", "sms_owner"], lapsed="failed", **claims)
    assert left == Claimed((), ()), "one is sent, one unknown: nothing is left to do"
    store.close()
    first, second = outside.posts()
    assert first == second
    assert [text["To"] for text in outside.texts()] == [[OWNER]]
