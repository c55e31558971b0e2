"""Log lines that nobody reads stop nobody."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from relay import log_pipe
from relay.log_pipe import LogPipe
from relay.logs import set_up_logs

SMALL = 4096  # the least that a pipe can hold
DEADLINE_S = 60.0  # ends a hang; a busy machine is late by seconds


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALL)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def read_some(reader: int) -> str:
    try:
        return os.read(reader, SMALL).decode()
    except BlockingIOError:
        time.sleep(0.01)  # the thread that writes is a real one
        return ""


def read_until(reader: int, word: str) -> str:
    """All that comes out up to a word."""
    text, deadline = "", time.monotonic() + DEADLINE_S
    while word not in text:
        assert time.monotonic() < deadline
        text += os.read(reader, SMALL).decode()
    return text


def test_lines_come_out_whole_and_in_order() -> None:
    with small_pipe() as (reader, writer):
        pipe = LogPipe(writer)
        for number in range(100):
            pipe.write(f"line {number}\n")
        text = read_until(reader, "line 99\n")
        assert text.splitlines() == [f"line {number}" for number in range(100)]
        pipe.close()
        assert pipe.dropped == 0


def test_what_is_logged_together_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes takes the interpreter from the calls each time that it wakes."""
    monkeypatch.setattr(log_pipe, "GATHER_S", DEADLINE_S)
    with small_pipe() as (reader, writer):
        pipe = LogPipe(writer)
        for number in range(100):
            pipe.write(f"line {number}\n")
        os.set_blocking(reader, False)
        assert read_some(reader) == ""
        pipe.close(DEADLINE_S)
        assert read_some(reader).count("\n") == 100


def test_a_reader_that_stops_stops_nobody_and_the_log_says_what_is_missing() -> None:
    with small_pipe() as (reader, writer):
        pipe = LogPipe(writer, max_lines=10)
        set_up_logs("INFO", pipe)
        log = structlog.get_logger("relay.test")
        for number in range(1000):  # that this comes to its end is what is to be shown
            log.info("= a line", number=number)
        assert pipe.dropped > 900
        os.set_blocking(reader, False)
        kept, missing, text = 0, 0, ""
        deadline = time.monotonic() + DEADLINE_S
        while kept + missing < 1000:
            assert time.monotonic() < deadline
            text += read_some(reader)
            whole, _, text = text.rpartition("\n")
            for line in map(json.loads, whole.splitlines()):
                if line["event"] == "= a line":
                    assert line["number"] >= kept
                    kept += 1
                else:
                    assert line["event"] == "! log lines were dropped"
                    missing += line["lines"]
        assert (kept + missing, missing) == (1000, pipe.dropped)
        pipe.close()


def test_closing_does_not_wait_for_a_reader_that_will_not_come() -> None:
    with small_pipe() as (reader, writer):
        pipe = LogPipe(writer, max_lines=10)
        for _ in range(100):
            pipe.write("x" * 1000 + "\n")
        pipe.close(0.1)
        assert pipe._thread.is_alive(), "it still waits for the reader"
        os.set_blocking(reader, False)
        while pipe._thread.is_alive():  # it must not write into what has its number next
            read_some(reader)
            pipe.close(0.01)


def test_a_sink_that_is_gone_is_counted() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    pipe = LogPipe(writer)
    pipe.write("lost\n")
    pipe.close()
    assert pipe.dropped == 1
    os.close(writer)


def test_a_sink_that_does_not_block_is_waited_for() -> None:
    with small_pipe() as (reader, writer):
        os.set_blocking(writer, False)
        pipe = LogPipe(writer)
        for number in range(1000):
            pipe.write(f"line {number}\n")
        assert len(read_until(reader, "line 999\n").splitlines()) == 1000
        pipe.close()
