"""What the process prints: one JSON object a line, no local variables, the call's SID bound."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from relay.logs import set_up_logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(level: str = "INFO") -> tuple[io.StringIO, Any]:
    stream = io.StringIO()
    set_up_logs(level, stream)
    return stream, structlog.get_logger("relay.test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields() -> None:
    stream, log = printed()
    with structlog.contextvars.bound_contextvars(call_sid="CA1"):
        log.info("< call", **{"pii.caller": "+14155550123"}, text="a\nb")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "< call",
        "level": "info",
        "logger": "relay.test",
        "call_sid": "CA1",
        "pii.caller": "+14155550123",
        "text": "a\nb",
    }


def test_levels_below_the_set_one_are_silent() -> None:
    stream, log = printed("WARNING")
    log.info("no")
    log.warning("yes")
    logging.getLogger("quart").info("no")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_libraries_take_the_same_way_out() -> None:
    stream, _ = printed("DEBUG")
    logging.getLogger("some.library").warning("disk is %s", "full")
    logging.getLogger("trio-websocket").debug("what a caller said")
    (line,) = lines(stream)
    assert (line["event"], line["logger"]) == ("disk is full", "some.library")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    set_up_logs("INFO", stream)

    def fail() -> None:
        said = "my card is 4111"
        raise ValueError(len(said))

    try:
        fail()
    except ValueError:
        structlog.get_logger("relay.test").exception("call failed")
    assert "ValueError" in stream.getvalue()
    assert "in fail" in stream.getvalue()
    assert "4111" not in stream.getvalue().replace('said = "my card is 4111"', "")


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    set_up_logs("INFO", stream)
    structlog.get_logger("relay.test").info("= listening", port=8080)
    assert "= listening" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
