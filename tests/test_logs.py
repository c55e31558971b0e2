"""What the process prints: one JSON object a line, no local variables, the call's SID bound."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from trio.testing import MockClock

import relay
from relay.logs import SELDOM_S, Seldom, set_up_logs


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


def printed(level: str = "INFO", *, personal: bool = False) -> tuple[io.StringIO, Any]:
    stream = io.StringIO()
    set_up_logs(level, stream, pii=personal)
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
        "pii.caller": "…23",
        "text": "a\nb",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [("+14155550123", "…23"), ("Jane Doe", "(8 characters)"), ("", ""), (12, "(2 characters)")],
)
def test_personal_values_are_hidden_unless_asked_for(value: object, shown: str) -> None:
    for personal, expected in ((False, shown), (True, value)):
        stream, log = printed(personal=personal)
        log.info("= something", **{"pii.value": value})
        assert lines(stream)[0]["pii.value"] == expected


def test_the_form_can_be_chosen_against_the_stream() -> None:
    for stream, form, is_json in (
        (Terminal(), "json", True),
        (io.StringIO(), "console", False),
        (Terminal(), None, False),
    ):
        set_up_logs("INFO", stream, form)
        structlog.get_logger("relay.test").info("= listening")
        assert stream.getvalue().startswith("{") is is_json


def test_every_event_is_static_text() -> None:
    """What varies stands in fields, so that lines can be counted and searched for."""
    package = Path(relay.__file__).parent
    seen = 0
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log" | "_log"),
                        attr="debug" | "info" | "warning" | "error" | "critical" | "exception",
                    ),
                    args=[event],
                ):
                    seen += 1
                    assert _is_static(event), f"{file}:{node.lineno}"
    assert seen > 30


def _is_static(event: ast.expr) -> bool:
    match event:
        case ast.Constant(value=str()):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _is_static(body) and _is_static(orelse)
        case _:
            return False


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


async def test_strangers_do_not_say_how_much_is_logged(mock_clock: MockClock) -> None:
    seldom = Seldom()
    assert [seldom.due("forged") for _ in range(100)] == [1] + [0] * 99
    assert seldom.due("stale") == 1, "each kind has a line of its own"
    mock_clock.jump(SELDOM_S - 0.1)
    assert seldom.due("forged") == 0
    mock_clock.jump(0.1)
    assert seldom.due("forged") == 101
    assert seldom.due("forged") == 0
    mock_clock.jump(10 * SELDOM_S)
    assert seldom.due("forged") == 2
