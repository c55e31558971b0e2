"""The crowd of bench/door.py and the verdict of bench/_soak.py: what is not to pass for good."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _soak  # noqa: E402
from bench.door import fire, webhook  # noqa: E402

STREAM = b'HTTP/1.1 200 OK\r\n\r\n<Response><Connect><Stream url="wss://x/1"/></Connect></Response>'


@contextmanager
def door(answer: bytes, count: int) -> Iterator[int]:
    """So many connections, each answered with this when it has asked. Yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(count):
                asked, _ = listener.accept()
                with asked:
                    asked.recv(1 << 16)
                    asked.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(30)


def test_everybody_who_gets_a_stream_is_timed() -> None:
    with door(STREAM, 3) as port:
        assert len(fire(port, [webhook(n) for n in range(3)])) == 3


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 503 Busy\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<Response><Dial/></Response>", b""],
)
def test_who_gets_no_stream_is_not_answered(answer: bytes) -> None:
    with door(answer, 1) as port, pytest.raises(SystemExit, match="not answered with a stream"):
        fire(port, [webhook(1)])


def test_a_door_that_is_shut_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SystemExit, match="a webhook's connection broke"):
        fire(port, [webhook(1)])


def test_every_stream_of_a_soak_has_to_end() -> None:
    def verdict(*events: str) -> list[bool]:
        return [holds for _, _, holds in _soak._log([{"event": event} for event in events])]

    assert all(verdict("call began", "call over"))
    assert not all(verdict("call began", "call began", "call over"))
    assert not all(verdict())
    assert not all(verdict("call began", "call over", "call failed"))
